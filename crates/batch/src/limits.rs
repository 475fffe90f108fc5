//! Limits of requests and tokens per minute. Time is an argument.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

/// The tokens that a request without a token limit is charged with before its usage is known.
const UNKNOWN_TOKENS: u64 = 1_024;

/// The limits of a batch.
#[derive(Debug)]
pub(crate) struct Limits {
    clock: Now,
    requests: Option<Limiter>,
    tokens: Option<Tokens>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Now, NoOpMiddleware<Duration>>;

/// A clock that is set before each use.
#[derive(Clone, Debug, Default)]
struct Now(Arc<Mutex<Duration>>);

impl Clock for Now {
    type Instant = Duration;

    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limits {
    pub(crate) fn new(
        requests: Option<NonZeroU32>,
        tokens: Option<NonZeroU32>,
        now: Duration,
    ) -> Self {
        let clock = Now::default();
        clock.set(now);
        let limiter =
            |limit| RateLimiter::direct_with_clock(Quota::per_minute(limit), clock.clone());
        Self {
            requests: requests.map(limiter),
            tokens: tokens.map(|limit| Tokens {
                limiter: limiter(limit),
                limit,
                credit: 0,
            }),
            clock,
        }
    }

    /// Takes what a request needs, and returns what it was charged with; or returns how long to wait
    /// before the next try.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        max_tokens: Option<u64>,
    ) -> Result<Charge, Duration> {
        self.clock.set(now);
        let estimate = max_tokens.unwrap_or(UNKNOWN_TOKENS);
        // The tokens first: their charge can be given back.
        if let Some(tokens) = &mut self.tokens {
            tokens.charge(now, estimate)?;
        }
        if let Some(requests) = &self.requests {
            if let Err(denied) = requests.check() {
                self.settle(Charge(estimate), Some(0));
                return Err(denied.wait_time_from(now));
            }
        }
        Ok(Charge(estimate))
    }

    /// Corrects a charge by the tokens that were used, if they are known.
    pub(crate) fn settle(&mut self, charge: Charge, used: Option<u64>) {
        if let (Some(tokens), Some(used)) = (&mut self.tokens, used) {
            tokens.add(number(tokens.clamped(charge.0)) - number(used));
        }
    }
}

impl Now {
    fn set(&self, now: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// The tokens that a request was charged with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge(u64);

/// A limit of tokens per minute. The difference between a charge and the tokens that were used is
/// kept for the requests after it.
#[derive(Debug)]
struct Tokens {
    limiter: Limiter,
    limit: NonZeroU32,
    /// Tokens that were charged and not used; below 0, tokens that were used and not charged.
    credit: i64,
}

impl Tokens {
    /// A request for more tokens than a minute has is charged with all of them.
    fn clamped(&self, estimate: u64) -> u64 {
        estimate.min(self.limit.get().into())
    }

    fn charge(&mut self, now: Duration, estimate: u64) -> Result<(), Duration> {
        let due = number(self.clamped(estimate)).saturating_sub(self.credit);
        // More than a minute's tokens cannot be paid at once; the rest stays due.
        let paid = due.clamp(0, self.limit.get().into());
        let count = u32::try_from(paid).ok().and_then(NonZeroU32::new);
        if let Some(Ok(Err(denied))) = count.map(|count| self.limiter.check_n(count)) {
            return Err(denied.wait_time_from(now));
        }
        self.credit = 0;
        self.add(paid - due);
        Ok(())
    }

    fn add(&mut self, tokens: i64) {
        let limit = i64::from(self.limit.get());
        self.credit = self.credit.saturating_add(tokens).min(limit);
    }
}

fn number(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::Limits;

    const START: Duration = Duration::from_secs(7);

    fn limits(requests: u32, tokens: u32) -> Limits {
        Limits::new(NonZeroU32::new(requests), NonZeroU32::new(tokens), START)
    }

    #[test]
    fn requests_per_minute_are_limited() {
        let mut limits = limits(60, 0);
        for _ in 0..60 {
            limits.take(START, None).unwrap();
        }
        let wait = limits.take(START, None).unwrap_err();
        assert!(Duration::ZERO < wait && wait <= Duration::from_secs(1));
        limits.take(START + wait, None).unwrap();
        limits.take(START + wait, None).unwrap_err();
    }

    #[test]
    fn tokens_that_were_not_used_are_available_again() {
        let mut limits = limits(0, 1_000);
        let charge = limits.take(START, Some(900)).unwrap();
        limits.take(START, Some(900)).unwrap_err();
        limits.settle(charge, Some(100));
        limits.take(START, Some(900)).unwrap();
        limits.take(START, Some(900)).unwrap_err();
    }

    #[test]
    fn a_request_above_the_limit_waits_for_a_full_minute() {
        let mut limits = limits(0, 1_000);
        limits.take(START, Some(5_000)).unwrap();
        let wait = limits.take(START, Some(5_000)).unwrap_err();
        assert!(Duration::from_secs(59) < wait && wait <= Duration::from_secs(60));
        limits.take(START + wait, Some(5_000)).unwrap();
    }

    #[test]
    fn a_request_that_has_to_wait_costs_no_tokens() {
        let mut limits = limits(1, 1_000);
        limits.take(START, Some(10)).unwrap();
        for _ in 0..1_000 {
            limits.take(START, Some(10)).unwrap_err();
        }
        let wait = limits.take(START, Some(10)).unwrap_err();
        limits.take(START + wait, Some(900)).unwrap();
    }
}
