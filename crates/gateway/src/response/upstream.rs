//! A stream of a provider from its request on, before its headers as well as after them.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use inferstream::{BoxFuture, ChatEvent, ChatResponse, ChatStream, Result, protocol::EventStream};

/// A provider's stream, which may not have begun yet. Dropping it closes the connection, and cancels
/// the response at services that would continue.
pub(crate) enum Upstream {
    Opening(BoxFuture<'static, Result<ChatStream>>),
    Open(ChatStream),
    Closed,
}

impl Upstream {
    /// Polls for the next event; an error or the end is returned once.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        loop {
            match self {
                Self::Closed => return Poll::Ready(None),
                Self::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(stream) => *self = Self::Open(stream),
                    Err(error) => {
                        *self = Self::Closed;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                Self::Open(stream) => {
                    let event = ready!(EventStream::poll_event(Pin::new(stream), cx));
                    return Poll::Ready(event);
                }
            }
        }
    }

    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> Option<Result<ChatEvent>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Returns the response as far as it has arrived.
    pub(crate) fn partial(&self) -> Option<&ChatResponse> {
        match self {
            Self::Open(stream) => Some(stream.partial()),
            Self::Opening(_) | Self::Closed => None,
        }
    }
}
