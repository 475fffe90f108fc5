//! The clock and the background tasks of a transport, on tokio.

use std::{
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inferstream_core::{BoxFuture, Error, Result};
use tokio::{runtime::Handle, time::Instant};

/// The runtime that sent last, for tasks that are detached outside any, and the clock.
pub(crate) struct Runtime {
    last: Mutex<Option<Handle>>,
    start: Instant,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            start: Instant::now(),
        }
    }
}

impl Runtime {
    /// Takes note of the runtime that this is called from within.
    pub(crate) fn enter(&self) -> Result<()> {
        let Ok(runtime) = Handle::try_current() else {
            let message = "this transport needs a tokio runtime: call it from within one";
            return Err(Error::config(message));
        };
        *self.last() = Some(runtime);
        Ok(())
    }

    /// Spawns the task, outside a runtime on the one that sent last; without any it is dropped.
    pub(crate) fn detach(&self, task: BoxFuture<'static, ()>) {
        let last = || self.last().clone();
        if let Some(runtime) = Handle::try_current().ok().or_else(last) {
            runtime.spawn(task);
        }
    }

    /// Returns the time since the transport was created.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn last(&self) -> MutexGuard<'_, Option<Handle>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits; without a runtime it does not, as there nothing can be sent anyway.
pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    match Handle::try_current() {
        Ok(_) => Box::pin(tokio::time::sleep(duration)),
        Err(_) => Box::pin(ready(())),
    }
}
