//! A handle that stops a batch.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

/// A handle that stops a batch: no further request begins, and the batch ends once the responses
/// under way have ended. Clones stop the same batch.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_stopped: AtomicBool,
    waker: AtomicWaker,
}

impl Stop {
    /// Stops the batch.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::SeqCst);
        self.0.waker.wake();
    }

    /// Returns true if the batch was stopped. If not, the waker is woken when it is.
    pub(crate) fn poll(&self, waker: &Waker) -> bool {
        self.0.waker.register(waker);
        self.0.is_stopped.load(Ordering::SeqCst)
    }
}
