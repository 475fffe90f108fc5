//! A batch: its settings, and its start.

use std::{fmt, io, num::NonZeroU32, pin::Pin, sync::Arc, task::Poll, time::Duration};

use futures_core::Stream;
use inferstream_core::{Provider, Timer};

use crate::{
    row::Row,
    run::Run,
    sink::Sink,
    stop::Stop,
    summary::{Progress, Summary},
};

/// The default limit of requests in flight.
const MAX_IN_FLIGHT: usize = 64;

/// The default limit of requests per row.
const MAX_REQUESTS: u32 = 5;

/// The default limit of the time for which no service can be reached.
const MAX_OUTAGE: Duration = Duration::from_secs(2 * 60 * 60);

/// Many requests to a provider, each answered once.
///
/// All requests are in flight on the task that polls the future of [`run`](Self::run); nothing is
/// spawned.
///
/// # Pace
///
/// A batch begins with 8 requests in flight. After each round of responses it adds one, up to
/// [`max_in_flight`](Self::max_in_flight). If the service refuses a request because of a rate limit
/// or its load (429, 503), the number is halved, at most once per round, and no request begins before
/// the time that the service asked for, or 0.5 s to 60 s, has passed. Nor does one if the service
/// reported that nothing remains of a limit, until that is reset.
///
/// # Rows that fail
///
/// Errors after which a request may safely be sent again put the row at the end of the queue;
/// [`max_requests`](Self::max_requests) limits how often. Requests that were not sent, because no
/// connection could be established, do not count: see [`max_outage`](Self::max_outage). All other
/// rows fail, and the batch continues. A row that may have been processed fails with the code
/// `maybe_paid`.
///
/// A refused key and an exhausted quota end the batch, because all other rows would fail in the same
/// way. The rows remain for the next run.
///
/// # After a crash
///
/// If the provider can [resume](Provider::resume) responses, their ids are passed to
/// [`Sink::named`], and a row with such an id ([`Earlier::Named`](crate::Earlier::Named)) is resumed
/// instead of being sent again. Other rows that were under way are sent again, unless
/// [`at_most_once`](Self::at_most_once) is set, and counted in
/// [`Summary::maybe_paid_twice`].
pub struct Batch {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) max_in_flight: usize,
    pub(crate) max_requests: u32,
    pub(crate) max_outage: Duration,
    pub(crate) requests_per_minute: Option<NonZeroU32>,
    pub(crate) tokens_per_minute: Option<NonZeroU32>,
    pub(crate) retry_ambiguous: bool,
    pub(crate) at_most_once: bool,
    pub(crate) idempotency_key: bool,
    pub(crate) stop: Stop,
    pub(crate) on_progress: Option<OnProgress>,
}

pub(crate) type OnProgress = Box<dyn FnMut(&Progress) + Send>;

impl Batch {
    /// Creates a batch. The clock is that of a [`Transport`](inferstream_core::Transport), or another.
    pub fn new(provider: impl Provider, timer: impl Timer) -> Self {
        Self {
            provider: Arc::new(provider),
            timer: Arc::new(timer),
            max_in_flight: MAX_IN_FLIGHT,
            max_requests: MAX_REQUESTS,
            max_outage: MAX_OUTAGE,
            requests_per_minute: None,
            tokens_per_minute: None,
            retry_ambiguous: false,
            at_most_once: false,
            idempotency_key: false,
            stop: Stop::default(),
            on_progress: None,
        }
    }

    /// Sets how many requests may be in flight; 64 by default, and 0 means 1.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// Sets how often the request of a row is sent at most; 5 by default, and 0 means 1.
    #[must_use]
    pub fn max_requests(mut self, requests: u32) -> Self {
        self.max_requests = requests;
        self
    }

    /// Sets for how long the batch tries to reach a service that it has reached before; 2 h by
    /// default. It gives up a service that it never reached after a minute.
    #[must_use]
    pub fn max_outage(mut self, outage: Duration) -> Self {
        self.max_outage = outage;
        self
    }

    /// Limits the requests per minute.
    #[must_use]
    pub fn requests_per_minute(mut self, limit: NonZeroU32) -> Self {
        self.requests_per_minute = Some(limit);
        self
    }

    /// Limits the tokens per minute. A request is charged with its `max_tokens`, or 1,024, until its
    /// usage is known.
    #[must_use]
    pub fn tokens_per_minute(mut self, limit: NonZeroU32) -> Self {
        self.tokens_per_minute = Some(limit);
        self
    }

    /// Sets whether a request that may have been processed is sent again, and possibly billed twice:
    /// false by default.
    #[must_use]
    pub fn retry_ambiguous(mut self, retry: bool) -> Self {
        self.retry_ambiguous = retry;
        self
    }

    /// Sets whether rows that may have been processed are never sent again: neither those that were
    /// under way when an earlier run ended, nor on a new connection after a reused one was closed.
    /// They fail with the code `maybe_paid`. False by default. It overrides
    /// [`retry_ambiguous`](Self::retry_ambiguous).
    #[must_use]
    pub fn at_most_once(mut self, once: bool) -> Self {
        self.at_most_once = once;
        self
    }

    /// Sets whether each request has the header `Idempotency-Key`: a hash of the row's id and its
    /// request. False by default. A gateway that keeps responses by the key returns the same response
    /// to the same row.
    #[must_use]
    pub fn idempotency_key(mut self, key: bool) -> Self {
        self.idempotency_key = key;
        self
    }

    /// Sets the handle that stops the batch.
    #[must_use]
    pub fn stop(mut self, stop: &Stop) -> Self {
        self.stop = stop.clone();
        self
    }

    /// Sets a function that is called when the batch has made progress.
    #[must_use]
    pub fn on_progress(mut self, report: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(report));
        self
    }

    /// Sends the requests of rows, and passes the results to the sink. The iterator must not block
    /// for long: all requests wait for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the requests in flight.
    pub async fn run(self, rows: impl IntoIterator<Item = Row>, sink: &mut dyn Sink) -> Summary {
        let rows = Iter(rows.into_iter().map(Ok));
        self.run_stream(rows, sink).await
    }

    /// Sends the requests of a stream of rows, whose errors end the batch: see [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_stream(
        self,
        rows: impl Stream<Item = io::Result<Row>>,
        sink: &mut dyn Sink,
    ) -> Summary {
        let rows = std::pin::pin!(rows);
        let mut run = Run::new(self, rows, sink);
        std::future::poll_fn(|cx| run.poll(cx)).await
    }

    /// Sends the requests of rows that are read from a file, whose errors end the batch: see
    /// [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_file(
        self,
        rows: impl IntoIterator<Item = io::Result<Row>>,
        sink: &mut dyn Sink,
    ) -> Summary {
        self.run_stream(Iter(rows.into_iter()), sink).await
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("provider", &self.provider.info().id)
            .field("max_in_flight", &self.max_in_flight)
            .field("max_requests", &self.max_requests)
            .field("requests_per_minute", &self.requests_per_minute)
            .field("tokens_per_minute", &self.tokens_per_minute)
            .field("retry_ambiguous", &self.retry_ambiguous)
            .field("at_most_once", &self.at_most_once)
            .field("idempotency_key", &self.idempotency_key)
            .finish_non_exhaustive()
    }
}

/// An iterator as a stream that is always ready.
struct Iter<I>(I);

// The iterator is not pinned.
impl<I> Unpin for Iter<I> {}

impl<I: Iterator> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}
