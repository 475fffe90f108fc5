//! A scripted response.

use std::{future::pending, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use inferstream_core::{Body, Error, Result, Timer};

use crate::{
    body::{Piece, Watch, body},
    clock::Clock,
};

/// A scripted response: status, headers and body, with delays and failures.
///
/// ```
/// use std::time::Duration;
/// use inferstream_test::{Piece, Reply};
///
/// let stream = "data: {\"a\":1}\n\ndata: [DONE]\n\n";
/// // The connection is lost after 20 bytes.
/// let lost = Reply::sse([stream]).disconnect_after(20);
/// // The body ends there, as if it were complete.
/// let cut = Reply::sse([stream]).end_after(20);
/// // It arrives byte by byte.
/// let slow = Reply::sse([stream]).split_every(1);
/// // It pauses for a minute and then stalls.
/// let stalled = Reply::sse([stream.into(), Duration::from_secs(60).into(), Piece::Hang]);
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    pieces: Vec<Piece>,
    /// What the transport returns in place of a response.
    error: Option<Error>,
    /// The time until the headers; `None` is forever.
    delay: Option<Duration>,
}

impl Reply {
    /// Creates a response with a status and a body, without headers.
    ///
    /// # Panics
    ///
    /// If the status is not between 100 and 999.
    pub fn new(status: u16, pieces: impl IntoIterator<Item: Into<Piece>>) -> Self {
        Self {
            pieces: pieces.into_iter().map(Into::into).collect(),
            ..Self::empty(status)
        }
    }

    /// Creates a response without a body.
    ///
    /// # Panics
    ///
    /// If the status is not between 100 and 999.
    pub fn empty(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status is between 100 and 999"),
            headers: HeaderMap::new(),
            pieces: Vec::new(),
            error: None,
            delay: Some(Duration::ZERO),
        }
    }

    /// Creates an event stream: status 200 and the content type `text/event-stream`.
    pub fn sse(pieces: impl IntoIterator<Item: Into<Piece>>) -> Self {
        let content_type = HeaderValue::from_static("text/event-stream");
        Self::new(200, pieces).with_content_type(content_type)
    }

    /// Creates a JSON document: the content type is `application/json`.
    ///
    /// # Panics
    ///
    /// If the status is not between 100 and 999.
    pub fn json(status: u16, body: &str) -> Self {
        let content_type = HeaderValue::from_static("application/json");
        Self::new(status, [body]).with_content_type(content_type)
    }

    /// Creates a failure of the transport, such as a connection that is refused.
    pub fn error(error: Error) -> Self {
        Self {
            error: Some(error),
            ..Self::empty(200)
        }
    }

    /// Creates a response whose headers never arrive.
    pub fn hang() -> Self {
        Self {
            delay: None,
            ..Self::empty(200)
        }
    }

    /// Sets a header, and replaces an earlier one of the same name.
    ///
    /// # Panics
    ///
    /// If the name or the value is not allowed in HTTP.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a valid name of a header");
        let value =
            HeaderValue::from_bytes(value.as_ref().as_bytes()).expect("a valid value of a header");
        self.headers.insert(name, value);
        self
    }

    /// Delays the headers, or the failure: 0 by default.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Ends the body cleanly after this number of bytes.
    #[must_use]
    pub fn end_after(mut self, bytes: usize) -> Self {
        self.truncate(bytes);
        self
    }

    /// Loses the connection after this number of bytes of the body: [`Piece::disconnect`].
    #[must_use]
    pub fn disconnect_after(mut self, bytes: usize) -> Self {
        self.truncate(bytes);
        self.pieces.push(Piece::disconnect());
        self
    }

    /// Splits the body's bytes into reads of this size; the last of each piece may be smaller.
    ///
    /// # Panics
    ///
    /// If the size is 0.
    #[must_use]
    pub fn split_every(mut self, size: usize) -> Self {
        let split = |piece| match piece {
            Piece::Bytes(bytes) => {
                let part = |part| Piece::Bytes(bytes.slice_ref(part));
                bytes.chunks(size).map(part).collect()
            }
            other => vec![other],
        };
        self.pieces = self.pieces.into_iter().flat_map(split).collect();
        self
    }

    fn with_content_type(mut self, value: HeaderValue) -> Self {
        self.headers.insert(CONTENT_TYPE, value);
        self
    }

    fn truncate(&mut self, mut bytes: usize) {
        let mut kept = Vec::new();
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Bytes(part) if bytes <= part.len() => {
                    kept.push(Piece::Bytes(part.slice(..bytes)));
                    break;
                }
                Piece::Bytes(part) => {
                    bytes -= part.len();
                    kept.push(Piece::Bytes(part));
                }
                other => kept.push(other),
            }
        }
        self.pieces = kept;
    }

    /// Returns the response once its headers are due, and a record of its body. Use it in your own
    /// transport, for behavior that a script cannot express.
    ///
    /// # Errors
    ///
    /// The error of [`error`](Self::error).
    pub async fn respond(self, clock: Clock) -> Result<(Response<Body>, Watch)> {
        match self.delay {
            None => pending().await,
            Some(Duration::ZERO) => {}
            Some(delay) => clock.sleep(delay).await,
        }
        if let Some(error) = self.error {
            return Err(error);
        }
        let (body, watch) = body(&clock, self.pieces);
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok((response, watch))
    }
}
