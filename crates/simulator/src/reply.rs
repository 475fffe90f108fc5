//! A response before it is sent.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Serialize;

use crate::{
    answer::{Piece, Raw},
    body::{Body, Repeat},
    error::invalid,
    wire::fault::Wire,
};

/// Status, headers and the pieces of the body.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    pieces: Vec<Piece>,
    /// Sent without end instead of the pieces.
    repeat: Option<Repeat>,
    /// The time before the headers are sent.
    delay: Duration,
    /// The fault of its bytes.
    wire: Option<Wire>,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, pieces: Vec<Piece>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            pieces,
            repeat: None,
            delay: Duration::ZERO,
            wire: None,
        }
    }

    /// Creates a reply without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::bare(status).content_length(0)
    }

    /// Creates a reply without headers and body.
    pub(crate) fn bare(status: StatusCode) -> Self {
        let mut reply = Self::new(status, "", Vec::new());
        reply.headers.remove(CONTENT_TYPE);
        reply
    }

    /// Creates a reply with a complete text body.
    pub(crate) fn text(
        status: StatusCode,
        content_type: &'static str,
        text: impl Into<Bytes>,
    ) -> Self {
        let text = text.into();
        let len = text.len();
        Self::new(status, content_type, vec![Piece::Bytes(text)]).content_length(len)
    }

    /// Creates a reply whose body never ends.
    pub(crate) fn forever(content_type: &'static str, repeat: Repeat) -> Self {
        let reply = Self::new(StatusCode::OK, content_type, Vec::new());
        Self {
            repeat: Some(repeat),
            ..reply
        }
    }

    /// Creates a reply with a complete JSON body.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::text(status, "application/json", body)
    }

    pub(crate) fn from_raw(raw: Raw) -> io::Result<Self> {
        let status = StatusCode::from_u16(raw.status)
            .ok()
            // hyper cannot send informational statuses as responses.
            .filter(|status| !status.is_informational())
            .ok_or_else(|| invalid("invalid status of an answer: expected 200 to 999"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in raw.headers {
            let name = HeaderName::try_from(name)
                .map_err(|_| invalid("invalid header name of an answer: expected an HTTP token"))?;
            let value = HeaderValue::try_from(value).map_err(|_| {
                invalid("invalid header value of an answer: expected no control characters")
            })?;
            headers.append(name, value);
        }
        Ok(Self {
            status,
            headers,
            pieces: raw.pieces,
            repeat: None,
            delay: Duration::ZERO,
            wire: None,
        })
    }

    /// Creates a reply with this value as JSON.
    pub(crate) fn value(status: StatusCode, value: &impl Serialize) -> Self {
        Self::json(status, serde_json::to_vec(value).unwrap_or_default())
    }

    pub(crate) fn content_length(mut self, len: usize) -> Self {
        self.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        self
    }

    pub(crate) fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the fault of its bytes; they are then sent without waiting.
    pub(crate) fn wire(mut self, fault: Option<Wire>) -> Self {
        self.wire = fault;
        if fault.is_some() {
            self.delay = Duration::ZERO;
            self.pieces.retain(|piece| matches!(piece, Piece::Bytes(_)));
        }
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Waits for the delay and returns the response.
    pub(crate) async fn into_response(self) -> Response<Body> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let body = match self.repeat {
            Some(repeat) => Body::new(repeat),
            None => Body::new(self.pieces.into_iter()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(fault) = self.wire {
            response.extensions_mut().insert(fault);
        }
        response
    }
}
