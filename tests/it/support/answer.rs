//! A scripted response.

use std::{sync::Arc, time::Duration};

use http::Response;
use inferstream_core::{Body, Error, Result};

use super::{Clock, Piece, Watch, body};

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Piece>,
    /// The error of the transport instead of a response.
    error: Option<Error>,
    /// How long to wait for the headers; `None` waits forever.
    delay: Option<Duration>,
}

impl Answer {
    pub(crate) fn new(status: u16, pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            pieces: pieces.into_iter().collect(),
            error: None,
            delay: Some(Duration::ZERO),
        }
    }

    /// An event stream.
    pub(crate) fn sse(pieces: impl IntoIterator<Item = Piece>) -> Self {
        Self::new(200, pieces).header("content-type", "text/event-stream")
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, [Piece::from(body)]).header("content-type", "application/json")
    }

    /// A document of the type `application/problem+json`.
    pub(crate) fn problem(status: u16, body: &str) -> Self {
        Self::json(status, body).header("content-type", "application/problem+json")
    }

    pub(crate) fn error(error: Error) -> Self {
        Self {
            error: Some(error),
            ..Self::new(200, [])
        }
    }

    /// A response that never arrives.
    pub(crate) fn hang() -> Self {
        Self {
            delay: None,
            ..Self::new(200, [])
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Returns the response once its headers are due, and a record of its body.
    pub(crate) async fn respond(self, clock: Arc<Clock>) -> Result<(Response<Body>, Arc<Watch>)> {
        match self.delay {
            None => std::future::pending().await,
            Some(Duration::ZERO) => {}
            Some(delay) => clock.sleep(delay).await,
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let (body, watch) = body(&clock, self.pieces);
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        Ok((response.body(body).unwrap(), watch))
    }
}
