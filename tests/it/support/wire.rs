//! A transport that responds by rule and records its requests.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Result, Timer, Transport};
use serde_json::Value;

use super::{Answer, Clock, Double};

/// Computes a response from a request and those before it.
type Answers = dyn Fn(&Request<Bytes>, &[Request<Bytes>]) -> Answer + Send + Sync;

/// A scripted transport.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) clock: Arc<Clock>,
    answers: Arc<Answers>,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Wire {
    /// Creates a transport with these responses in turn; the last one is repeated.
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().collect();
        let last = answers.len().saturating_sub(1);
        Self::by(move |_, before| answers[before.len().min(last)].clone())
    }

    /// Creates a transport that computes each response from the request and those before it.
    pub(crate) fn by(
        answers: impl Fn(&Request<Bytes>, &[Request<Bytes>]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Clock::new(),
            answers: Arc::new(answers),
            requests: Arc::default(),
        }
    }

    /// Returns the number of requests.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// Returns the first request.
    pub(crate) fn request(&self) -> Request<Bytes> {
        self.requests.lock().unwrap().first().unwrap().clone()
    }

    /// Returns all requests.
    pub(crate) fn all(&self) -> Vec<Request<Bytes>> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the first request's body.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.request().body().to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }
}

impl Double for Wire {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn requests(&self) -> usize {
        self.count()
    }
}

impl Transport for Wire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let mut requests = self.requests.lock().unwrap();
        let answer = (self.answers)(&request, &requests);
        requests.push(request);
        let response = answer.respond(Arc::clone(&self.clock));
        Box::pin(async { Ok(response.await?.0) })
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

impl Timer for Wire {
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

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
