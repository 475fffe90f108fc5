//! Cookies from a browser, in the forms that users have them.

mod json;
mod netscape;

use std::{fmt, fs::File, io::Read as _, path::Path, time::SystemTime};

use http::Uri;
use inferstream_core::{Error, Result};

use crate::jar::{GivenCookie, Jar, is_pair};

/// The largest file: a HAR of an hour on several pages is smaller.
const MAX_FILE: u64 = 16 << 20;

/// The most cookies for one host: browsers keep 180.
const MAX_COOKIES: usize = 300;

/// The most bytes of the `Cookie` header: a session in four cookies of 4 KiB, a browser's limit for
/// each; servers refuse more.
const MAX_HEADER: usize = 16 << 10;

/// The longest name of a missing file that an error shows: a session's token is longer.
const LONG_NAME: usize = 100;

/// The cookies of a signed-in browser, which a provider exchanges for a key. This way to get a key is
/// unofficial.
///
/// They are kept in memory, and sent only to the host of the session. `Debug` shows only their number.
///
/// ```
/// use inferstream_session::Cookies;
///
/// let cookies = Cookies::from_header("__Secure-authjs.session-token=eyJhbGciOiJkaXIi")?;
/// assert_eq!(format!("{cookies:?}"), "Cookies { count: 1, .. }");
/// # Ok::<(), inferstream_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Cookies {
    found: Vec<Found>,
}

/// A cookie, and the host that it was sent to if its own host is unknown.
#[derive(Clone)]
struct Found {
    cookie: GivenCookie,
    sent_to: Option<String>,
}

impl From<GivenCookie> for Found {
    fn from(cookie: GivenCookie) -> Self {
        let sent_to = None;
        Self { cookie, sent_to }
    }
}

impl Cookies {
    /// Parses the value of a `Cookie` header, as the browser's developer tools show it: `a=b; c=d`. Of
    /// two with the same name, the last one counts.
    ///
    /// # Errors
    ///
    /// `Config` if a cookie is invalid, or if there is no cookie, more than 300 cookies or more than
    /// 16 KiB.
    pub fn from_header(header: &str) -> Result<Self> {
        let header = header.trim();
        let header = match header.split_at_checked("cookie:".len()) {
            Some((name, value)) if name.eq_ignore_ascii_case("cookie:") => value,
            _ => header,
        };
        if MAX_HEADER < header.len() {
            return Err(too_long());
        }
        let pairs = header.split(';').map(str::trim);
        let pairs = pairs.filter(|pair| !pair.is_empty()).enumerate();
        let found = pairs.map(|(index, pair)| match pair.split_once('=') {
            Some((name, value)) if is_pair(name, value) => Ok(bare(name, value).into()),
            _ => Err(invalid(format!(
                "invalid cookie {} in the header: expected `name=value` pairs separated by `; `",
                index + 1
            ))),
        });
        let found = found.collect::<Result<Vec<_>>>()?;
        if MAX_COOKIES < found.len() {
            return Err(too_many("the header"));
        }
        Self::new(found)
    }

