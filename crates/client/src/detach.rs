//! Futures that finish in the background, such as a cancellation that the service must receive.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use inferstream_core::{BoxFuture, Error, Phase, Result, Transport};

/// The time limit for background work.
const LIMIT: Duration = Duration::from_secs(2);

/// Waits for a future for at most `limit`.
///
/// # Errors
///
/// `Timeout(Head)` if the limit elapses first.
///
/// # Cancel safety
///
/// That of the future, which is dropped with this one.
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

/// Waits for a future for at most 2 s, the limit for background work.
///
/// # Errors
///
/// As [`within`].
///
/// # Cancel safety
///
/// As [`within`].
pub async fn briefly<T>(transport: &dyn Transport, future: BoxFuture<'_, T>) -> Result<T> {
    within(transport, LIMIT, future).await
}

/// Runs a future in the background, by [`Transport::detach`], for at most 2 s.
pub fn detach<T: 'static>(transport: &Arc<dyn Transport>, future: BoxFuture<'static, T>) {
    let clock = Arc::clone(transport);
    transport.detach(Box::pin(async move {
        // No caller is left to receive an error.
        drop(briefly(&*clock, future).await);
    }));
}

/// A future that finishes even if it is dropped: it then runs in the background, for at most 2 s.
#[must_use = "futures do nothing unless polled"]
pub struct DetachOnDrop<T: 'static> {
    transport: Arc<dyn Transport>,
    /// `None` once it has completed or panicked.
    begun: Option<BoxFuture<'static, T>>,
}

impl<T> DetachOnDrop<T> {
    /// Wraps a future, which is polled in the foreground until it is dropped.
    pub fn new(transport: Arc<dyn Transport>, future: BoxFuture<'static, T>) -> Self {
        let begun = Some(future);
        Self { transport, begun }
    }
}

impl<T> Future for DetachOnDrop<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken out while it is polled, so that a future that panics is not detached by `drop`.
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
