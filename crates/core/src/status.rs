//! An answer's head in; what it tells by itself of an error and of another attempt out.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::error::{Error, ErrorKind, Repeat};

/// Reads how long an answer asks to wait: `retry-after-ms`, else `retry-after` as seconds or as a
/// date (RFC 9110, section 10.2.3), held against the answer's own `date`, else against `now`.
///
/// What is negative, not a number, or beyond all sense counts as not said.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let duration = |seconds| Duration::try_from_secs_f64(seconds).ok();

    let milliseconds = text("retry-after-ms").and_then(number);
    if let Some(wait) = milliseconds.and_then(|number| duration(number / 1000.0)) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    if let Some(seconds) = number(value) {
        return duration(seconds);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = text("date")
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default())
}

/// Says what a status alone tells of sending the request again.
fn repeat_of_status(status: u16) -> Repeat {
    match status {
        408 | 429 | 500 | 502 | 503 | 504 | 521..=523 | 529 => Repeat::Safe,
        520 | 524 => Repeat::Ambiguous,
        _ => Repeat::Never,
    }
}

impl ErrorKind {
    /// Returns the kind that a status alone tells.
    pub fn of_status(status: http::StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Auth,
            402 => Self::Quota,
            403 => Self::Permission,
            404 | 410 => Self::NotFound,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            408 | 500..=599 => Self::Server,
            300..=399 => Self::Redirect,
            _ => Self::InvalidRequest,
        }
    }
}

impl Error {
    /// Creates the error that an answer's head tells by itself: kind, status, headers, how long to
    /// wait, and whether the request may be sent again.
    ///
    /// The kind is by the status, and so is the repeat, unless the header `x-should-retry`, which
    /// OpenAI-like services send, says `false`, or says `true` of a 409, a 425 or a 5xx.
    pub fn of_head(status: http::StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let number = status.as_u16();
        let repeat = match headers
            .get("x-should-retry")
            .map(http::HeaderValue::as_bytes)
        {
            Some(b"false") => Repeat::Never,
            Some(b"true") if matches!(number, 409 | 425 | 500..=599) => Repeat::Safe,
            _ => repeat_of_status(number),
        };
        Self::new(
            ErrorKind::of_status(status),
            format!("the service answered {status}"),
        )
        .with_head(status, headers.clone())
        .with_retry_after(retry_after(headers, now))
        .with_repeat(repeat)
    }
}
