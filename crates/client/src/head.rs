//! The meaning of a response's status and headers for errors and retries.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode};
use inferstream_core::{Error, ErrorKind, RateLimits, Repeat, provider::read_duration};

use crate::{
    call::Refusal,
    page::{is_challenge, is_page},
};

impl Refusal<'_> {
    /// Creates an error from the response: that of [`error_of_head`], with the body, and with a
    /// message of the form `PROVIDER returned 503 Service Unavailable: MESSAGE`.
    ///
    /// A browser challenge has the kind `Challenge`, is not retried, and its message is not quoted.
    /// Without a message of the service, an HTML page is called one.
    pub fn error(&self, provider: &str, message: Option<&str>) -> Error {
        let error = error_of_head(self.status, self.headers, self.now).with_body(self.body);
        let text = String::from_utf8_lossy(self.body);
        let is_challenge = is_challenge(self.headers, &text);
        let mut line = format!("{provider} returned {}", self.status.as_str());
        if let Some(reason) = self.status.canonical_reason() {
            line = format!("{line} {reason}");
        }
        match message {
            _ if is_challenge => line.push_str(" with a browser challenge"),
            Some(message) => line = format!("{line}: {message}"),
            None if is_page(&text) => line.push_str(" with an HTML page"),
            None => {}
        }
        let error = error.map_message(|_| line);
        if is_challenge {
            error
                .with_kind(ErrorKind::Challenge)
                .with_repeat(Repeat::Never)
        } else {
            error
        }
    }
}

/// Creates an error from a response's status and headers: its kind, the delay that the service asks
/// for, and whether the request may be sent again.
///
/// The status decides the kind and whether to retry. The header `x-should-retry`, which OpenAI-like
/// services send, overrides the latter if it is `false`, or if it is `true` with a 409, a 425 or a
/// 5xx.
///
/// The delay is [`retry_after`]. For a 429 without it, it is the time until the last of the used-up
/// limits in [`RateLimits`] is reset.
pub fn error_of_head(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Error {
    let number = status.as_u16();
    let should_retry = headers.get("x-should-retry").map(HeaderValue::as_bytes);
    let repeat = match should_retry {
        Some(b"false") => Repeat::Never,
        Some(b"true") if matches!(number, 409 | 425 | 500..=599) => Repeat::Safe,
        _ => repeat_of_status(number),
    };
    let wait = retry_after(headers, now).or_else(|| {
        let limits = (number == 429).then(|| RateLimits::from_headers_at(headers, now));
        limits?.until_reset()
    });
    let message = format!("the service returned {status}");
    Error::new(kind_of_status(status), message)
        .with_head(status, headers.clone())
        .with_retry_after(wait)
        .with_repeat(repeat)
}

/// Returns the kind of error for a status.
fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Auth,
        402 => ErrorKind::Quota,
        403 => ErrorKind::Permission,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        503 | 529 => ErrorKind::Overloaded,
        408 | 500..=599 => ErrorKind::Server,
        300..=399 => ErrorKind::Redirect,
        _ => ErrorKind::InvalidRequest,
    }
}

/// Returns whether a request may be sent again after a status, without regard to headers.
///
/// 520 to 530 are Cloudflare's. After 521 to 523, 525, 526 and 530 Cloudflare did not reach the
/// service, so the request was not processed. After 520, 524 and 527 that is unknown.
fn repeat_of_status(status: u16) -> Repeat {
    match status {
        408 | 429 | 500 | 502 | 503 | 504 | 521..=523 | 525 | 526 | 529 | 530 => Repeat::Safe,
        520 | 524 | 527 => Repeat::Ambiguous,
        _ => Repeat::Never,
    }
}

/// Returns the delay that a response asks for. It is read from `retry-after-ms`, or else from
/// `retry-after`: as seconds, as a duration with units such as `2m30s`, or as a date (RFC 9110,
/// section 10.2.3), which is compared with the response's `date`, or else with `now`.
///
/// Negative values, values that are not a number, and implausibly large values are ignored.
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
    if let Some(wait) = read_duration(value) {
        return Some(wait);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = text("date")
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    Some(date.duration_since(now).unwrap_or_default())
}
