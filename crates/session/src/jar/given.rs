//! A cookie from a browser's export.

use std::fmt;

/// A cookie from elsewhere, such as a browser's export.
///
/// `Debug` shows no value.
#[derive(Clone)]
pub struct GivenCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it is sent to; `None` if unknown, and then that of the request it is added for.
    pub host: Option<String>,
    /// Whether it is also sent to the subdomains of that host.
    pub below: bool,
    /// The path that it is sent to, with everything below it.
    pub path: String,
    /// When it expires, in seconds since 1970; `None` for a session cookie.
    pub expires: Option<u64>,
    /// Whether it is sent only over TLS.
    pub secure: bool,
}

impl fmt::Debug for GivenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenCookie")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
