//! What a request asks for and a provider lacks.

use std::{borrow::Cow, fmt};

use crate::{
    error::{Error, ErrorKind, Result},
    line::OneLine,
    settings::{ChatRequest, Field},
};

/// What becomes of a setting that a provider, or a model of it, lacks.
///
/// It is about settings: what is said, images among it, is never left out, and a provider that
/// cannot take it is an error whatever stands here. Members of
/// [`extra`](crate::ChatRequest::extra) go out as they are, in place of the settings of their names.
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
    /// The request is refused before anything is sent, with all that it would have to do without.
    Error,
    /// It is left out, and [`Meta::warnings`](crate::Meta::warnings) says so.
    Warn,
    /// It is left out.
    Ignore,
}

/// One thing that a request asks for and its provider lacks: what [`Provider::check`] finds.
///
/// [`Provider::check`]: crate::Provider::check
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Unsupported {
    /// The field, such as `seed`; what lies within a schema has its JSON pointer (RFC 6901) behind a
    /// `#`, such as `response_format#/properties/age/minimum`.
    pub field: String,
    /// Why it is left out, for people.
    pub reason: String,
}

/// One line, as an [`Error`] is; the name of a field that is very long is cut.
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = OneLine(&self.reason);
        write!(f, "`{}` was left out: {reason}", Name(&self.field))
    }
}

/// Collects what a request asks for and a provider lacks, and decides by the request's policy.
///
/// ```
/// use inferstream_core::{ChatRequest, Field, OnUnsupported, provider::LeftOut};
///
/// let mut request = ChatRequest::from("Why is the sky blue?").seed(7).on_unsupported(OnUnsupported::Warn);
/// let mut left_out = LeftOut::new("example", request.on_unsupported);
/// left_out.keep(&mut request, "the service does not know it", |field| field != Field::Seed);
/// left_out.settle()?; // an error where the policy says so
/// assert_eq!(request.seed, None);
/// assert_eq!(left_out.warnings(), ["`seed` was left out: the service does not know it"]);
/// # Ok::<(), inferstream_core::Error>(())
/// ```
#[derive(Debug)]
pub struct LeftOut {
    provider: Cow<'static, str>,
    policy: Option<OnUnsupported>,
    list: Vec<Unsupported>,
    /// The places in the list of what a request without a policy is refused for.
    refused: Vec<usize>,
}

impl LeftOut {
    /// Begins with nothing, for a provider's `id` and a request's policy.
    pub fn new(provider: impl Into<Cow<'static, str>>, policy: Option<OnUnsupported>) -> Self {
        Self {
            provider: provider.into(),
            policy,
            list: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Adds a setting that shapes the answer: without a policy the request is refused.
    pub fn setting(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.refused.push(self.list.len());
        self.detail(field, reason);
    }

    /// Adds what the answer may do without: without a policy it is left out with a warning.
    pub fn detail(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        let (field, reason) = (field.into(), reason.into());
        self.list.push(Unsupported { field, reason });
    }

    /// Takes the settings out of a request that the provider does not know, and those that mean
    /// nothing without them, such as a `tool_choice` without `tools`; the reason is the same for all,
    /// and so it must not say which or how many.
    pub fn keep(&mut self, request: &mut ChatRequest, reason: &str, knows: impl Fn(Field) -> bool) {
        for field in request.settings() {
            let needs = match field {
                Field::ParallelToolCalls | Field::ToolChoice => Field::Tools,
                Field::TopLogprobs => Field::Logprobs,
                field => field,
            };
            if !knows(field) || !knows(needs) {
                self.take(request, field, reason);
            }
        }
    }

    /// Takes a setting out of a request.
    pub fn take(&mut self, request: &mut ChatRequest, field: Field, reason: impl Into<String>) {
        request.unset(field);
        self.setting(field.name(), reason);
    }

    /// Returns what the user is told of a request that is sent: a line for each reason.
    pub fn warnings(&self) -> Vec<String> {
        if self.policy == Some(OnUnsupported::Ignore) {
            return Vec::new();
        }
        let same = |one: &Unsupported, other: &Unsupported| one.reason == other.reason;
        let lines = self.list.chunk_by(same).map(|several| match several {
            [one] => one.to_string(),
            [first, ..] => {
                let reason = OneLine(&first.reason);
                format!("{} were left out: {reason}", fields(several.iter()))
            }
            [] => String::new(),
        });
        lines.collect()
    }

    /// Returns all that is left out.
    pub fn into_list(self) -> Vec<Unsupported> {
        self.list
    }

    /// Refuses the request where its policy says so.
    ///
    /// # Errors
    ///
    /// `Unsupported` that names all that it is refused for.
    pub fn settle(&self) -> Result<()> {
        let refused = match self.policy {
            Some(OnUnsupported::Error) => self.list.iter().collect::<Vec<_>>(),
            Some(OnUnsupported::Warn | OnUnsupported::Ignore) => Vec::new(),
            None => self.refused.iter().map(|&at| &self.list[at]).collect(),
        };
        let (message, them) = match refused.as_slice() {
            [] => return Ok(()),
            [one] => (format!("`{}`: {}", Name(&one.field), one.reason), "it"),
            several => (fields(several.iter().copied()), "them"),
        };
        let message = format!(
            "{} does not take {message}; leave {them} out, or have {them} left out by `on_unsupported`",
            self.provider
        );
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

/// How many fields a line names: [`Provider::check`](crate::Provider::check) gives all.
const FIELDS: usize = 8;

/// How much of a field's name a line shows: a schema may come from anywhere.
const NAME: usize = 120;

/// A field's name for people.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(NAME) {
            None => OneLine(self.0).fmt(f),
            Some((end, _)) => write!(f, "{}…", OneLine(&self.0[..end])),
        }
    }
}

fn fields<'a>(list: impl ExactSizeIterator<Item = &'a Unsupported>) -> String {
    let more = list.len().saturating_sub(FIELDS);
    let fields = list
        .take(FIELDS)
        .map(|one| format!("`{}`", Name(&one.field)));
    let fields = fields.collect::<Vec<_>>().join(", ");
    match more {
        0 => fields,
        more => format!("{fields} and {more} more"),
    }
}
