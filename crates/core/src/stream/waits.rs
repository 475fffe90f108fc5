//! The timeouts of a stream, which run only while it waits for the network.
//!
//! Time counts from the poll that starts to wait to the poll that yields an event, not while the
//! caller holds the event. A caller may also stop polling a pending stream: this is detected if the
//! next poll happens long after the sleep should have woken the task.

use std::{
    mem, ptr,
    sync::Arc,
    task::{Context, Poll, RawWakerVTable, Waker},
    time::Duration,
};

use crate::{
    error::Error,
    timeouts::{Phase, Timeouts},
    transport::{BoxFuture, Transport},
};

/// How long a stream waits, after a finish reason, for late usage and the end marker.
const SETTLE: Duration = Duration::from_secs(2);

/// How long after the end of the sleep a poll may happen before the delay counts as the caller's.
const LATE: Duration = Duration::from_secs(1);

/// How early a sleep may end by the stream's clock. [`Timer`](crate::Timer) forbids it, but timers are
/// coarse, and a sleep that has ended and is not polled again would never wake the task.
const EARLY: Duration = Duration::from_secs(1);

/// The waits of one stream.
pub(super) struct Waits {
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    /// The start of the request, by the transport's timer, as are all other times here.
    started: Duration,
    /// The time of the current poll; `None` until it is first needed.
    now: Option<Duration>,
    /// The time at which the stream started to wait for bytes; `None` while the caller holds an event.
    since: Option<Duration>,
    /// Bytes have arrived, and the wait for them is not counted yet. That takes a reading of the clock,
    /// which is not needed if they contain an event.
    bytes_came: bool,
    since_event: Duration,
    since_finish: Option<Duration>,
    /// The time from the start of the request to the finish reason.
    finished: Duration,
    seen_event: bool,
    /// True during the client's own delay before a request.
    is_own: bool,
    /// One sleep for all timeouts, reset only when it has fired or must fire earlier.
    sleep: Option<Sleep>,
}

/// A sleep that wakes the task.
struct Sleep {
    end: Duration,
    future: BoxFuture<'static, ()>,
    /// A clone of the waker that it was polled with, and the vtable of the waker itself.
    waker: Waker,
    vtable: &'static RawWakerVTable,
    /// What [`Waits::running`] returned when it was last compared with the timeouts.
    running: [bool; 3],
}

impl Sleep {
    /// Returns true if it will wake this task without being polled again.
    fn is_armed(&self, now: Duration, cx: &Context<'_>) -> bool {
        EARLY < self.end.saturating_sub(now) && self.is_polled_with(cx.waker())
    }

