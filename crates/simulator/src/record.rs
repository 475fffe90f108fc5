//! The record of requests and messages.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Version, request::Parts};

/// The maximum number of requests, and of messages, that are kept.
///
/// Tests send dozens; a server that runs for days must not grow without limit.
const MAX_RECORDED: usize = 10_000;

/// The headers that contain keys and cookies.
const SECRET: [&str; 4] = [
    "authorization",
    "cf-aig-authorization",
    "cookie",
    "x-auth-key",
];

/// A request that the server received.
#[derive(Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The path and query.
    pub path: String,
    /// The headers; those with keys and cookies are marked as sensitive, so `Debug` omits their
    /// values.
    pub headers: HeaderMap,
    /// The complete body.
    pub body: Bytes,
    /// The number of the TCP connection, counted from 0 across both origins.
    pub connection: u64,
    /// Whether the request was sent to the origin of the streams.
    pub stream: bool,
    /// The HTTP version.
    pub version: Version,
}

impl Recorded {
    pub(crate) fn new(connection: u64, stream: bool, head: &Parts, body: Bytes) -> Self {
        let mut headers = head.headers.clone();
        for (name, value) in &mut headers {
            if SECRET.contains(&name.as_str()) {
                value.set_sensitive(true);
            }
        }
        Self {
            method: head.method.clone(),
            path: head.uri.path_and_query().map_or_else(
                || head.uri.path().to_owned(),
                |path_and_query| path_and_query.as_str().to_owned(),
            ),
            headers,
            body,
            connection,
            stream,
            version: head.version,
        }
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .field("connection", &self.connection)
            .field("stream", &self.stream)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The most recent requests and agent messages, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Record {
    requests: Mutex<VecDeque<Recorded>>,
    messages: Mutex<VecDeque<String>>,
    connections: AtomicU64,
}

impl Record {
    /// Returns the number of a new connection, counted from 0.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn push(&self, request: Recorded) {
        push(&self.requests, request);
    }

    pub(crate) fn push_message(&self, message: String) {
        push(&self.messages, message);
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        all(&self.requests)
    }

    pub(crate) fn all_messages(&self) -> Vec<String> {
        all(&self.messages)
    }
}

fn push<T>(kept: &Mutex<VecDeque<T>>, item: T) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == MAX_RECORDED {
        kept.pop_front();
    }
    kept.push_back(item);
}

fn all<T: Clone>(kept: &Mutex<VecDeque<T>>) -> Vec<T> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().cloned().collect()
}
