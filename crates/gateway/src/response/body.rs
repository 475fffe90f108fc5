//! The body of a streamed response.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use inferstream::{BoxFuture, ChatEvent, Result};
use inferstream_chat_json::Identity;
use tokio::time::{Instant, Sleep, sleep};

use super::{chunks::Chunks, upstream::Upstream};
use crate::{limit::Permits, record::Track, refusal::Refusal};

/// The size at which a frame is sent though more events are ready.
const FRAME: usize = 16 << 10;

/// What a stream needs to know of its request and of the gateway.
pub(crate) struct StreamSettings {
    pub(crate) choices: u32,
    pub(crate) include_usage: bool,
    pub(crate) keep_alive: Duration,
    /// Ready once responses in flight must end.
    pub(crate) ended: BoxFuture<'static, ()>,
}

/// The chunks of a streamed response.
///
/// It is polled on the task of its connection and polls the provider's connection there, so a client
/// that does not read holds the provider back, and one that is gone drops the provider's stream.
pub(crate) struct StreamBody {
    upstream: Upstream,
    /// The event that the headers waited for.
    first: Option<ChatEvent>,
    chunks: Chunks,
    settings: StreamSettings,
    last_frame: Instant,
    sleep: Pin<Box<Sleep>>,
    track: Track,
    is_over: bool,
    // Dropped after the stream, so that its connection closes before another request begins.
    permits: Option<Permits>,
}

impl StreamBody {
    pub(crate) fn new(
        identity: &Identity,
        settings: StreamSettings,
        upstream: Upstream,
        first: Option<ChatEvent>,
        track: Track,
        permits: Permits,
    ) -> Self {
        Self {
            upstream,
            first,
            chunks: Chunks::new(identity, settings.choices, settings.include_usage),
            last_frame: Instant::now(),
            sleep: Box::pin(sleep(settings.keep_alive)),
            settings,
            track,
            is_over: false,
            permits: Some(permits),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        match self.first.take() {
            Some(event) => Poll::Ready(Some(Ok(event))),
            None => self.upstream.poll_event(cx),
        }
    }

    /// Ends the response with an error.
    fn fail(&mut self, out: &mut String, refusal: &Refusal) {
        self.chunks.failed(out, refusal);
        self.track.failed(refusal, self.upstream.partial());
        self.close();
    }

    fn close(&mut self) {
        self.is_over = true;
        if let Some(permits) = self.permits.take() {
            permits.settle(self.track.tokens());
        }
        self.upstream = Upstream::Closed;
    }

    /// Appends all that is ready, up to the size of a frame.
    fn fill(&mut self, out: &mut String, cx: &mut Context<'_>) {
        while out.len() < FRAME && !self.is_over {
            match self.poll_event(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(event))) => {
                    self.track.event(&event);
                    self.chunks.event(out, &event);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.track.upstream_error(&error);
                    self.fail(out, &Refusal::from(&error));
                }
                Poll::Ready(None) => match self.chunks.complete(out) {
                    Ok(()) => {
                        self.track.complete(self.upstream.partial());
                        self.close();
                    }
                    Err(refusal) => self.fail(out, &refusal),
                },
            }
        }
    }

    /// Returns true if a comment is due, because nothing was sent for a while.
    fn is_idle(&mut self, cx: &mut Context<'_>) -> bool {
        // The timer is not reset with each frame, but when it fires.
        while self.sleep.as_mut().poll(cx).is_ready() {
            let due = self.last_frame + self.settings.keep_alive;
            let now = Instant::now();
            if due <= now {
                self.sleep.as_mut().reset(now + self.settings.keep_alive);
                // Registers the waker for the next time.
                let _ = self.sleep.as_mut().poll(cx);
                return true;
            }
            self.sleep.as_mut().reset(due);
        }
        false
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let mut out = String::new();
        this.fill(&mut out, cx);
        if !this.is_over && this.settings.ended.as_mut().poll(cx).is_ready() {
            this.fail(&mut out, &Refusal::draining());
        }
        if out.is_empty() && this.is_idle(cx) {
            out.push_str(": keep-alive\n\n");
        }
        if out.is_empty() {
            return if this.is_over {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        this.last_frame = Instant::now();
        this.track.frame();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if !self.is_over {
            self.track.canceled(self.upstream.partial());
            self.close();
        }
    }
}
