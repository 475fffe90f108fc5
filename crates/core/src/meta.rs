//! The metadata of a response: headers, times, warnings, rate limits.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::{duration::read_duration, provider::read_time};

/// The metadata of a response.
///
/// `Debug` shows the request's id and no other header, because headers may contain secrets such as
/// cookies.
///
/// ```
/// # use std::time::Duration;
/// # use http::HeaderValue;
/// # use inferstream_core::ChatResponse;
/// # let mut response = ChatResponse::default();
/// # let headers = &mut response.meta.headers;
/// # headers.insert("x-request-id", HeaderValue::from_static("r-1"));
/// # headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("4"));
/// # response.meta.time_to_end = Some(Duration::from_secs(2));
/// let meta = &response.meta;
/// assert_eq!(meta.request_id(), Some("r-1"));
/// assert_eq!(meta.time_to_end, Some(Duration::from_secs(2)));
/// let limits = meta.rate_limits();
/// assert_eq!(limits.get("requests").and_then(|limit| limit.remaining), Some(4));
/// ```
#[derive(Clone, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Meta {
    /// The HTTP status.
    pub status: StatusCode,
    /// The HTTP headers.
    pub headers: HeaderMap,
    /// How often the request was sent: the attempts of the [`RetryPolicy`](crate::RetryPolicy), and
    /// the replays of a transport that counts them ([`Replays`](crate::Replays)).
    ///
    /// If it is above 1, the service may have processed, and billed, the request more than once: for
    /// example if a proxy in front of it responded with 408 or 5xx.
    pub attempts: u32,
    /// The time from the start of the request to the response's headers, including earlier
    /// attempts.
    pub time_to_head: Duration,
    /// The time from the start of the request to the first event; `None` before it.
    pub time_to_first_event: Option<Duration>,
    /// The time from the start of the request to the end of the response, or to the error that ended
    /// it; `None` before that, and if the response was canceled.
    ///
    /// The stream does not read ahead, so a caller that takes events slowly sees a later end. Waiting
    /// for an end marker that never comes is not included.
    pub time_to_end: Option<Duration>,
    /// Whether fragments of the response arrived in more than one read: false for one document, and
    /// for a stream that arrived all at once.
    pub streamed: bool,
    /// Warnings about a response that did not fail, for example that the model is retired.
    pub warnings: Vec<String>,
    /// The web page of the response, if the provider has one.
    pub web_url: Option<String>,
    /// The logs of the model's program, if the provider sends them: the last 64 KiB.
    pub logs: String,
}

impl Meta {
    /// Appends to the logs, and drops their beginning if they become too long.
    pub(crate) fn add_logs(&mut self, more: &str) {
        const KEPT: usize = 64 << 10;
        self.logs.push_str(more);
        let over = self.logs.len().saturating_sub(KEPT);
        let start = (over..over + 4).find(|&start| self.logs.is_char_boundary(start));
        self.logs.drain(..start.unwrap_or_default());
    }

    /// Returns the time from the first event to the end.
    pub(crate) fn time_streaming(&self) -> Option<Duration> {
        let (first, end) = (self.time_to_first_event?, self.time_to_end?);
        self.streamed.then(|| end.saturating_sub(first))
    }

    /// Returns the provider's id of the request, if a header has it.
    pub fn request_id(&self) -> Option<&str> {
        request_id(&self.headers)
    }

    /// Returns the rate limits that the headers report.
    pub fn rate_limits(&self) -> RateLimits {
        RateLimits::from_headers(&self.headers)
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("status", &self.status)
            .field("request_id", &self.request_id())
            .field("attempts", &self.attempts)
            .field("time_to_head", &self.time_to_head)
            .field("time_to_first_event", &self.time_to_first_event)
            .field("time_to_end", &self.time_to_end)
            .field("streamed", &self.streamed)
            .field("warnings", &self.warnings)
            .field("web_url", &self.web_url)
            .field("logs", &self.logs)
            .finish_non_exhaustive()
    }
}

/// Copies headers to a map and a buffer of their size.
///
/// HTTP clients make the values slices of the buffer that they read the response into, 8 KiB or more,
/// which would stay in memory for as long as the response does, and their map has room for more headers.
pub(crate) fn copy(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let size = headers.values().map(HeaderValue::len).sum();
    let mut buffer = BytesMut::with_capacity(size);
    for value in headers.values_mut() {
        buffer.extend_from_slice(value.as_bytes());
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(buffer.split().freeze()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    headers
}

/// Reads the request's id from the headers that providers and gateways use.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    ["x-request-id", "request-id", "inference-id", "cf-ray"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
}

/// The rate limits that a service reports, by resource and period.
///
/// They are read from headers `x-ratelimit-{limit|remaining|reset}-{resource}[-{period}]` with any
/// resources and periods, because providers change them (Cerebras has had `requests-day`,
/// `tokens-minute` and names without a period). Headers without a resource
/// (`x-ratelimit-remaining`, `ratelimit-remaining`) are stored as `requests`. `ratelimit` and
/// `ratelimit-policy` are read in the formats of the IETF draft
/// `draft-ietf-httpapi-ratelimit-headers`: by the policy's name, or as `requests` in the versions
/// of the draft without names.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// The limits, by the last part of the header's name, such as `tokens-minute`.
    pub limits: BTreeMap<String, RateLimit>,
}

