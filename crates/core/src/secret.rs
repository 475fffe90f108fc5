//! An API key that is never printed.

use std::fmt;

use http::HeaderValue;

use crate::error::{Error, Result};

/// An API key, checked once and never printed.
///
/// `Debug` prints no part of it, there is no `Display`, and its header is marked sensitive, so that
/// HTTP libraries do not print it either.
///
/// ```
/// use inferstream_core::ApiKey;
///
/// let key = ApiKey::new("csk-secret\n")?; // read from a file: surrounding white space is removed
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// # Ok::<(), inferstream_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Creates a key; surrounding white space is removed.
    ///
    /// # Errors
    ///
    /// Returns `Config` if the key is empty or contains a character that is not visible ASCII,
    /// which headers cannot contain.
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        let trimmed = key.trim();
        if trimmed.is_empty() {
            return Err(Error::config("invalid API key: it is empty").with_setting("api_key"));
        }
        match trimmed.bytes().position(|byte| !byte.is_ascii_graphic()) {
            None => Ok(Self(trimmed.to_owned())),
            Some(index) => Err(Error::config(format!(
                "invalid character at index {index} of the API key: expected one line of visible \
                 ASCII characters"
            ))
            .with_setting("api_key")),
        }
    }

    /// Returns the value of an `Authorization` header, `Bearer …`, marked sensitive.
    pub fn bearer(&self) -> HeaderValue {
        // `new` has checked that this cannot fail.
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// Returns the key itself, for uses other than a bearer header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}
