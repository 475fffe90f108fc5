//! Futures in, one place out that ends them all.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

/// What runs beside the connections, until the server is dropped.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// None once all was stopped: whoever is late starts nothing.
    set: Mutex<Option<JoinSet<()>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            set: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Runs this, unless all was stopped.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut set = self.set();
        let set = set.as_mut()?;
        while set.try_join_next().is_some() {}
        Some(set.spawn(task))
    }

    /// Ends all that runs.
    pub(crate) fn stop(&self) {
        drop(self.set().take());
    }

    fn set(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
