//! What a browser's export tells of a cookie.

use std::fmt;

/// A cookie that somebody else has kept, such as a browser, as its export tells it.
///
/// `Debug` shows no value.
#[derive(Clone)]
pub struct GivenCookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it is for; `None` where nobody knows, and then it is for the one that is asked.
    pub host: Option<String>,
    /// Whether it is for the hosts below that one too.
    pub below: bool,
    /// The path that it is for, and all below.
    pub path: String,
    /// When it ends, in seconds since 1970; `None` for a cookie of a browser's session.
    pub expires: Option<u64>,
    /// Whether it goes over TLS alone.
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
