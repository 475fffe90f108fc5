//! The loop of a batch, on one task.

mod ended;

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderName, HeaderValue};
use inferstream_core::{BoxFuture, ChatResponse, ChatStream, Error, Result, RetryPolicy};

use crate::{
    batch::Batch,
    failure::Failure,
    limits::{Charge, Limits},
    pace::{Pace, Round},
    row::{Earlier, Row},
    sink::Sink,
    summary::{Progress, Stopped, Summary},
};

/// The rows that wait for another request before no new row is read.
const MAX_WAITING: usize = 1_024;

/// How long a service is tried that was never reached.
const FIRST_OUTAGE: Duration = Duration::from_secs(60);

/// The results that are handled before the task gives others a turn.
const PER_POLL: usize = 256;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A running batch.
pub(crate) struct Run<'a, R> {
    batch: Batch,
    /// `None` at the end of the rows.
    rows: Option<Pin<&'a mut R>>,
    sink: &'a mut dyn Sink,
    in_flight: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// The next row, if its request cannot begin yet.
    next: Option<Box<Work>>,
    /// Rows that are sent again, by the time before which they are not, and by the order of waiting.
    again: BTreeMap<(Duration, u64), Box<Work>>,
    pace: Pace,
    limits: Limits,
    /// The wait for the next request, and when it ends.
    sleep: Option<(Duration, BoxFuture<'static, ()>)>,
    resumes: bool,
    has_reached: bool,
    outage: Option<Duration>,
    refused: u64,
    waited: u64,
    begun: Duration,
    summary: Summary,
    stopped: Option<Stopped>,
}

/// A row with what was done for it.
struct Work {
    row: Row,
    requests: u32,
}

/// An event of a row in flight.
struct Answered {
    work: Box<Work>,
    round: Round,
    charge: Option<Charge>,
    outcome: Outcome,
}

enum Outcome {
    /// The response has begun, at a service that keeps it.
    Begun(ChatStream),
    /// Boxed, because it is large.
    Ended(Box<Result<ChatResponse>>),
}

impl Outcome {
    fn failed(error: Error) -> Self {
        Self::Ended(Box::new(Err(error)))
    }
}

impl<'a, R: Stream<Item = io::Result<Row>>> Run<'a, R> {
    pub(crate) fn new(batch: Batch, rows: Pin<&'a mut R>, sink: &'a mut dyn Sink) -> Self {
        let now = batch.timer.now();
        Self {
            rows: Some(rows),
            sink,
            in_flight: FuturesUnordered::new(),
            next: None,
            again: BTreeMap::new(),
            pace: Pace::new(batch.max_in_flight),
            limits: Limits::new(batch.requests_per_minute, batch.tokens_per_minute, now),
            sleep: None,
            // Nothing is sent.
            resumes: batch.provider.resume("").is_some(),
            has_reached: false,
            outage: None,
            refused: 0,
            waited: 0,
            begun: now,
            summary: Summary::default(),
            stopped: None,
            batch,
        }
    }

