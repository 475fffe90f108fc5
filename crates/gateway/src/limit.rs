//! The limits of a key, and the permits of a request.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout_at},
};

use crate::{config::KeyConfig, refusal::Refusal};

/// The tokens that a request without a token limit is charged with before its usage is known.
const UNKNOWN_TOKENS: u64 = 1_024;

/// The limits of one key.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: Option<DefaultDirectRateLimiter>,
    tokens: Option<Arc<Tokens>>,
    in_flight: Option<Arc<Semaphore>>,
    wait: Duration,
}

/// What a request holds until its response has ended.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    permits: Vec<OwnedSemaphorePermit>,
    charge: Option<Charge>,
}

impl Permits {
    pub(crate) fn add(&mut self, permit: OwnedSemaphorePermit) {
        self.permits.push(permit);
    }

    /// Ends the request. If its usage is known, the charge is corrected.
    pub(crate) fn settle(self, tokens: Option<u64>) {
        if let (Some(charge), Some(tokens)) = (self.charge, tokens) {
            charge.settle(tokens);
        }
    }

    /// Ends a request that was refused. If the service did not work on it, it costs nothing.
    pub(crate) fn refused(self, refusal: Refusal) -> Refusal {
        // Others, such as a timeout, may have been worked on.
        if matches!(refusal.error.status.as_u16(), 400 | 404 | 413 | 429 | 503) {
            self.settle(Some(0));
        }
        refusal
    }
}

/// The reason why a request cannot be admitted now, and the time until it may be, if there is one.
type Denied = (&'static str, Option<Duration>);

impl Limits {
    pub(crate) fn new(config: &KeyConfig) -> Self {
        let semaphore = |limit: NonZeroU32| {
            let permits = usize::try_from(limit.get()).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            requests: config
                .requests_per_minute
                .map(|limit| RateLimiter::direct(Quota::per_minute(limit))),
            tokens: config
                .tokens_per_minute
                .map(|limit| Arc::new(Tokens::new(limit))),
            in_flight: config.max_in_flight.map(semaphore),
            wait: config.wait,
        }
    }

    /// Admits a request, after waiting if the key allows that.
    pub(crate) async fn admit(
        &self,
        max_tokens: Option<u64>,
        permits: &mut Permits,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + self.wait;
        if let Some(semaphore) = &self.in_flight {
            let permit = timeout_at(deadline, Arc::clone(semaphore).acquire_owned()).await;
            let Ok(Ok(permit)) = permit else {
                let message = "too many requests of this key in flight";
                return Err(Refusal::limited(message, Some(Duration::from_secs(1))));
            };
            permits.add(permit);
        }
        if let Some(limiter) = &self.requests {
            retry_until(deadline, || check_request(limiter)).await?;
        }
        if let Some(tokens) = &self.tokens {
            let estimate = max_tokens.unwrap_or(UNKNOWN_TOKENS);
            retry_until(deadline, || tokens.charge(estimate)).await?;
            permits.charge = Some(Charge {
                tokens: Arc::clone(tokens),
                estimate,
            });
        }
        Ok(())
    }
}

/// Tries to pass a limit until the deadline.
async fn retry_until(
    deadline: Instant,
    check: impl Fn() -> Result<(), Denied>,
) -> Result<(), Refusal> {
    loop {
        match check() {
            Ok(()) => return Ok(()),
            Err((_, Some(wait))) if Instant::now() + wait <= deadline => sleep(wait).await,
            Err((message, wait)) => return Err(Refusal::limited(message, wait)),
        }
    }
}

fn check_request(limiter: &DefaultDirectRateLimiter) -> Result<(), Denied> {
    limiter.check().map_err(|denied| {
        let wait = denied.wait_time_from(DefaultClock::default().now());
        ("too many requests per minute for this key", Some(wait))
    })
}

/// A limit of tokens per minute. A request is charged before its tokens are known, and the
/// difference is kept for the requests after it.
#[derive(Debug)]
struct Tokens {
    limiter: DefaultDirectRateLimiter,
    limit: NonZeroU32,
    /// Tokens that were charged and not used; below 0, tokens that were used and not charged.
    credit: AtomicI64,
}

impl Tokens {
    fn new(limit: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::direct(Quota::per_minute(limit)),
            limit,
            credit: AtomicI64::new(0),
        }
    }

    fn charge(&self, estimate: u64) -> Result<(), Denied> {
        let limit = i64::from(self.limit.get());
        let estimate = i64::try_from(estimate).unwrap_or(i64::MAX);
        if limit < estimate {
            let message = "`max_tokens` exceeds the tokens per minute of this key: lower it";
            return Err((message, None));
        }
        let credit = self.credit.swap(0, Ordering::Relaxed);
        let due = estimate.saturating_sub(credit);
        // More than a minute's tokens cannot be paid at once; the rest stays due.
        let paid = due.clamp(0, limit);
        let number = u32::try_from(paid).ok().and_then(NonZeroU32::new);
        let checked = number.map(|number| self.limiter.check_n(number));
        if let Some(Ok(Err(denied))) = checked {
            self.add(credit);
            let wait = denied.wait_time_from(DefaultClock::default().now());
            return Err(("too many tokens per minute for this key", Some(wait)));
        }
        self.add(paid - due);
        Ok(())
    }

    fn add(&self, tokens: i64) {
        let limit = i64::from(self.limit.get());
        let added = |credit: i64| Some(credit.saturating_add(tokens).min(limit));
        let order = Ordering::Relaxed;
        // It always succeeds, because the closure returns a value.
        let _ = self.credit.fetch_update(order, order, added);
    }
}

/// The tokens that a request was charged with.
#[derive(Debug)]
struct Charge {
    tokens: Arc<Tokens>,
    estimate: u64,
}

impl Charge {
    fn settle(&self, used: u64) {
        let number = |tokens| i64::try_from(tokens).unwrap_or(i64::MAX);
        self.tokens
            .add(number(self.estimate).saturating_sub(number(used)));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::Tokens;

    fn tokens(limit: u32) -> Tokens {
        Tokens::new(NonZeroU32::new(limit).unwrap())
    }

    #[test]
    fn unused_tokens_are_available_to_the_next_request() {
        let tokens = tokens(1_000);
        tokens.charge(1_000).unwrap();
        assert!(tokens.charge(500).is_err());
        tokens.add(900);
        tokens.charge(500).unwrap();
        tokens.charge(400).unwrap();
        assert!(tokens.charge(500).is_err());
    }

    #[test]
    fn used_tokens_above_the_charge_are_due_later() {
        let tokens = tokens(1_000_000);
        tokens.charge(10).unwrap();
        tokens.add(-990_000);
        assert!(tokens.charge(20_000).is_err());
        // A refusal costs nothing.
        assert!(tokens.charge(20_000).is_err());
        tokens.charge(1).unwrap();
    }

    #[test]
    fn more_than_the_limit_can_never_pass() {
        let (_, wait) = tokens(10).charge(11).unwrap_err();
        assert_eq!(wait, None);
    }
}
