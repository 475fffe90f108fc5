//! A transport that responds by rule and records its requests.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Result, Timer, Transport};
use inferstream_test::{Clock, Reply, ScriptedTransport};
use serde_json::Value;

use super::Double;

/// A scripted transport.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) clock: Clock,
    script: ScriptedTransport,
}

impl Wire {
    /// Creates a transport with these responses in turn; the last one is repeated.
    pub(crate) fn new(answers: impl IntoIterator<Item = Reply>) -> Self {
        let answers: Vec<Reply> = answers.into_iter().collect();
        let last = answers.len().saturating_sub(1);
        Self::by(move |_, before| answers[before.len().min(last)].clone())
    }

    /// Creates a transport that computes each response from the request and those before it.
    pub(crate) fn by(
        answers: impl Fn(&Request<Bytes>, &[Request<Bytes>]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let script = ScriptedTransport::by(answers);
        let clock = script.clock().clone();
        Self { clock, script }
    }

    /// Returns the number of requests.
    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    /// Returns the first request.
    pub(crate) fn request(&self) -> Request<Bytes> {
        self.all().swap_remove(0)
    }

    /// Returns all requests.
    pub(crate) fn all(&self) -> Vec<Request<Bytes>> {
        self.script.requests()
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
        self.script.clone().with_clock(&self.clock).send(request)
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

impl Timer for Wire {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.clock.system_time()
    }
}
