//! What the status and headers of a response say about an error and a retry.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::{
    error::{Error, ErrorKind, Repeat},
    meta::RateLimits,
};

/// Reads how long a response asks to wait: `retry-after-ms`, or else `retry-after` as seconds, as a
/// duration with units such as `2m30s`, or as a date (RFC 9110, section 10.2.3), compared with the
/// response's `date`, or else with `now`.
///
/// Values that are negative, not a number, or too large to be meant are ignored.
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

/// Reads a duration as services write it: seconds as a plain number, or amounts with units, such as
/// `6m0s`, `2m59.56s`, `9ms` and `30 seconds`.
///
/// Returns `None` for text of another form, and for a duration that is negative or too long.
pub fn read_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut sum = None::<Duration>;
    while !rest.is_empty() {
        let unit = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, unit) = rest.split_at(unit);
        let end = unit.find(|char: char| char.is_ascii_digit());
        let (unit, next) = unit.split_at(end.unwrap_or(unit.len()));
        let scale = match unit.trim() {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()?;
        sum = Some(sum.unwrap_or_default().checked_add(part)?);
        rest = next;
    }
    sum
}

/// Returns what a status alone says about sending the request again.
///
/// 520 to 530 are Cloudflare's: if it did not reach the service (521 to 523, 525, 526, 530), the
/// request was not processed; after 520, 524 and 527 that is unknown.
fn repeat_of_status(status: u16) -> Repeat {
    match status {
        408 | 429 | 500 | 502 | 503 | 504 | 521..=523 | 525 | 526 | 529 | 530 => Repeat::Safe,
        520 | 524 | 527 => Repeat::Ambiguous,
        _ => Repeat::Never,
    }
}

impl ErrorKind {
    /// Returns the kind of a status.
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
    /// Creates an error from a response's status and headers: kind, status, headers, how long to wait,
    /// and whether the request may be sent again.
    ///
    /// The status decides the kind and the repeat, unless the header `x-should-retry`, which OpenAI-like
    /// services send, is `false`, or is `true` with a 409, a 425 or a 5xx.
    ///
    /// The wait is [`retry_after`], or for a 429 without it the time until the last of the used-up
    /// limits is reset, as [`RateLimits`] reads it.
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
        let wait = retry_after(headers, now).or_else(|| {
            let limits = (number == 429).then(|| RateLimits::read(headers, Some(now)));
            limits?.until_reset()
        });
        Self::new(
            ErrorKind::of_status(status),
            format!("the service answered {status}"),
        )
        .with_head(status, headers.clone())
        .with_retry_after(wait)
        .with_repeat(repeat)
    }
}