    /// Reads a file in UTF-8, whose format is detected: see [`from_text`](Self::from_text). Blocks,
    /// on a pipe until the writer closes it.
    ///
    /// # Errors
    ///
    /// As `from_text`, with the path in the message; also `Config` if the file cannot be read or is
    /// larger than 16 MiB.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        // The path may be the cookies themselves, which must not be shown.
        let is_pair = path.to_string_lossy().contains(['=', '{', '[']);
        let is_token = path.file_name().is_some_and(|name| LONG_NAME < name.len());
        if (is_pair || is_token) && !path.exists() {
            let message = "no such file: if this is the text of the cookies, save it to a file";
            return Err(invalid(message));
        }
        let read = || {
            let unread = |error: std::io::Error| invalid(error.to_string());
            let mut bytes = Vec::new();
            File::open(path)
                .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
                .map_err(unread)?;
            if MAX_FILE < bytes.len() as u64 {
                return Err(invalid("too large: expected at most 16 MiB"));
            }
            let text = String::from_utf8(bytes);
            Self::from_text(&text.map_err(|_| invalid("invalid text: expected UTF-8"))?)
        };
        read().map_err(|error: Error| error.context(path.display()))
    }

    /// Parses the content of a file: a `cookies.txt` (Netscape); JSON as browser extensions export
    /// it, a list of objects or an object of names and values; a HAR; or the header alone.
    ///
    /// Invalid entries are skipped, and [`jar`](Self::jar) skips cookies for other hosts.
    ///
    /// ```
    /// use inferstream_session::Cookies;
    ///
    /// let list = r#"[{"name": "session-token", "value": "eyJh", "domain": ".cerebras.ai"}]"#;
    /// let cookies = Cookies::from_text(list)?;
    /// assert_eq!(format!("{cookies:?}"), "Cookies { count: 1, .. }");
    /// # Ok::<(), inferstream_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Config` if the format is unknown, the text is larger than 16 MiB, or there is no cookie.
    pub fn from_text(text: &str) -> Result<Self> {
        if MAX_FILE < text.len() as u64 {
            return Err(invalid("cookies too large: expected at most 16 MiB"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().as_bytes() {
            [b'{' | b'[', ..] => Self::new(json::read(text)?),
            _ if netscape::is_it(text) => match netscape::read(text) {
                found if found.is_empty() => Err(invalid(
                    "no cookie found: expected lines of seven fields separated by tabs",
                )),
                found => Self::new(found.into_iter().map(Found::from).collect()),
            },
            _ => Self::from_header(text),
        }
    }

    fn new(found: Vec<Found>) -> Result<Self> {
        if found.is_empty() {
            return Err(invalid(
                "no cookie found: a HAR has cookies only if it is saved with sensitive data",
            ));
        }
        Ok(Self { found })
    }

    /// Returns a jar of the cookies that a URL's host would get, with the parent domains that cookies
    /// may name (see [`Jar::new`]).
    ///
    /// # Errors
    ///
    /// `Config` if no cookie is for the host, path and scheme of the URL, or if more than 300 cookies or
    /// more than 16 KiB are.
    pub fn jar<S: AsRef<str>>(
        &self,
        parents: impl IntoIterator<Item = S>,
        url: &Uri,
    ) -> Result<Jar> {
        let host = url.host().unwrap_or_default();
        let mut jar = Jar::new(parents).room(MAX_COOKIES, usize::MAX);
        for Found { cookie, sent_to } in &self.found {
            let is_others = |sent_to: &String| !sent_to.eq_ignore_ascii_case(host);
            if sent_to.as_ref().is_some_and(is_others) {
                continue;
            }
            if jar.give(host, cookie) && MAX_COOKIES < jar.len() {
                return Err(too_many(host));
            }
        }
        let https = url.scheme_str() == Some("https");
        // At this time no cookie has expired: whether they have is checked before each request.
        let line = jar.header(host, url.path(), https, SystemTime::UNIX_EPOCH);
        let Some(line) = line else {
            return Err(invalid(if jar.is_empty() {
                format!("no cookie for {host}: export the cookies of that page")
            } else {
                format!(
                    "no cookie for this URL of {host}: its cookies are for other paths or for https only"
                )
            }));
        };
        if MAX_HEADER < line.len() {
            return Err(too_long());
        }
        Ok(jar.room(MAX_COOKIES, MAX_HEADER))
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies")
            .field("count", &self.found.len())
            .finish_non_exhaustive()
    }
}

/// Creates a cookie whose host, path and expiry are unknown.
fn bare(name: &str, value: &str) -> GivenCookie {
    GivenCookie {
        name: name.to_owned(),
        value: value.to_owned(),
        host: None,
        below: false,
        path: "/".to_owned(),
        expires: None,
        secure: false,
    }
}

/// Creates an error about the setting `cookies`.
fn invalid(message: impl Into<String>) -> Error {
    Error::config(message).with_setting("cookies")
}

fn too_long() -> Error {
    invalid("too many cookies: expected at most 16 KiB: export the cookies of one page only")
}

fn too_many(whose: &str) -> Error {
    invalid(format!(
        "too many cookies for {whose}: expected at most {MAX_COOKIES}: export the cookies of one page only"
    ))
}