/// One rate limit; values that the service did not report are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The number allowed per period.
    pub limit: Option<u64>,
    /// The number left.
    pub remaining: Option<u64>,
    /// The time until the limit is reset.
    pub reset: Option<Duration>,
}

impl RateLimits {
    /// Reads the limits from a response's headers.
    ///
    /// A reset may be a number of seconds, a duration such as `6m0s`, or a point in time, which is
    /// compared with the response's `date`.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self::read(headers, None)
    }

    /// Reads the limits from a response's headers, with the time to use if they have no `date`.
    pub fn from_headers_at(headers: &HeaderMap, now: SystemTime) -> Self {
        Self::read(headers, Some(now))
    }

    fn read(headers: &HeaderMap, now: Option<SystemTime>) -> Self {
        let date = headers.get(http::header::DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let now = date.or(now);
        let mut limits = Self::default();
        for (name, value) in headers {
            let Ok(value) = value.to_str() else { continue };
            let name = name.as_str();
            if let "ratelimit" | "ratelimit-policy" = name {
                limits.read_draft(value, now);
            } else if let Some(rest) = name.strip_prefix("x-ratelimit-") {
                match rest.split_once('-') {
                    Some((what, resource)) => limits.set(resource, what, value, now),
                    None => limits.set_unnamed(rest, value, now),
                }
            } else if let Some(rest) = name.strip_prefix("ratelimit-") {
                limits.set_unnamed(rest, value, now);
            }
        }
        limits
    }

    /// Sets a value of a resource.
    fn set(&mut self, resource: &str, what: &str, value: &str, now: Option<SystemTime>) {
        if let "limit" | "remaining" | "reset" = what {
            let limit = self.limits.entry(resource.to_owned()).or_default();
            limit.set(what, value, now);
        }
    }

    /// Sets a value from a header that names no resource, unless a header that names one has set it.
    fn set_unnamed(&mut self, what: &str, value: &str, now: Option<SystemTime>) {
        if let "limit" | "remaining" | "reset" = what {
            let mut told = RateLimit::default();
            told.set(what, value, now);
            let limit = self.limits.entry(UNNAMED.to_owned()).or_default();
            limit.limit = limit.limit.or(told.limit);
            limit.remaining = limit.remaining.or(told.remaining);
            limit.reset = limit.reset.or(told.reset);
        }
    }

    /// Reads `"name";q=100;w=60` and `"name";r=50;t=30` (versions 8 and later of the draft), and
    /// `limit=100, remaining=50, reset=30` and `100;w=60` (version 7).
    fn read_draft(&mut self, value: &str, now: Option<SystemTime>) {
        for member in value.split(',') {
            let mut resource = UNNAMED;
            for part in member.split(';').map(str::trim) {
                let (what, value) = match part.split_once('=') {
                    Some(("limit" | "q", value)) => ("limit", value),
                    Some(("remaining" | "r", value)) => ("remaining", value),
                    Some(("reset" | "t", value)) => ("reset", value),
                    Some(_) => continue,
                    None if part.parse::<u64>().is_ok() => ("limit", part),
                    None => {
                        resource = part.trim_matches('"');
                        continue;
                    }
                };
                self.set(resource, what, value, now);
            }
        }
    }

    /// Returns the longest time until a used-up limit is reset, or `None` if no limit is used up.
    pub fn until_reset(&self) -> Option<Duration> {
        let used_up = self
            .limits
            .values()
            .filter(|limit| limit.remaining == Some(0));
        used_up.filter_map(|limit| limit.reset).max()
    }

    /// Returns the limit of a resource and period, such as `tokens-minute`.
    pub fn get(&self, resource: &str) -> Option<&RateLimit> {
        self.limits.get(resource)
    }

    /// Returns true if the service reported no limits.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}

impl RateLimit {
    fn set(&mut self, what: &str, value: &str, now: Option<SystemTime>) {
        // An earlier version of the draft appends the policies to the number: `100, 100;w=60`.
        let number = value.split([',', ';']).next().unwrap_or_default().trim();
        match what {
            "limit" => self.limit = number.parse().ok(),
            "remaining" => self.remaining = number.parse().ok(),
            _ => self.reset = until(value, now),
        }
    }
}

/// The name for limits without a resource.
const UNNAMED: &str = "requests";

/// Parses when a limit is reset: a duration, or a point in time.
fn until(value: &str, now: Option<SystemTime>) -> Option<Duration> {
    // A number of seconds, or of milliseconds (OpenRouter), since 1970 is not a duration: it would
    // be more than thirty years.
    const YEARS: f64 = 1e9;
    let end = match value.trim().parse::<f64>() {
        Ok(number) if 1e3 * YEARS <= number => Duration::try_from_secs_f64(number / 1e3).ok()?,
        Ok(number) if YEARS <= number => Duration::try_from_secs_f64(number).ok()?,
        _ => match read_duration(value) {
            Some(wait) => return Some(wait),
            None => Duration::from_secs(read_time(value.trim())?),
        },
    };
    let now = now?.duration_since(UNIX_EPOCH).ok()?;
    Some(end.saturating_sub(now))
}
