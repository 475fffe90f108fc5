//! A response whose bytes a fault changes, and the steps in which it is sent.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;

use crate::body::Body;

/// The bytes of a flood are sent in parts of this size.
pub(super) const PART: usize = 16 << 10;

/// One step of a connection.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Sends these bytes in a write.
    Send(Bytes),
    /// Sends these bytes again and again, with a pause, until the client closes the connection.
    Repeat(Bytes, Duration),
    /// Sends these bytes below TLS.
    Corrupt(Bytes),
    Wait(Duration),
    /// Sends nothing more, and keeps the connection open until the client closes it.
    Hang,
    /// Resets the connection.
    Reset,
    /// Closes the connection without the end of TLS.
    CloseBelowTls,
}

/// The steps of a connection, which is closed after the last.
#[derive(Clone, Debug)]
pub(crate) struct Plan(pub(super) Vec<Step>);

/// A complete response, whose bytes a fault changes.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// The body, one item per event.
    pub(super) events: Vec<Bytes>,
    /// The origin, such as `http://127.0.0.1:8081`, that must not get a request.
    pub(super) elsewhere: String,
    /// The path of the request.
    pub(super) path: String,
}

impl Sent {
    /// Reads a response to its end.
    pub(crate) async fn collect(response: Response<Body>, elsewhere: String, path: String) -> Self {
        let (head, mut body) = response.into_parts();
        let mut events = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            events.extend(frame.into_data().ok());
        }
        Self {
            status: head.status,
            headers: head.headers,
            events,
            elsewhere,
            path,
        }
    }
}
