//! The background tasks of a server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{AbortHandle, JoinSet};

/// The background tasks, which end when the server is dropped.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// `None` after `stop`: later tasks are not started.
    set: Mutex<Option<JoinSet<()>>>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            set: Mutex::new(Some(JoinSet::new())),
        }
    }

    /// Runs a task, unless all were stopped.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<AbortHandle> {
        let mut set = self.set();
        let set = set.as_mut()?;
        while set.try_join_next().is_some() {}
        Some(set.spawn(task))
    }

    /// Stops all tasks.
    pub(crate) fn stop(&self) {
        drop(self.set().take());
    }

    fn set(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
