//! A `Stream` of frames over a body.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::{Decoder, Frame};
use crate::{
    error::{Error, Result},
    text::Text,
    transport::Body,
};

/// The frames of a body, for event streams of other protocols.
///
/// It ends where the body ends; whether that was the complete stream, only the protocol knows.
/// The first error is the last item.
///
/// # Cancel safety
///
/// No frame is lost when [`next`](Self::next) is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct FrameStream {
    /// `None` once the stream has ended.
    body: Option<Body>,
    decoder: Decoder,
}

/// An owned frame.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OwnedFrame {
    /// The event's name, `message` by default.
    pub event: String,
    /// The last event id.
    pub id: String,
    /// The data.
    pub data: Text,
}

impl FrameStream {
    /// Creates a stream of the frames of a body; the decoder has the limits.
    pub fn new(body: Body, decoder: Decoder) -> Self {
        Self {
            body: Some(body),
            decoder,
        }
    }

    /// Waits for the next frame.
    pub async fn next(&mut self) -> Option<Result<OwnedFrame>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    /// Returns the decoder, for the last event id and the reconnection time.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<OwnedFrame>>> {
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(None);
            };
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame.into()))),
                Ok(None) => {}
                Err(error) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(Error::from(error))));
                }
            }
            match ready!(body.poll_data(cx)) {
                Some(Ok(bytes)) => self.decoder.push(bytes),
                end => {
                    self.body = None;
                    return Poll::Ready(end.and_then(Result::err).map(Err));
                }
            }
        }
    }
}

impl Stream for FrameStream {
    type Item = Result<OwnedFrame>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_frame(cx)
    }
}

impl fmt::Debug for FrameStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameStream")
            .field("ended", &self.body.is_none())
            .finish_non_exhaustive()
    }
}

impl From<Frame<'_>> for OwnedFrame {
    fn from(frame: Frame<'_>) -> Self {
        Self {
            event: frame.event.to_owned(),
            id: frame.id.to_owned(),
            data: Text::slice_of(frame.buffer, frame.data),
        }
    }
}
