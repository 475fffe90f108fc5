//! A response whose headers have arrived.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    meta::{self, Meta},
    response::ChatResponse,
    sse::TooLarge,
    timeouts::{Phase, Timeouts},
    transport::{Body, BoxFuture, Transport},
};

/// A response whose headers have arrived, and what is needed to read it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Started {
    /// The transport that it came through.
    pub transport: Arc<dyn Transport>,
    /// The start of the first attempt, by the timer of `transport`.
    pub at: Duration,
    /// The timeouts.
    pub timeouts: Timeouts,
    /// The metadata so far, which becomes [`ChatResponse::meta`] of the stream.
    pub meta: Meta,
    /// What is known of the response so far, such as its id.
    pub partial: ChatResponse,
    /// The body.
    pub body: Body,
}

impl Started {
    /// Creates a `Started` from a response.
    pub fn new(
        transport: Arc<dyn Transport>,
        at: Duration,
        timeouts: Timeouts,
        response: http::Response<Body>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let meta = Meta {
            status: head.status,
            headers: meta::copy(&head.headers),
            time_to_head: transport.now().saturating_sub(at),
            ..Meta::default()
        };
        Self {
            transport,
            at,
            timeouts,
            meta,
            partial: ChatResponse::default(),
            body,
        }
    }

    /// Reads the complete body, with the timeout `idle` for each read and `progress` for all of
    /// them.
    ///
    /// # Errors
    ///
    /// Returns `TooLarge` above the limit in bytes, `Timeout`, and the errors of the body.
    pub async fn document(&mut self, limit: usize) -> Result<Bytes> {
        let mut read = Vec::new();
        let mut whole = self.limit(Phase::Progress, self.timeouts.progress);
        loop {
            let mut each = self.limit(Phase::Idle, self.timeouts.idle);
            let bytes = std::future::poll_fn(|cx| {
                if let Poll::Ready(bytes) = self.body.poll_data(cx) {
                    return Poll::Ready(bytes);
                }
                for (error, sleep) in [&mut each, &mut whole].into_iter().flatten() {
                    if sleep.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Some(Err(error.clone())));
                    }
                }
                Poll::Pending
            });
            let Some(bytes) = bytes.await else {
                return Ok(Bytes::from(read));
            };
            let bytes = bytes?;
            if limit < read.len() + bytes.len() {
                return Err(TooLarge::new("document", limit).into());
            }
            read.extend_from_slice(&bytes);
        }
    }

    /// Returns the error of a timeout, and the wait for it.
    fn limit(
        &self,
        phase: Phase,
        limit: Option<Duration>,
    ) -> Option<(Error, BoxFuture<'static, ()>)> {
        let sleep = |limit| (Error::timeout(phase, limit), self.transport.sleep(limit));
        limit.map(sleep)
    }
}
