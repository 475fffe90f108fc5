//! The deadline of a request: its total timeout, counted from the start of the call.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use inferstream_core::{BoxFuture, ChatRequest, Error, Phase, Result, Timeouts, Timer};

/// The deadline of a request, from its total timeout; work before the request is sent counts too.
#[derive(Debug)]
pub struct Deadline(Option<Running>);

#[derive(Debug)]
struct Running {
    timer: Arc<dyn Timer>,
    since: Duration,
    limit: Duration,
}

impl Deadline {
    /// Starts to count, if the request has a total timeout and there is a timer.
    pub fn begin(timer: Option<&(impl Timer + Clone)>, request: &ChatRequest) -> Self {
        let timeouts = timer.zip(request.timeouts);
        timeouts.map_or(Self(None), |(timer, timeouts)| Self::of(timer, timeouts))
    }

    /// Starts to count, if there is a total timeout.
    pub(crate) fn of(timer: &(impl Timer + Clone), timeouts: Timeouts) -> Self {
        Self(timeouts.total.map(|limit| Running {
            since: timer.now(),
            timer: Arc::new(timer.clone()),
            limit,
        }))
    }

    /// Returns the timeout error if the deadline has passed, or `None` if time is left.
    pub fn over(&self) -> Option<Error> {
        let Self(running) = self;
        let is_over = self.left()?.is_zero();
        running.as_ref().filter(|_| is_over).map(Running::error)
    }

    /// Reduces the request's total timeout to the remaining time.
    pub fn apply(&self, request: &mut ChatRequest) {
        if let (Some(left), Some(timeouts)) = (self.left(), &mut request.timeouts) {
            timeouts.total = Some(left);
        }
    }

    /// Waits for a future until the deadline.
    ///
    /// # Errors
    ///
    /// Returns the errors of the future, or `Timeout` of the phase `total`.
    ///
    /// # Cancel safety
    ///
    /// The same as that of the future.
    pub async fn limit<T>(&self, mut future: BoxFuture<'_, Result<T>>) -> Result<T> {
        let Some((mut end, error)) = self.end() else {
            return future.await;
        };
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Pending => end.as_mut().poll(cx).map(|()| Err(error.clone())),
            Poll::Ready(outcome) => Poll::Ready(outcome),
        })
        .await
    }

    /// Returns a future that completes at the deadline, and the error to return then. Returns
    /// `None` without a timeout or a timer.
    pub fn end(&self) -> Option<(BoxFuture<'static, ()>, Error)> {
        let running = self.0.as_ref()?;
        Some((running.timer.sleep(self.left()?), running.error()))
    }

    fn left(&self) -> Option<Duration> {
        let running = self.0.as_ref()?;
        let passed = running.timer.now().saturating_sub(running.since);
        Some(running.limit.saturating_sub(passed))
    }
}

impl Running {
    fn error(&self) -> Error {
        Error::timeout(Phase::Total, self.limit)
    }
}
