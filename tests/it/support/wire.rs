//! A transport that answers from a table and keeps what it was sent.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Error, Result, Transport};
use serde_json::Value;

use super::{Clock, Piece, body};

/// An answer as it is on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Piece>,
    /// What the transport says in place of an answer.
    error: Option<Error>,
}

impl Answer {
    pub(crate) fn new(status: u16, pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            pieces: pieces.into_iter().collect(),
            error: None,
        }
    }

    /// An event stream.
    pub(crate) fn sse(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self::new(200, pieces).header("content-type", "text/event-stream; charset=utf-8")
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, [Piece::from(body)]).header("content-type", "application/json")
    }

    pub(crate) fn error(error: Error) -> Self {
        Self {
            error: Some(error),
            ..Self::new(200, [])
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }
}

/// The wire: the first request gets the first answer and so on, those beyond the last get the last.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) clock: Arc<Clock>,
    answers: Arc<[Answer]>,
    requests: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Wire {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            clock: Clock::new(),
            answers: answers.into_iter().collect(),
            requests: Arc::default(),
        }
    }

    /// Returns how many requests came.
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

impl Transport for Wire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let mut requests = self.requests.lock().unwrap();
        let last = self.answers.len() - 1;
        let answer = self.answers[requests.len().min(last)].clone();
        requests.push(request);
        if let Some(error) = answer.error {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (body, _) = body(&self.clock, answer.pieces);
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        Box::pin(std::future::ready(Ok(response.body(body).unwrap())))
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep(duration))
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock.elapsed()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}
