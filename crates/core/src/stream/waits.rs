//! The timeouts of a stream, which run only while it waits for the network.
//!
//! Time counts from the poll that reads to the poll that yields: none counts while the caller holds an
//! event. A caller may also stop polling a pending read; that is noticed when the next poll comes
//! long after the sleep should have woken the task.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{
    error::Error,
    timeouts::{Phase, Timeouts},
    transport::{BoxFuture, Transport},
};

/// How long a stream waits, after a finish reason, for late usage and the end marker.
const SETTLE: Duration = Duration::from_secs(2);

/// How late a poll may be after the sleep has woken the task before it counts as the caller's delay.
const LATE: Duration = Duration::from_secs(1);

/// The waits of one stream.
pub(super) struct Waits {
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    /// The start of the request, by the transport's timer, as are `since` and the end of `sleep`.
    started: Duration,
    /// Since when the stream waits for bytes; `None` while the caller holds an event.
    since: Option<Duration>,
    since_event: Duration,
    since_finish: Option<Duration>,
    /// When the finish reason arrived, from the start of the request.
    finished: Duration,
    seen_event: bool,
    /// The wait is a delay of ours, before a request.
    is_own: bool,
    /// One sleep for all timeouts, reset only when it has fired or must fire earlier.
    sleep: Option<(Duration, BoxFuture<'static, ()>)>,
}

/// Why a wait is over.
pub(super) enum Expired {
    Limit(Error),
    Settled,
}

impl Waits {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        timeouts: Timeouts,
        started: Duration,
    ) -> Self {
        Self {
            transport,
            timeouts,
            started,
            since: None,
            since_event: Duration::ZERO,
            since_finish: None,
            finished: Duration::ZERO,
            seen_event: false,
            is_own: false,
            sleep: None,
        }
    }

    /// Notes that the stream begins, or continues, to wait.
    pub(super) fn resume(&mut self) {
        let now = self.transport.now();
        let late = |armed: Duration| LATE < now.saturating_sub(armed);
        match (self.since, &self.sleep) {
            (None, _) => self.since = Some(now),
            (Some(_), Some((armed, _))) if late(*armed) => {
                self.since = Some(now);
                self.sleep = None;
            }
            _ => {}
        }
    }

    /// Notes that the caller holds an event.
    pub(super) fn pause(&mut self) {
        self.since = None;
    }

    /// Notes that a delay of ours begins or ends, which is not silence of the service.
    pub(super) fn own(&mut self, is_own: bool) {
        self.is_own = is_own;
        self.bytes_came();
    }

    /// Notes that bytes arrived.
    pub(super) fn bytes_came(&mut self) {
        let now = self.transport.now();
        if let Some(since) = self.since.replace(now) {
            let waited = now.saturating_sub(since);
            self.since_event += waited;
            if let Some(since_finish) = &mut self.since_finish {
                *since_finish += waited;
            }
        }
    }

    /// Notes that an event arrived; returns the time since the request's start if it is the first.
    pub(super) fn event_came(&mut self) -> Option<Duration> {
        self.since_event = Duration::ZERO;
        if self.seen_event {
            return None;
        }
        self.seen_event = true;
        Some(self.elapsed())
    }

    /// Returns the time since the request's start.
    pub(super) fn elapsed(&self) -> Duration {
        self.transport.now().saturating_sub(self.started)
    }

    /// Returns the time from the request's start to the finish reason, if it has arrived.
    pub(super) fn finished(&self) -> Duration {
        self.finished
    }

    /// Notes that the response has its finish reason and may end at any time; text that arrives
    /// nevertheless restarts the wait.
    pub(super) fn settle(&mut self, text_came: bool) {
        match self.since_finish {
            Some(_) if !text_came => {}
            _ => {
                self.since_finish = Some(Duration::ZERO);
                self.finished = self.elapsed();
            }
        }
    }

    /// Returns true if the response has its finish reason.
    pub(super) fn is_settled(&self) -> bool {
        self.since_finish.is_some()
    }

    /// Notes that the response has no finish reason, or no longer one for each choice.
    pub(super) fn unsettle(&mut self) {
        self.since_finish = None;
    }

    /// Polls for a timeout.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let now = self.transport.now();
            let since = *self.since.get_or_insert(now);
            let waited = now.saturating_sub(since);
            let Some((left, expired)) = self.next_limit(now, waited) else {
                return Poll::Pending;
            };
            if left.is_zero() {
                return Poll::Ready(match expired {
                    // A response with its finish reason is complete, whichever timeout ends the wait.
                    Some((phase, limit)) if self.since_finish.is_none() => {
                        Expired::Limit(Error::timeout(phase, limit))
                    }
                    _ => Expired::Settled,
                });
            }
            // A timeout beyond the clock's range never fires.
            let Some(deadline) = now.checked_add(left) else {
                return Poll::Pending;
            };
            match &mut self.sleep {
                Some((armed, _)) if *armed <= deadline => {}
                sleep => *sleep = Some((deadline, self.transport.sleep(left))),
            }
            if let Some((_, sleep)) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
        }
    }

    /// Returns the timeout that fires first and what is left of it; `None` is the wait after the finish
    /// reason.
    fn next_limit(
        &self,
        now: Duration,
        waited: Duration,
    ) -> Option<(Duration, Option<(Phase, Duration)>)> {
        let limits = &self.timeouts;
        let since_event = self.since_event + waited;
        let (first_event, idle, progress) = match (self.seen_event, limits.first_event) {
            (false, Some(limit)) => (Some(limit), None, None),
            _ => (None, limits.idle.filter(|_| !self.is_own), limits.progress),
        };
        [
            (first_event, since_event, Phase::FirstEvent),
            (idle, waited, Phase::Idle),
            (progress, since_event, Phase::Progress),
            (limits.total, now.saturating_sub(self.started), Phase::Total),
        ]
        .into_iter()
        .filter_map(|(limit, used, phase)| {
            limit.map(|limit| (limit.saturating_sub(used), Some((phase, limit))))
        })
        .chain(
            self.since_finish
                .map(|since| (SETTLE.saturating_sub(since + waited), None)),
        )
        .min_by_key(|(left, _)| *left)
    }
}
