//! A stream that is polled, canceled and dropped inside the span of its call.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tracing::{Instrument, Span, instrument::Instrumented};

use super::call::{Outcome, Watch, record_error};
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
        inner: stream.into_inner().instrument(watch.span.clone()),
        watch: Some(watch),
    })
}

struct Followed {
    /// `None` once the outcome is recorded.
    watch: Option<Watch>,
    /// Enters the call's span when it is dropped, because the protocol and the transport may record
    /// events then.
    inner: Instrumented<Pin<Box<dyn EventStream>>>,
}

impl Followed {
    fn inner(&mut self) -> Pin<&mut dyn EventStream> {
        self.inner.inner_mut().as_mut()
    }
}

impl EventStream for Followed {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        let this = &mut *self;
        let Some(watch) = &this.watch else {
            return this.inner().poll_event(cx);
        };
        let inner = this.inner.inner_mut();
        let polled = watch.span.in_scope(|| inner.as_mut().poll_event(cx));
        let end = match &polled {
            Poll::Pending | Poll::Ready(Some(Ok(_))) => return polled,
            Poll::Ready(Some(Err(error))) => Some(error),
            Poll::Ready(None) => None,
        };
        // Closes the span, because the caller may keep the stream.
        *this.inner.span_mut() = Span::none();
        match (this.watch.take(), end) {
            (Some(watch), Some(error)) => watch.fail(error),
            (Some(watch), None) => watch.end(Outcome::Whole, this.inner.inner().partial()),
            (None, _) => {}
        }
        polled
    }

    fn partial(&self) -> &ChatResponse {
        self.inner.inner().partial()
    }

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        self.inner().take_partial()
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        self.inner().warn(warning);
    }

    fn cancel(mut self: Pin<&mut Self>) -> BoxFuture<'static, Result<()>> {
        let Some(watch) = self.watch.take() else {
            return self.inner().cancel();
        };
        let span = watch.span.clone();
        let canceled = span.in_scope(|| self.inner().cancel());
        watch.end(Outcome::Canceled, self.partial());
        Box::pin(async move {
            let outcome = canceled.instrument(span.clone()).await;
            if let Err(error) = &outcome {
                record_error(&span, error);
            }
            outcome
        })
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.end(Outcome::Dropped, self.partial());
        }
    }
}
