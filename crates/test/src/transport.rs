//! A transport that responds from a script and records what was sent.

use std::{
    collections::VecDeque,
    fmt,
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};

use inferstream_core::{Body, BoxFuture, Error, Phase, Result, Timeouts, Timer, Transport};

use crate::{body::Watch, clock::Clock, reply::Reply};

/// Creates the response to a request from the requests before it.
type Rule = dyn Fn(&Request<Bytes>, &[Request<Bytes>]) -> Reply + Send + Sync;

/// A transport that responds from a script, on a manual clock, and records what was sent.
///
/// It opens no connection and needs no runtime: run the calls of a client with
/// [`block_on`](Self::block_on). Clones share the script, the clock and the record.
///
/// It enforces the timeout `head` of a request, and no other timeout of a transport, because nothing is
/// connected or written. It does not replay requests.
#[derive(Clone)]
pub struct ScriptedTransport {
    clock: Clock,
    shared: Arc<Shared>,
}

struct Shared {
    rule: Box<Rule>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    requests: Vec<Request<Bytes>>,
    bodies: Vec<Watch>,
    sleeps: Vec<Duration>,
    retries: Vec<(Error, Duration)>,
    tasks: Vec<BoxFuture<'static, ()>>,
}

impl ScriptedTransport {
    /// Creates a transport whose first request gets the first reply, and so on.
    ///
    /// A request after the last reply fails with `Config`, which is never retried.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: VecDeque<_> = replies.into_iter().collect();
        let replies = Mutex::new(replies);
        Self::by(move |_, before| {
            let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
            replies.pop_front().unwrap_or_else(|| {
                let count = before.len();
                let message = format!("unexpected request: the script has only {count} replies");
                Reply::error(Error::config(message))
            })
        })
    }

    /// Creates a transport whose replies depend on the request and on the requests before it.
    ///
    /// ```
    /// use inferstream_test::{Reply, ScriptedTransport};
    ///
    /// let transport = ScriptedTransport::by(|request, before| match request.uri().path() {
    ///     "/v1/models" => Reply::json(200, r#"{"data":[]}"#),
    ///     _ if before.is_empty() => Reply::empty(503),
    ///     _ => Reply::sse(["data: [DONE]\n\n"]),
    /// });
    /// ```
    ///
    /// The rule must not use the transport.
    pub fn by(
        rule: impl Fn(&Request<Bytes>, &[Request<Bytes>]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            rule: Box::new(rule),
            record: Mutex::default(),
        };
        Self {
            clock: Clock::new(),
            shared: Arc::new(shared),
        }
    }

    /// Replaces the clock, so that several transports share one.
    #[must_use]
    pub fn with_clock(mut self, clock: &Clock) -> Self {
        self.clock = clock.clone();
        self
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Runs a future to its end, like [`Clock::block_on`].
    ///
    /// # Panics
    ///
    /// If the future waits for something other than the clock.
    #[track_caller]
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.clock().block_on(future)
    }

    /// Returns the requests, in the order in which they were sent.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.record().requests.clone()
    }

    /// Returns a record of each body, in the order in which the headers were returned.
    pub fn bodies(&self) -> Vec<Watch> {
        self.record().bodies.clone()
    }

    /// Returns the length of each wait that was begun: those between attempts, and those of timeouts.
    pub fn sleeps(&self) -> Vec<Duration> {
        self.record().sleeps.clone()
    }

    /// Returns the error and the wait of each retry: what [`Transport::on_retry`] was called with.
    pub fn retries(&self) -> Vec<(Error, Duration)> {
        self.record().retries.clone()
    }

    /// Runs the background tasks to their end, such as the cancellation of a dropped stream. Returns the
    /// number of tasks.
    ///
    /// A transport on a runtime does this on its own.
    ///
    /// # Panics
    ///
    /// The same as [`block_on`](Self::block_on).
    #[track_caller]
    pub fn run_detached(&self) -> usize {
        let tasks = mem::take(&mut self.record().tasks);
        let count = tasks.len();
        for task in tasks {
            self.block_on(task);
        }
        count
    }

    /// Enforces the timeout `head`.
    async fn within<T>(
        &self,
        limit: Duration,
        response: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut response = pin!(response);
        let mut sleep = pin!(self.clock.sleep(limit));
        poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(response),
            Poll::Pending => {
                let is_over = sleep.as_mut().poll(cx);
                is_over.map(|()| Err(Error::timeout(Phase::Head, limit)))
            }
        })
        .await
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        let record = &self.shared.record;
        record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for ScriptedTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let timeouts = request.extensions().get::<Timeouts>();
        let limit = timeouts.and_then(|timeouts| timeouts.head);
        let mut record = self.record();
        let reply = (self.shared.rule)(&request, &record.requests);
        record.requests.push(request);
        drop(record);
        let this = self.clone();
        Box::pin(async move {
            let response = reply.respond(this.clock.clone());
            let (response, watch) = match limit {
                Some(limit) => this.within(limit, response).await?,
                None => response.await?,
            };
            this.record().bodies.push(watch);
            Ok(response)
        })
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.record().tasks.push(task);
    }

    fn on_retry(&self, error: &Error, wait: Duration) {
        self.record().retries.push((error.clone(), wait));
    }
}

impl Timer for ScriptedTransport {
    fn now(&self) -> Duration {
        self.clock().now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.record().sleeps.push(duration);
        self.clock().sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.clock().system_time()
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").finish_non_exhaustive()
    }
}
