//! What is to be told to a service in; the same out, though nobody may wait for it.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use inferstream_core::{BoxFuture, Error, Phase, Result, Transport};

/// The longest that what nobody waits for may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Waits for a future, but not longer than the limit.
///
/// # Errors
///
/// `Timeout`, of the phase `head`.
///
/// # Cancel safety
///
/// As the future's own.
pub async fn within<T>(
    transport: &dyn Transport,
    limit: Duration,
    mut future: BoxFuture<'_, T>,
) -> Result<T> {
    let mut sleep = transport.sleep(limit);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        let late = || Error::timeout(Phase::Head, limit);
        sleep.as_mut().poll(cx).map(|()| Err(late()))
    })
    .await
}

/// Waits for a future as long as for what nobody waits for: 2 s.
///
/// # Errors
///
/// As [`within`].
///
/// # Cancel safety
///
/// As the future's own.
pub async fn briefly<T>(transport: &dyn Transport, future: BoxFuture<'_, T>) -> Result<T> {
    within(transport, LIMIT, future).await
}

/// Lets a future run on by itself, for 2 s at most.
pub fn detach<T: 'static>(transport: &Arc<dyn Transport>, future: BoxFuture<'static, T>) {
    let clock = Arc::clone(transport);
    transport.detach(Box::pin(async move {
        // Nobody is there to be told.
        drop(briefly(&*clock, future).await);
    }));
}

/// A future that does not end where nobody waits for it: dropped before its end it runs on by itself,
/// for 2 s at most.
#[must_use = "futures do nothing unless polled"]
pub struct DetachOnDrop<T: 'static> {
    transport: Arc<dyn Transport>,
    /// `None` once it has an outcome, or has panicked.
    begun: Option<BoxFuture<'static, T>>,
}

impl<T> DetachOnDrop<T> {
    /// Takes what is to be brought to its end.
    pub fn new(transport: Arc<dyn Transport>, future: BoxFuture<'static, T>) -> Self {
        let begun = Some(future);
        Self { transport, begun }
    }
}

impl<T> Future for DetachOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out: what panics is not to run on.
        let Some(mut begun) = self.begun.take() else {
            return Poll::Pending;
        };
        let outcome = begun.as_mut().poll(cx);
        if outcome.is_pending() {
            self.begun = Some(begun);
        }
        outcome
    }
}

impl<T> Drop for DetachOnDrop<T> {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            detach(&self.transport, begun);
        }
    }
}

impl<T> fmt::Debug for DetachOnDrop<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachOnDrop").finish_non_exhaustive()
    }
}