    /// Polls it, and remembers the waker.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.clone_from(cx.waker());
        self.vtable = cx.waker().vtable();
        self.future.as_mut().poll(cx)
    }

    /// Returns true if it was polled with this waker.
    ///
    /// [`Waker::will_wake`] compares the vtables of the clone and of the waker. Those of tokio's
    /// `block_on` have the same functions at two addresses, so it would always return false.
    fn is_polled_with(&self, waker: &Waker) -> bool {
        ptr::eq(self.waker.data(), waker.data()) && ptr::eq(self.vtable, waker.vtable())
    }
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
            now: None,
            since: None,
            bytes_came: false,
            since_event: Duration::ZERO,
            since_finish: None,
            finished: Duration::ZERO,
            seen_event: false,
            is_own: false,
            sleep: None,
        }
    }

    /// Starts a poll of the stream. It reads the clock at most once: a poll does not block, so one time
    /// is accurate enough for all of it.
    pub(super) fn begin_poll(&mut self) {
        self.now = None;
    }

    fn now(&mut self) -> Duration {
        *self.now.get_or_insert_with(|| self.transport.now())
    }

    /// Records that the stream starts, or continues, to wait.
    pub(super) fn resume(&mut self) {
        if self.since.is_none() {
            self.since = Some(self.now());
        }
    }

    /// Returns true if the last poll was pending.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// Records that the caller holds an event.
    pub(super) fn pause(&mut self) {
        if self.bytes_came {
            self.count_wait();
        }
        self.since = None;
    }

    /// Records that the client's own delay begins or ends. It does not count as idle time of the service.
    pub(super) fn own(&mut self, is_own: bool) {
        self.is_own = is_own;
        self.bytes_came();
        self.count_wait();
    }

    /// Records that bytes arrived.
    pub(super) fn bytes_came(&mut self) {
        self.bytes_came = true;
    }

    /// Counts the wait so far: one that bytes have ended, and one during which the caller did not poll.
    fn count_wait(&mut self) {
        let now = self.now();
        let is_late = |sleep: &Sleep| LATE < now.saturating_sub(sleep.end);
        if self.sleep.take_if(|sleep| is_late(sleep)).is_some() && self.since.is_some() {
            self.since = Some(now);
        }
        if !mem::take(&mut self.bytes_came) {
            return;
        }
        if let Some(since) = self.since.replace(now) {
            let waited = now.saturating_sub(since);
            self.since_event += waited;
            if let Some(since_finish) = &mut self.since_finish {
                *since_finish += waited;
            }
        }
    }

    /// Records that an event arrived, which ends the wait; returns the time since the request's start if
    /// it is the first.
    pub(super) fn event_came(&mut self) -> Option<Duration> {
        if self.since_finish.is_some() {
            self.count_wait();
        }
        self.bytes_came = false;
        self.since = None;
        self.since_event = Duration::ZERO;
        if self.seen_event {
            return None;
        }
        self.seen_event = true;
        Some(self.elapsed())
    }

    /// Returns the time since the request's start.
    pub(super) fn elapsed(&mut self) -> Duration {
        self.now().saturating_sub(self.started)
    }

    /// Returns the time from the request's start to the finish reason, if it has arrived.
    pub(super) fn finished(&self) -> Duration {
        self.finished
    }

    /// Records that the response has its finish reason and may end at any time. Text that arrives
    /// afterwards restarts the wait.
    pub(super) fn settle(&mut self, text_came: bool) {
        match self.since_finish {
            Some(_) if !text_came => {}
            _ => {
                self.count_wait();
                self.since_finish = Some(Duration::ZERO);
                self.finished = self.elapsed();
            }
        }
    }

    /// Returns true if the response has its finish reason.
    pub(super) fn is_settled(&self) -> bool {
        self.since_finish.is_some()
    }

    /// Records that the response has no finish reason, or no longer one for each choice.
    pub(super) fn unsettle(&mut self) {
        self.since_finish = None;
    }

    /// Polls for an expired timeout. Otherwise the task is woken when the next one may have expired.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        self.count_wait();
        let now = self.now();
        let running = self.running();
        // Most polls end here: bytes arrived, and more are awaited. While the same timeouts run, the
        // earliest only moves later, so none can have expired before the sleep ends.
        let is_enough = |sleep: &Sleep| sleep.running == running && sleep.is_armed(now, cx);
        if self.sleep.as_ref().is_some_and(is_enough) {
            return Poll::Pending;
        }
        match self.expired_or_left() {
            Ok(expired) => return Poll::Ready(expired),
            // A timeout beyond the clock's range never fires.
            Err(left) => {
                if let Some(end) = left.and_then(|left| now.checked_add(left)) {
                    self.sleep_until(cx, now, end);
                }
            }
        }
        Poll::Pending
    }

    /// Polls for an expired timeout while bytes keep arriving. Otherwise the task is woken immediately.
    pub(super) fn poll_busy(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        self.count_wait();
        if let Ok(expired) = self.expired_or_left() {
            return Poll::Ready(expired);
        }
        // The task is woken anyway, and the end of this sleep must not be mistaken for a late poll.
        self.sleep = None;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Returns the timeout that has expired, or as `Err` the time until the next one, if there is one.
    fn expired_or_left(&mut self) -> Result<Expired, Option<Duration>> {
        let now = self.now();
        let since = *self.since.get_or_insert(now);
        let waited = now.saturating_sub(since);
        match self.next_limit(now, waited) {
            Some((Duration::ZERO, expired)) => Ok(match expired {
                // A response with its finish reason is complete, whichever timeout ends the wait.
                Some((phase, limit)) if self.since_finish.is_none() => {
                    Expired::Limit(Error::timeout(phase, limit))
                }
                _ => Expired::Settled,
            }),
            next => Err(next.map(|(left, _)| left)),
        }
    }

    /// Ensures that the task is woken at `end` or earlier.
    fn sleep_until(&mut self, cx: &mut Context<'_>, now: Duration, end: Duration) {
        // A sleep that has ended, or would end too late, is replaced.
        let kept = self
            .sleep
            .take_if(|sleep| now < sleep.end && sleep.end <= end);
        let mut sleep = kept.unwrap_or_else(|| Sleep {
            end,
            future: self.transport.sleep(end.saturating_sub(now)),
            waker: Waker::noop().clone(),
            vtable: Waker::noop().vtable(),
            running: [false; 3],
        });
        sleep.running = self.running();
        if sleep.is_armed(now, cx) {
            self.sleep = Some(sleep);
            return;
        }
        if sleep.poll(cx).is_ready() {
            // The clock has moved since it was read. The next poll reads it again.
            cx.waker().wake_by_ref();
            self.sleep = None;
        } else {
            self.sleep = Some(sleep);
        }
    }

    /// Returns what decides which timeouts run.
    fn running(&self) -> [bool; 3] {
        [self.seen_event, self.is_own, self.since_finish.is_some()]
    }

    /// Returns the time until the timeout that expires first, and that timeout; `None` means the wait
    /// after the finish reason.
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
