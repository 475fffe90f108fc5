//! Settings of a request that a provider does not support.

use std::fmt;

use crate::line::OneLine;

/// How to handle settings that a provider, or one of its models, does not support.
///
/// It applies to settings only. Messages, images, tool calls and tool results are never dropped: a
/// provider that does not support them refuses the request, whatever the policy.
/// Members of [`extra`](crate::ChatRequest::extra) are sent as they are, in place of settings of the
/// same name.
///
/// ```
/// use inferstream_core::{ChatRequest, OnUnsupported};
///
/// let request = ChatRequest::from("Why is the sky blue?")
///     .seed(7)
///     .on_unsupported(OnUnsupported::Warn);
/// # assert_eq!(request.on_unsupported, Some(OnUnsupported::Warn));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum OnUnsupported {
    /// The request is refused before anything is sent; the error names every unsupported setting.
    Error,
    /// The setting is dropped, with a warning in [`Meta::warnings`](crate::Meta::warnings).
    Warn,
    /// The setting is dropped.
    Ignore,
}

/// A setting, or a part of one, that a provider does not support: what [`Provider::check`] returns.
///
/// [`Provider::check`]: crate::Provider::check
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Unsupported {
    /// The field, such as `seed`. A keyword of a schema is named by its JSON pointer (RFC 6901) after
    /// a `#`, such as `response_format#/properties/age/minimum`.
    pub field: String,
    /// Why it is not supported, for people.
    pub reason: String,
}

impl Unsupported {
    /// Creates an entry for a field, with the reason.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// Returns the name of the field for one line of text, of at most 120 characters, in backquotes.
    pub fn quoted_field(&self) -> impl fmt::Display + '_ {
        Name(&self.field)
    }
}

/// One line; the name of the field is shortened to 120 characters.
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = OneLine(&self.reason);
        write!(f, "{} was dropped: {reason}", Name(&self.field))
    }
}

/// The characters of a field's name that are shown: a schema may be untrusted.
const NAME: usize = 120;

/// The name of a field, in backquotes.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(NAME) {
            None => write!(f, "`{}`", OneLine(self.0)),
            Some((end, _)) => write!(f, "`{}…`", OneLine(&self.0[..end])),
        }
    }
}
