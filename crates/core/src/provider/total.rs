//! What is left of a request's whole time, where there is a clock to tell.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    error::Error,
    request::ChatRequest,
    timeouts::Phase,
    transport::{BoxFuture, Transport},
};

/// The time that a request may take in all, what is done before it is asked included.
pub(super) struct Total(Option<Running>);

struct Running {
    transport: Arc<dyn Transport>,
    since: Instant,
    limit: Duration,
}

impl Total {
    /// Begins to count, where the request has the limit and there is a clock.
    pub(super) fn begin(transport: Option<&Arc<dyn Transport>>, request: &ChatRequest) -> Self {
        let limit = request.timeouts.and_then(|timeouts| timeouts.total);
        let running = transport.zip(limit).map(|(transport, limit)| Running {
            transport: Arc::clone(transport),
            since: transport.now(),
            limit,
        });
        Self(running)
    }

    /// Returns true if no time is left.
    pub(super) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Leaves the request what is left.
    pub(super) fn apply(&self, request: &mut ChatRequest) {
        if let (Some(left), Some(timeouts)) = (self.left(), &mut request.timeouts) {
            timeouts.total = Some(left);
        }
    }

    /// Returns the error of a time that is over, and the wait for it.
    pub(super) fn end(&self) -> Option<(Error, BoxFuture<'static, ()>)> {
        let Running {
            transport, limit, ..
        } = self.0.as_ref()?;
        let error = Error::timeout(Phase::Total, *limit);
        Some((error, transport.sleep(self.left()?)))
    }

    fn left(&self) -> Option<Duration> {
        let running = self.0.as_ref()?;
        let passed = running.transport.now();
        let passed = passed.saturating_duration_since(running.since);
        Some(running.limit.saturating_sub(passed))
    }
}
