//! An executor for a manual clock.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use inferstream_test::Clock;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Runs a future to its end; while it waits, the clock advances to the next wake-up.
#[track_caller]
pub(crate) fn block_on<T>(clock: &Clock, future: impl Future<Output = T>) -> T {
    clock.block_on(future)
}

/// Polls a future once, and returns whether it asked to be polled again immediately.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> (Poll<T>, bool) {
    let mut future = pin!(future);
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    let poll = future.as_mut().poll(&mut Context::from_waker(&waker));
    (poll, flag.0.load(SeqCst))
}
