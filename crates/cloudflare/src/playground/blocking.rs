//! A future that runs blocking work on its own thread.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    thread,
};

/// Runs work that blocks on a disk or a lock on a thread of its own, or on this one if no thread
/// can be started.
///
/// This happens only once or twice per response, and the crate has no runtime whose threads it
/// could use.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let shared = Arc::new(Mutex::new(Shared {
        work: Some(work),
        outcome: None,
        waker: None,
    }));
    let theirs = Arc::clone(&shared);
    let spawned = thread::Builder::new().spawn(move || run(&theirs));
    if spawned.is_err() {
        run(&shared);
    }
    poll_fn(move |cx| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.outcome.take() {
            Some(Ok(outcome)) => Poll::Ready(outcome),
            Some(Err(panicked)) => resume_unwind(panicked),
            None => {
                shared.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

struct Shared<W, T> {
    work: Option<W>,
    outcome: Option<Result<T, Box<dyn Any + Send>>>,
    waker: Option<Waker>,
}

fn run<T, W: FnOnce() -> T>(shared: &Mutex<Shared<W, T>>) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(work) = lock().work.take() else {
        return;
    };
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let mut shared = lock();
    shared.outcome = Some(outcome);
    if let Some(waker) = shared.waker.take() {
        waker.wake();
    }
}
