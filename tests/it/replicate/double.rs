//! An in-memory service that records its requests.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use inferstream_core::{Body, BoxFuture, Result, Timer, Transport};
use serde_json::Value;

use super::{HOST, STREAM_HOST};
use crate::support::{Answer, Clock, Double, Watch, block_on};

/// The purpose of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    Create,
    Stream,
    Prediction,
    Cancel,
    Other,
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) what: What,
    /// The number of earlier requests of its kind.
    pub(super) nth: usize,
    pub(super) at: Duration,
    pub(super) request: Request<Bytes>,
    /// The state of the response body; `None` before the headers.
    watch: Arc<Mutex<Option<Watch>>>,
}

impl Asked {
    pub(super) fn uri(&self) -> String {
        self.request.uri().to_string()
    }

    pub(super) fn host(&self) -> &str {
        self.request.uri().host().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let value = self.request.headers().get(name)?;
        Some(value.to_str().unwrap_or("not ASCII"))
    }

    pub(super) fn has_key(&self) -> bool {
        self.request.headers().contains_key(header::AUTHORIZATION)
    }

    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id")
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(self.request.body()).unwrap()
    }

    /// Returns how many bytes of the response were read.
    pub(super) fn bytes(&self) -> usize {
        let watch = self.watch.lock().unwrap();
        watch.as_ref().map_or(0, Watch::bytes)
    }

    /// Returns true if the response body was dropped or never existed.
    pub(super) fn closed(&self) -> bool {
        let watch = self.watch.lock().unwrap();
        watch.as_ref().is_none_or(Watch::dropped)
    }
}

fn what(request: &Request<Bytes>) -> What {
    let uri = request.uri();
    let path = uri.path();
    match (request.method(), uri.host().unwrap_or_default()) {
        (&Method::GET, STREAM_HOST) => What::Stream,
        (&Method::POST, HOST) if path.ends_with("/cancel") => What::Cancel,
        (&Method::POST, HOST) if path.ends_with("/predictions") => What::Create,
        (&Method::GET, HOST) if path.starts_with("/v1/predictions/") => What::Prediction,
        _ => What::Other,
    }
}

type Rule = Arc<dyn Fn(&Asked, &[Asked]) -> Answer + Send + Sync>;

/// A service that computes each response from the request and those before it.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) clock: Clock,
    rule: Rule,
    asked: Arc<Mutex<Vec<Asked>>>,
    tasks: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl Service {
    pub(super) fn new(rule: impl Fn(&Asked, &[Asked]) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            clock: Clock::new(),
            rule: Arc::new(rule),
            asked: Arc::default(),
            tasks: Arc::default(),
        }
    }

    /// Returns all requests.
    pub(super) fn all(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns the requests of a kind.
    pub(super) fn asked(&self, what: What) -> Vec<Asked> {
        let mut all = self.all();
        all.retain(|asked| asked.what == what);
        all
    }

    pub(super) fn count(&self, what: What) -> usize {
        self.asked(what).len()
    }

    /// Returns the number of requests of each kind: creates, streams, cancels.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let count = |what| self.count(what);
        (
            count(What::Create),
            count(What::Stream),
            count(What::Cancel),
        )
    }

    /// Returns the body of the only creating request.
    #[track_caller]
    pub(super) fn created(&self) -> Value {
        let creates = self.asked(What::Create);
        assert_eq!(creates.len(), 1, "one create");
        creates[0].json()
    }

    /// Returns the times of the requests of a kind.
    pub(super) fn times(&self, what: What) -> Vec<Duration> {
        self.asked(what).iter().map(|asked| asked.at).collect()
    }

    /// Runs the background tasks to their end, including those that they start. Returns the number
    /// of tasks.
    #[track_caller]
    pub(super) fn run_tasks(&self) -> usize {
        let mut count = 0;
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            if tasks.is_empty() {
                return count;
            }
            count += tasks.len();
            assert!(count < 100, "tasks without end");
            for task in tasks {
                block_on(&self.clock, task);
            }
        }
    }

    /// Runs all background tasks concurrently to their end.
    #[track_caller]
    pub(super) fn run_tasks_at_once(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        let all = poll_fn(|cx| {
            tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            if tasks.is_empty() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        block_on(&self.clock, all);
    }

    /// Polls a future at most this many times, and then drops it.
    #[track_caller]
    pub(super) fn block_on_polls<T>(
        &self,
        polls: usize,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut left = polls;
        let mut future = pin!(future);
        let limited = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            future.as_mut().poll(cx).map(Some)
        });
        block_on(&self.clock, limited)
    }
}

impl Double for Service {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn requests(&self) -> usize {
        self.all().len()
    }

    #[track_caller]
    fn run_detached(&self) -> usize {
        self.run_tasks()
    }
}

impl Transport for Service {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let service = self.clone();
        Box::pin(async move {
            let before = service.all();
            let what = what(&request);
            let asked = Asked {
                what,
                nth: before.iter().filter(|asked| asked.what == what).count(),
                at: service.clock.elapsed(),
                request,
                watch: Arc::default(),
            };
            service.asked.lock().unwrap().push(asked.clone());
            let answer = (service.rule)(&asked, &before);
            let (response, watch) = answer.respond(service.clock).await?;
            *asked.watch.lock().unwrap() = Some(watch);
            Ok(response)
        })
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(task);
    }
}

impl Timer for Service {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep(duration))
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock.elapsed()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// A service with lists of responses: the first request of a kind gets the first one and so on, and
/// the last one is repeated.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) create: Vec<Answer>,
    pub(super) stream: Vec<Answer>,
    pub(super) prediction: Vec<Answer>,
    pub(super) cancel: Vec<Answer>,
    pub(super) other: Vec<Answer>,
}

impl Scene {
    pub(super) fn create(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.create = answers.into_iter().collect();
        self
    }

    pub(super) fn stream(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.stream = answers.into_iter().collect();
        self
    }

    pub(super) fn prediction(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.prediction = answers.into_iter().collect();
        self
    }

    pub(super) fn cancel(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.cancel = answers.into_iter().collect();
        self
    }

    pub(super) fn other(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.other = answers.into_iter().collect();
        self
    }

    pub(super) fn serve(self) -> Service {
        Service::new(move |asked, _| self.answer(asked))
    }

    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        let answers = match asked.what {
            What::Create => &self.create,
            What::Stream => &self.stream,
            What::Prediction => &self.prediction,
            What::Cancel => &self.cancel,
            What::Other => &self.other,
        };
        let last = answers.len() - 1;
        answers[asked.nth.min(last)].clone()
    }
}
