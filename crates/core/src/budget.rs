//! The retry budget: a token bucket that limits retries while a service fails.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The time in which a token returns: one second.
const TOKEN: Duration = Duration::from_secs(1);

/// The tokens of one client for the retries at one host.
///
/// [`RetryPolicy::budget`](crate::RetryPolicy::budget) is the number of tokens when none are used, and
/// describes what costs and what returns tokens. Clones share the tokens.
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    /// When all tokens will have returned, by the clock of the transport. A used token is one second
    /// from now, so neither a count of the tokens nor the time of the last change is needed.
    full_at: Arc<Mutex<Duration>>,
}

impl RetryBudget {
    /// Takes tokens from a budget of `size` tokens. Returns false, and takes none, if too few are
    /// left.
    pub(crate) fn take(&self, size: u32, cost: u32, now: Duration) -> bool {
        let mut full_at = self.full_at();
        let later = now.max(*full_at).saturating_add(TOKEN * cost);
        let fits = later.saturating_sub(now) <= TOKEN * size;
        if fits {
            *full_at = later;
        }
        fits
    }

    /// Returns one token, after a success.
    pub(crate) fn refund(&self) {
        let mut full_at = self.full_at();
        *full_at = full_at.saturating_sub(TOKEN);
    }

    fn full_at(&self) -> MutexGuard<'_, Duration> {
        self.full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
