//! A base URL, a request's body or an answer's head in; an error out where it cannot be what it should
//! be.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use inferstream_core::{Error, ErrorKind, Result, protocol::Started};

/// Refuses a base URL that somebody has pasted whole, with the path that is put behind it.
pub(crate) fn check_end(base: &str, path: &str) -> Result<()> {
    match base.strip_suffix(path) {
        Some(_) if !path.is_empty() => Err(Error::config(format!(
            "the base URL ends in `{path}`, which is put behind it: leave that out"
        ))),
        _ => Ok(()),
    }
}

/// The most that a request's body may hold: what services accept is below it, and an image that
/// fills more memory was not meant to be sent.
const MAX_BODY: usize = 16 << 20;

/// Refuses a body that is too large.
pub(crate) fn check_size(body: &Bytes) -> Result<()> {
    match body.len() {
        length if length <= MAX_BODY => Ok(()),
        length => {
            let message = format!("the request is of {length} bytes; the limit is {MAX_BODY}");
            Err(Error::new(ErrorKind::TooLarge, message))
        }
    }
}

/// Refuses what is said to be a page, or text in another encoding; the other replies show themselves
/// by their first byte.
pub(crate) fn check_content_type(provider: &str, started: &Started) -> Result<()> {
    let value = started
        .meta
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let value = value.unwrap_or_default().to_ascii_lowercase();
    let charset = value.split_once("charset=");
    let charset = charset.map(|(_, charset)| charset.trim_matches(['"', '\'']));
    let is_utf8 = |name: &str| {
        ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|utf8| name.starts_with(utf8))
    };
    let problem = match started.meta.status.as_u16() {
        204 | 205 => "an answer without a body",
        _ if value.starts_with("text/html") => "a page of HTML",
        // "Event streams … must always be encoded as UTF-8", and so is JSON.
        _ if charset.is_some_and(|charset| !is_utf8(charset)) => "text that is not in UTF-8",
        _ => return Ok(()),
    };
    Err(Error::protocol(format!(
        "{provider} sent {problem} where an answer should be"
    ))
    .with_head(started.meta.status, started.meta.headers.clone())
    .with_attempts(started.meta.attempts))
}
