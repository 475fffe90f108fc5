//! A stream of frames over any stream of bytes.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::{FusedStream, Stream};

use super::{Decoder, Frame, TooLarge};
use crate::text::Text;

/// The frames of a stream of bytes: [`frames`].
///
/// It ends where its input ends, and after the first error. A frame that the input leaves incomplete is
/// not returned: [`Decoder::is_cut`] of [`decoder`](Self::decoder) reports it.
///
/// # Cancel safety
///
/// No frame is lost when the future of [`next`](Self::next) is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct Frames<S> {
    /// `None` once the input has ended.
    input: Option<Pin<Box<S>>>,
    decoder: Decoder,
}

/// Returns the frames of a stream of bytes, such as the body of a response, with the default
/// [`Limits`](super::Limits).
///
/// ```
/// use inferstream_core::sse;
/// # use std::{convert::Infallible, pin::Pin, task::{Context, Poll}};
/// # use bytes::Bytes;
/// # struct Reads(Vec<&'static str>);
/// # impl futures_core::Stream for Reads {
/// #     type Item = Result<Bytes, Infallible>;
/// #     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
/// #         Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0).into())))
/// #     }
/// # }
/// # let example = async {
/// # let bytes = Reads(vec!["data: Hel", "lo\n\ndata: incompl"]);
///
/// // `bytes` is any `Stream<Item = Result<Bytes, E>>`.
/// let mut frames = sse::frames(bytes);
/// while let Some(frame) = frames.next().await {
///     println!("{}", frame?.data); // Hello
/// }
/// assert!(frames.decoder().is_cut());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # };
/// # let mut cx = Context::from_waker(std::task::Waker::noop());
/// # assert!(matches!(std::pin::pin!(example).poll(&mut cx), Poll::Ready(Ok(()))));
/// ```
pub fn frames<S, E>(bytes: S) -> Frames<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    Frames::new(bytes, Decoder::default())
}

impl<S, E> Frames<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    /// Creates a stream of frames with a custom decoder, whose limits apply.
    pub fn new(bytes: S, decoder: Decoder) -> Self {
        Self {
            input: Some(Box::pin(bytes)),
            decoder,
        }
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    ///
    /// The error of the input, or a size limit. It is the last item.
    pub async fn next(&mut self) -> Option<Result<OwnedFrame, FramesError<E>>> {
        std::future::poll_fn(|cx| self.poll_frame(cx)).await
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<OwnedFrame, FramesError<E>>>> {
        loop {
            let Some(input) = &mut self.input else {
                return Poll::Ready(None);
            };
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame.into()))),
                Ok(None) => {}
                Err(error) => {
                    self.input = None;
                    return Poll::Ready(Some(Err(FramesError::TooLarge(error))));
                }
            }
            match ready!(input.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => self.decoder.push(bytes),
                end => {
                    self.input = None;
                    let error = end.and_then(Result::err);
                    return Poll::Ready(error.map(|error| Err(FramesError::Input(error))));
                }
            }
        }
    }
}

impl<S> Frames<S> {
    /// Returns the decoder, for the last event id, the reconnection time, and whether the input ended
    /// inside a frame.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl<S, E> Stream for Frames<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Item = Result<OwnedFrame, FramesError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_frame(cx)
    }
}

impl<S, E> FusedStream for Frames<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    fn is_terminated(&self) -> bool {
        self.input.is_none()
    }
}

impl<S> fmt::Debug for Frames<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("ended", &self.input.is_none())
            .finish_non_exhaustive()
    }
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

impl From<Frame<'_>> for OwnedFrame {
    fn from(frame: Frame<'_>) -> Self {
        Self {
            event: frame.event.to_owned(),
            id: frame.id.to_owned(),
            data: Text::slice_of(frame.buffer, frame.data),
        }
    }
}

/// An error of [`Frames`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FramesError<E> {
    /// The error of the stream of bytes.
    Input(E),
    /// A line or a frame exceeds its limit.
    TooLarge(TooLarge),
}

impl<E> fmt::Display for FramesError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(_) => f.write_str("reading the event stream failed"),
            Self::TooLarge(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for FramesError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Input(error) => Some(error),
            Self::TooLarge(_) => None,
        }
    }
}
