//! A request whose head has come: what a stream or a document is read from.

use std::{sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

use crate::{
    error::{Error, Result},
    meta::Meta,
    response::ChatResponse,
    sse::TooLarge,
    timeouts::{Phase, Timeouts},
    transport::{Body, BoxFuture, Transport},
};

/// A request whose answer has begun.
#[derive(Debug)]
#[non_exhaustive]
pub struct Started {
    /// What it went through.
    pub transport: Arc<dyn Transport>,
    /// The start of its first attempt, by the timer of `transport`.
    pub at: Duration,
    /// Its limits.
    pub timeouts: Timeouts,
    /// What has come with the answer: of a stream, [`ChatResponse::meta`] begins with it.
    pub meta: Meta,
    /// What is known of the answer already, such as its id.
    pub partial: ChatResponse,
    /// The answer's body.
    pub body: Body,
}

impl Started {
    /// Takes an answer whose head has come.
    pub fn new(
        transport: Arc<dyn Transport>,
        at: Duration,
        timeouts: Timeouts,
        response: http::Response<Body>,
    ) -> Self {
        let (head, body) = response.into_parts();
        let meta = Meta {
            status: head.status,
            headers: head.headers,
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

    /// Reads the whole body, with the limit `idle` on each read and `progress` on all of them.
    ///
    /// # Errors
    ///
    /// `TooLarge` above the limit in bytes, `Timeout`, and what the body's own end is.
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

    /// Returns a limit's error and the wait for it.
    fn limit(
        &self,
        phase: Phase,
        limit: Option<Duration>,
    ) -> Option<(Error, BoxFuture<'static, ()>)> {
        let sleep = |limit| (Error::timeout(phase, limit), self.transport.sleep(limit));
        limit.map(sleep)
    }
}