    /// Polls for the end of the batch.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Summary> {
        for _ in 0..PER_POLL {
            if self.batch.stop.poll(cx.waker()) {
                self.stopped.get_or_insert(Stopped::Caller);
            }
            if self.stopped.is_none() {
                self.begin_ready(cx);
            }
            match self.in_flight.poll_next_unpin(cx) {
                Poll::Ready(Some(answered)) => self.answered(answered),
                Poll::Ready(None) if self.is_over() => return Poll::Ready(self.end()),
                Poll::Ready(None) | Poll::Pending => {
                    self.report();
                    if self.poll_sleep(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        self.report();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_over(&self) -> bool {
        let has_none = self.rows.is_none() && self.next.is_none() && self.again.is_empty();
        self.stopped.is_some() || has_none
    }

    /// Begins all requests that may begin now.
    fn begin_ready(&mut self, cx: &mut Context<'_>) {
        self.sleep = self
            .sleep
            .take()
            .filter(|(until, _)| self.batch.timer.now() < *until);
        while self.in_flight.len() < self.pace.limit() && self.stopped.is_none() {
            let now = self.batch.timer.now();
            let hold = self.pace.wait(now);
            if !hold.is_zero() {
                return self.wake_after(now, hold);
            }
            let Some(work) = self.take(cx, now) else {
                return;
            };
            if let Some(work) = self.ready(work) {
                let max_tokens = work
                    .row
                    .request
                    .as_ref()
                    .map_or(None, |request| request.max_tokens);
                match self.limits.take(now, max_tokens) {
                    Ok(charge) => self.begin(work, charge),
                    Err(wait) => {
                        self.next = Some(work);
                        return self.wake_after(now, wait);
                    }
                }
            }
        }
    }

    /// Returns the next row: new ones first, unless many wait to be sent again.
    fn take(&mut self, cx: &mut Context<'_>, now: Duration) -> Option<Box<Work>> {
        if let Some(work) = self.next.take() {
            return Some(work);
        }
        if self.again.len() < MAX_WAITING {
            match self.rows.as_mut().map(|rows| rows.as_mut().poll_next(cx)) {
                Some(Poll::Ready(Some(Ok(row)))) => {
                    return Some(Box::new(Work { row, requests: 0 }));
                }
                Some(Poll::Ready(Some(Err(error)))) => {
                    self.rows = None;
                    self.stopped = Some(Stopped::Input(error));
                    return None;
                }
                Some(Poll::Ready(None)) => self.rows = None,
                Some(Poll::Pending) | None => {}
            }
        }
        let (ready, _) = self.again.first_key_value().map(|(key, _)| *key)?;
        if now < ready {
            self.wake_after(now, ready.saturating_sub(now));
            return None;
        }
        self.again.pop_first().map(|(_, work)| work)
    }

    /// Returns a row that can be sent. Others fail here.
    fn ready(&mut self, work: Box<Work>) -> Option<Box<Work>> {
        let is_unknown = work.requests == 0 && work.row.earlier != Earlier::Nothing;
        let can_resume = self.resumes && matches!(work.row.earlier, Earlier::Named(_));
        if let Err(failure) = &work.row.request {
            let failure = failure.clone();
            self.fail(&work.row, &failure);
            return None;
        }
        if is_unknown && !can_resume && self.batch.at_most_once {
            self.fail(&work.row, &Failure::unknown_outcome());
            return None;
        }
        Some(work)
    }

    /// Begins the request of a row.
    fn begin(&mut self, mut work: Box<Work>, charge: Charge) {
        let round = self.pace.round();
        let resumed = match &work.row.earlier {
            Earlier::Named(id) => self.batch.provider.resume(id),
            Earlier::Nothing | Earlier::UnderWay => None,
        };
        if let Some(resumed) = resumed {
            self.in_flight.push(Box::pin(async move {
                let outcome = resumed.await.map_or_else(Outcome::failed, Outcome::Begun);
                Answered {
                    work,
                    round,
                    charge: Some(charge),
                    outcome,
                }
            }));
            return;
        }
        if let Err(error) = self.sink.begin(&work.row) {
            self.stopped = Some(Stopped::Output(error));
            self.next = Some(work);
            return;
        }
        let Ok(request) = &work.row.request else {
            return;
        };
        let mut request = request.clone();
        let replays = !self.batch.at_most_once;
        request.retry = Some(RetryPolicy::never().replay_stale(replays));
        if self.batch.idempotency_key {
            if let Ok(key) = HeaderValue::from_str(&work.row.idempotency_key()) {
                request = request.header(IDEMPOTENCY_KEY, key);
            }
        }
        if work.row.earlier != Earlier::Nothing {
            self.summary.maybe_paid_twice += 1;
            work.row.earlier = Earlier::Nothing;
        }
        work.requests += 1;
        self.summary.requests += 1;
        let charge = Some(charge);
        if self.resumes {
            let stream = self.batch.provider.stream(request);
            self.in_flight.push(Box::pin(async move {
                let outcome = stream.await.map_or_else(Outcome::failed, Outcome::Begun);
                Answered {
                    work,
                    round,
                    charge,
                    outcome,
                }
            }));
        } else {
            let response = self.batch.provider.chat(request);
            self.in_flight.push(Box::pin(async move {
                let outcome = Outcome::Ended(Box::new(response.await));
                Answered {
                    work,
                    round,
                    charge,
                    outcome,
                }
            }));
        }
    }

    /// Ends the batch: rows that were refused are released.
    fn end(&mut self) -> Summary {
        let waiting = std::mem::take(&mut self.again).into_values();
        for work in waiting.chain(self.next.take()) {
            // What may have been processed stays under way for the next run.
            if 0 < work.requests && work.row.earlier == Earlier::Nothing {
                self.release(&work.row);
            }
        }
        self.report();
        let mut summary = std::mem::take(&mut self.summary);
        summary.elapsed = self.batch.timer.now().saturating_sub(self.begun);
        summary.stopped = self.stopped.take();
        summary
    }

    fn report(&mut self) {
        let Some(report) = &mut self.batch.on_progress else {
            return;
        };
        let mut progress = Progress {
            complete: self.summary.complete,
            failed: self.summary.failed,
            in_flight: self.in_flight.len(),
            limit: self.pace.limit(),
            refused: self.refused,
            wait: self.pace.wait(self.batch.timer.now()),
            ..Progress::default()
        };
        for tokens in self.summary.tokens.values() {
            progress.tokens.input += tokens.input;
            progress.tokens.output += tokens.output;
        }
        report(&progress);
    }

    /// Makes the task wake up after a time, unless it does so earlier.
    fn wake_after(&mut self, now: Duration, wait: Duration) {
        let until = now.saturating_add(wait);
        if self
            .sleep
            .as_ref()
            .is_none_or(|(earlier, _)| until < *earlier)
        {
            self.sleep = Some((until, self.batch.timer.sleep(wait)));
        }
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some((_, sleep)) if self.stopped.is_none() => {
                let poll = sleep.as_mut().poll(cx);
                if poll.is_ready() {
                    self.sleep = None;
                }
                poll
            }
            _ => Poll::Pending,
        }
    }
}
