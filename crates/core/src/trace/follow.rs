//! A stream in, the same stream in its call's span out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tracing::{Instrument, Span};

use super::call::{Outcome, Watch, note_error};
use crate::{
    error::Result,
    event::ChatEvent,
    response::ChatResponse,
    stream::{ChatStream, EventStream},
    transport::BoxFuture,
};

/// Follows a stream to its end.
pub(super) fn followed(stream: ChatStream, watch: Watch) -> ChatStream {
    ChatStream::new(Followed {
        inner: stream.into_inner(),
        watch: Some(watch),
        canceled: None,
    })
}

/// A stream whose span is entered while it is polled, and never between.
struct Followed {
    inner: Pin<Box<dyn EventStream>>,
    /// `None` once the call has ended: the span is closed then, though the stream may be kept.
    watch: Option<Watch>,
    /// The span of a call that was canceled, in which the connection is closed.
    canceled: Option<Span>,
}

impl EventStream for Followed {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let this = &mut *self;
        let Some(watch) = &this.watch else {
            return this.inner.as_mut().poll_event(cx);
        };
        let polled = watch.span.in_scope(|| this.inner.as_mut().poll_event(cx));
        match &polled {
            Poll::Pending | Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(error))) => {
                if let Some(watch) = this.watch.take() {
                    watch.fail(error);
                }
            }
            Poll::Ready(None) => {
                if let Some(watch) = this.watch.take() {
                    watch.end(Outcome::Whole, this.inner.partial());
                }
            }
        }
        polled
    }

    fn partial(&self) -> &ChatResponse {
        self.inner.partial()
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.inner.as_mut().warn(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        let this = &mut *self;
        let Some(watch) = this.watch.take() else {
            return this.inner.as_mut().cancel();
        };
        let span = watch.span.clone();
        let told = span.in_scope(|| this.inner.as_mut().cancel());
        watch.end(Outcome::Canceled, this.inner.partial());
        this.canceled = Some(span.clone());
        Box::pin(async move {
            let told = told.instrument(span.clone()).await;
            if let Err(error) = &told {
                note_error(&span, error);
            }
            told
        })
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let span = match (self.watch.take(), self.canceled.take()) {
            (Some(watch), _) => {
                let span = watch.span.clone();
                watch.end(Outcome::Dropped, self.inner.partial());
                span
            }
            (None, Some(span)) => span,
            (None, None) => return,
        };
        // What the protocol and the transport do about it belongs to the call, too.
        let inner = std::mem::replace(&mut self.inner, Box::pin(Gone::default()));
        span.in_scope(|| drop(inner));
    }
}

/// What stands for a stream that has been dropped.
#[derive(Default)]
struct Gone {
    partial: ChatResponse,
}

impl EventStream for Gone {
    fn poll_event(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        Poll::Ready(None)
    }

    fn partial(&self) -> &ChatResponse {
        &self.partial
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.partial.meta.warnings.push(warning);
    }
}
