//! Checks of a base URL, of the size of a request, and of the content type of a response.

use http::header::CONTENT_TYPE;
use inferstream_core::{Error, ErrorKind, Result, protocol::Started};

/// Refuses a base URL that already ends in the path that the client appends.
pub(crate) fn check_end(base: &str, path: &str) -> Result<()> {
    match base.strip_suffix(path) {
        Some(_) if !path.is_empty() => Err(Error::config(format!(
            "invalid base URL: it ends in `{path}`, which the client appends: remove it"
        ))
        .with_setting("base_url")),
        _ => Ok(()),
    }
}

/// The largest body of a request, in bytes. Services accept less; the limit keeps a mistakenly
/// added image from filling the memory.
const MAX_BODY: usize = 16 << 20;

/// Refuses a body that has at least `length` bytes, if that is too much.
pub(crate) fn check_size(length: usize) -> Result<()> {
    if length <= MAX_BODY {
        return Ok(());
    }
    let message =
        format!("request too large: expected at most {MAX_BODY} bytes, got at least {length}");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Refuses a response without a body, an HTML page, and text that is not UTF-8, by the headers.
/// Other wrong responses are recognized by their first byte when they are decoded.
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
        204 | 205 => "a response without a body",
        _ if value.starts_with("text/html") => "an HTML page",
        // Event streams are always UTF-8 (the HTML standard, section 9.2.5), and so is JSON (RFC
        // 8259).
        _ if charset.is_some_and(|charset| !is_utf8(charset)) => "text that is not UTF-8",
        _ => return Ok(()),
    };
    Err(Error::protocol(format!(
        "{provider} returned {problem} instead of a chat response"
    ))
    .with_head(started.meta.status, started.meta.headers.clone())
    .with_attempts(started.meta.attempts))
}
