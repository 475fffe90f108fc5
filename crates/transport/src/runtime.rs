//! The clock and the background tasks of the transport, on tokio.

use std::{
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use inferstream_core::{BoxFuture, Error, Result};
use tokio::{runtime::Handle, time::Instant};

/// The clock, and a handle to the runtime that last sent a request. Tasks detached outside a
/// runtime are spawned there.
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
    /// Remembers the current runtime, or returns an error outside one.
    pub(crate) fn enter(&self) -> Result<()> {
        let Ok(runtime) = Handle::try_current() else {
            let message = "this transport needs a tokio runtime: call it inside `Runtime::block_on` or a tokio task";
            return Err(Error::config(message));
        };
        *self.last() = Some(runtime);
        Ok(())
    }

    /// Spawns the task on the current runtime, or else on the one that last sent a request. Without
    /// either, the task is dropped.
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

/// Sleeps for the duration. Outside a runtime it returns at once, because nothing can be sent
/// there.
pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    match Handle::try_current() {
        Ok(_) => Box::pin(tokio::time::sleep(duration)),
        Err(_) => Box::pin(ready(())),
    }
}
