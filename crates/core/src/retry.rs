//! The retry policy: when a request is sent again, and after how long.

use std::{
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use crate::{
    budget::RetryBudget,
    error::{Error, ErrorKind, Repeat, Result},
    timeouts::Phase,
    trace,
    transport::Transport,
};

/// The rules by which a failed request is sent again.
///
/// Requests are retried only before the response's headers arrive: once a stream has started,
/// nothing is sent again.
///
/// These are retried, unless the service forbids it (`x-should-retry: false`):
///
/// - failures before the request was sent: name resolution, connecting, a TLS timeout, a proxy;
/// - the statuses 408, 429, 500, 502, 503, 504, 521 to 523, 525, 526, 529 and 530.
///   A service behind a proxy may have processed a request that got 408 or 5xx, so a retry may be
///   processed and billed twice; [`retry_server_errors`](Self::retry_server_errors) turns those off.
///   A prediction of Replicate is created again only after 429, or 503 with `Retry-After`;
/// - with [`retry_ambiguous`](Self::retry_ambiguous), lost connections, timeouts while waiting for the
///   headers, and the statuses 520, 524 and 527.
///
/// In addition, the transport replays a request once if a reused connection was closed before the
/// first byte of the response ([`replay_stale`](Self::replay_stale)).
/// [`Meta::attempts`](crate::Meta::attempts) and [`Error::attempts`] include retries and replays.
///
/// The wait before attempt *n* + 1 is between half of and the full
/// [`base_delay`](Self::base_delay) · 2ⁿ⁻¹, at most [`max_delay`](Self::max_delay). If the service
/// asks for a time, the wait is that time and up to 10 % more.
///
/// # Retry budget
///
/// If a service fails completely, retries multiply its load. So all calls of a client and its clones
/// share a number of tokens, 100 for each host by default: [`budget`](field@Self::budget).
///
/// - A retry costs 5 tokens, or 1 if the service asked for a time, for example with `Retry-After`.
/// - Each second returns 1 token, and so does each request that succeeds.
/// - If too few tokens are left, the error is returned at once, and
///   [`Error::is_retry_budget_exhausted`] is true.
///
/// A client that sends few requests does not notice this: 10 calls in a row may fail after 3 attempts
/// each, and a call that succeeds after one `Retry-After` costs nothing in total. If every request of
/// a client fails, it sends 20 retries, or 100 that the service asked for, and after that one in 5 s,
/// or one in 1 s.
///
/// These cost no tokens: replays on a new connection, because each needs a connection that worked
/// before; the renewal of a key or a session that was refused, once per call; and requests that
/// resume or poll a response that has begun, a few of which may fail per response.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The maximum number of attempts: 3. 0 means 1.
    pub max_attempts: u32,
    /// The first wait: 0.5 s.
    pub base_delay: Duration,
    /// The longest wait that the policy chooses: 8 s.
    pub max_delay: Duration,
    /// The longest wait that a service may ask for: 60 s. Above it the error is returned at once.
    pub max_retry_after: Duration,
    /// The time after which no further attempt begins, not counting waits that the service asked for:
    /// 60 s.
    pub max_elapsed: Duration,
    /// Whether a request may use a connection of an earlier request, and is sent again at once if
    /// that was closed: true. If false, each request opens a connection.
    pub replay_stale: bool,
    /// Whether a request is sent again if its connection failed after it may have been sent: false.
    pub retry_ambiguous: bool,
    /// Whether a request is sent again after a response of 408 or 5xx: true. If false, the first such
    /// response is the error.
    pub retry_server_errors: bool,
    /// The number of tokens in the [retry budget](Self#retry-budget) of the client for each host: 100.
    /// `None` turns the budget off: retries cost nothing.
    pub budget: Option<u32>,
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
            retry_server_errors: true,
            budget: Some(100),
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
    retry_server_errors: bool,
    budget: Option<u32>,
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

    /// Makes attempts until one succeeds, an error must not be retried, or the policy's limits are
    /// reached.
    ///
    /// Each wait is reported to [`Transport::on_retry`] before it starts. `total` is the timeout of
    /// the complete request: no attempt starts after it, and no wait exceeds it. `budget` is that of
    /// the client for the host.
    ///
    /// # Errors
    ///
    /// Returns the last attempt's error, with the number of attempts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the current attempt or wait.
    pub async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        transport: &dyn Transport,
        total: Option<Duration>,
        budget: &RetryBudget,
        mut attempt: impl FnMut(u32) -> F + Send,
    ) -> Result<T> {
        let start = transport.now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left =
                total.map(|total| total.saturating_sub(transport.now().saturating_sub(start)));
            // Matched where it is awaited: a variable would be a part of the future for the wait below.
            let error = match within(transport, left, total, pin!(attempt(attempts))).await {
                Ok(value) => {
                    budget.refund();
                    return Ok(value);
                }
                Err(error) => error.with_attempts(attempts),
            };
            let now = transport.now();
            let elapsed = now.saturating_sub(start);
            let Some(wait) = self.wait_after(&error, attempts) else {
                return Err(error);
            };
            // A wait that the service asked for is not limited here: `max_retry_after` limits it.
            let own = if error.retry_after().is_some() {
                Duration::ZERO
            } else {
                wait
            };
            let beyond = |limit, wait| limit < elapsed.saturating_add(wait);
            let ends = now.checked_add(wait).is_some();
            let late =
                beyond(self.max_elapsed, own) || total.is_some_and(|total| beyond(total, wait));
            if late || !ends {
                return Err(error);
            }
            if !self.pays(budget, &error, now) {
                return Err(error.with_retry_budget_exhausted());
            }
            trace::retried(&error, wait);
            transport.on_retry(&error, wait);
            transport.sleep(wait).await;
            // The timer may have slept longer than requested.
            if total.is_some_and(|total| total <= transport.now().saturating_sub(start)) {
                return Err(error);
            }
        }
    }

    /// Takes the tokens for a retry. Returns false if too few are left.
    fn pays(&self, budget: &RetryBudget, error: &Error, now: Duration) -> bool {
        let cost = match error.retry_after() {
            None => 5,
            Some(_) => 1,
        };
        self.budget.is_none_or(|size| budget.take(size, cost, now))
    }

    /// Returns the delay before the next attempt, or `None` if no further attempt is made.
    fn wait_after(&self, error: &Error, attempts: u32) -> Option<Duration> {
        let repeats = match error.repeat() {
            Repeat::Safe => true,
            Repeat::Ambiguous => self.retry_ambiguous,
            Repeat::Never => false,
        };
        let left_out = !self.retry_server_errors && is_server_error(error);
        if !repeats || left_out || self.max_attempts <= attempts {
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

/// Returns true for a response that reports a failure or a timeout of the service: 408 and 5xx, and
/// those whose body reports one under another status.
fn is_server_error(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    error.kind() == ErrorKind::Server || matches!(status, Some(408 | 500..=599))
}

/// Waits for a future, but no longer than the rest of the total timeout, if there is one.
async fn within<T>(
    transport: &dyn Transport,
    left: Option<Duration>,
    total: Option<Duration>,
    // Pinned by the caller, because a future that is moved into another occupies its space twice.
    mut future: Pin<&mut (impl Future<Output = Result<T>> + Send)>,
) -> Result<T> {
    let Some(left) = left else {
        return future.await;
    };
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
