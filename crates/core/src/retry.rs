//! When a request is sent again, and after how long.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use http::HeaderMap;

use crate::{
    error::{Error, ErrorKind, Repeat, Result},
    timeouts::Phase,
    transport::Transport,
};

/// When a request that failed is sent again.
///
/// Only before the answer's head: once a stream has begun nothing is sent again.
/// A request that may have been worked on is not sent again unless
/// [`retry_ambiguous`](Self::retry_ambiguous) says so, since it would be billed twice.
///
/// The wait before attempt *n* + 1 is between half and the whole of
/// [`base_delay`](Self::base_delay) · 2ⁿ⁻¹, at most [`max_delay`](Self::max_delay); where the
/// service names a time, it is at least that and up to a tenth more.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a request is sent at most: 3. 0 means 1.
    pub max_attempts: u32,
    /// The first wait: 0.5 s.
    pub base_delay: Duration,
    /// The longest wait of our own choosing: 8 s.
    pub max_delay: Duration,
    /// The longest wait that a service may ask for: 60 s. Above it the error is given at once.
    pub max_retry_after: Duration,
    /// How long all attempts and waits may take before a last attempt is begun, a wait that the
    /// service asked for apart: 60 s.
    pub max_elapsed: Duration,
    /// Whether a request is sent once more, at once, where a reused connection had died: true.
    pub replay_stale: bool,
    /// Whether a request that may have been worked on is sent again: false.
    pub retry_ambiguous: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
            max_retry_after: Duration::from_secs(60),
            max_elapsed: Duration::from_secs(60),
            replay_stale: true,
            retry_ambiguous: false,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty,)*) => {
        impl RetryPolicy {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](field@Self::", stringify!($name), ").")]
                #[must_use]
                pub const fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )*
        }
    };
}

setters! {
    max_attempts: u32,
    base_delay: Duration,
    max_delay: Duration,
    max_retry_after: Duration,
    max_elapsed: Duration,
    replay_stale: bool,
    retry_ambiguous: bool,
}

impl RetryPolicy {
    /// Returns a policy that sends each request once.
    pub fn never() -> Self {
        Self {
            max_attempts: 1,
            replay_stale: false,
            ..Self::default()
        }
    }

    /// Makes attempts until one succeeds, may not be repeated, or the policy ends them.
    ///
    /// `total` is the limit on the whole request; an attempt is not begun after it, nor a wait that
    /// would pass it.
    ///
    /// # Errors
    ///
    /// The last attempt's error, with the number of attempts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt or the wait.
    pub async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        transport: &dyn Transport,
        total: Option<Duration>,
        mut attempt: impl FnMut(u32) -> F + Send,
    ) -> Result<T> {
        let start = transport.now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = total.map(|total| total.saturating_sub(transport.now() - start));
            let outcome = match left {
                None => attempt(attempts).await,
                Some(left) => within(transport, left, total, attempt(attempts)).await,
            };
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(error) => error.with_attempts(attempts),
            };
            let elapsed = transport.now() - start;
            let Some(wait) = self.wait_after(&error, attempts) else {
                return Err(error);
            };
            // A wait that the service asked for need not fit: `max_retry_after` bounds it.
            let own = if error.retry_after().is_some() {
                Duration::ZERO
            } else {
                wait
            };
            let beyond = |limit, wait| limit < elapsed.saturating_add(wait);
            let ends = transport.now().checked_add(wait).is_some();
            let late =
                beyond(self.max_elapsed, own) || total.is_some_and(|total| beyond(total, wait));
            if late || !ends {
                return Err(error);
            }
            transport.sleep(wait).await;
            // It may have slept longer than asked.
            if total.is_some_and(|total| total <= transport.now() - start) {
                return Err(error);
            }
        }
    }

    /// Returns how long to wait before the next attempt, or `None` if there is to be none.
    fn wait_after(&self, error: &Error, attempts: u32) -> Option<Duration> {
        let repeats = match error.repeat() {
            Repeat::Safe => true,
            Repeat::Ambiguous => self.retry_ambiguous,
            Repeat::Never => false,
        };
        if !repeats || self.max_attempts <= attempts {
            return None;
        }
        let doublings = (attempts - 1).min(31);
        let delay = self
            .base_delay
            .saturating_mul(1 << doublings)
            .min(self.max_delay);
        let own = delay / 2 + (delay / 2).mul_f64(fastrand::f64());
        match error.retry_after() {
            None => Some(own),
            Some(asked) if self.max_retry_after < asked => None,
            Some(asked) => Some(
                asked
                    .max(own)
                    .saturating_add((asked / 10).mul_f64(fastrand::f64())),
            ),
        }
    }
}

/// Waits for a future, but not longer than what is left of the whole request's time.
async fn within<T>(
    transport: &dyn Transport,
    left: Duration,
    total: Option<Duration>,
    future: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = transport.sleep(left);
    std::future::poll_fn(|cx| {
        if let std::task::Poll::Ready(outcome) = future.as_mut().poll(cx) {
            return std::task::Poll::Ready(outcome);
        }
        sleep.as_mut().poll(cx).map(|()| {
            let error = Error::timeout(Phase::Total, total.unwrap_or(left));
            Err(error.with_repeat(Repeat::Never))
        })
    })
    .await
}

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
pub(crate) fn repeat_of_status(status: u16) -> Repeat {
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
