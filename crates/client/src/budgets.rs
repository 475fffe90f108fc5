//! The retry budgets of a client, one per host.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Uri, uri::Authority};
use inferstream_core::protocol::RetryBudget;

/// The most hosts with a budget. Clients use one or two; the limit is for services that name others.
const HOSTS: usize = 16;

/// The retry budgets of a client, one for each host and port that it sends requests to.
///
/// Create one per client, and pass a clone to each of its calls: clones share the tokens. The 16 hosts
/// that were used last have a budget; the budget of any other host is full.
#[derive(Clone, Default)]
pub struct RetryBudgets {
    /// The host that was used last is at the end.
    hosts: Arc<Mutex<Vec<(Authority, RetryBudget)>>>,
}

impl RetryBudgets {
    /// Returns the budget for the host of a URL.
    pub fn of(&self, url: &Uri) -> RetryBudget {
        let Some(host) = url.authority() else {
            return RetryBudget::default();
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match hosts.iter().position(|(known, _)| known == host) {
            Some(index) => hosts.remove(index),
            None => (host.clone(), RetryBudget::default()),
        };
        if hosts.len() == HOSTS {
            hosts.remove(0);
        }
        let budget = entry.1.clone();
        hosts.push(entry);
        budget
    }
}

impl fmt::Debug for RetryBudgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudgets").finish_non_exhaustive()
    }
}
