//! A response body that sends pieces, each as one chunk that is flushed before the next.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
    vec,
};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Sleep, sleep};

use crate::answer::Piece;

/// How long the connection lives after the last bytes before [`Piece::Abort`].
///
/// An HTTP/2 stream that is reset drops what its connection has not written yet, and a connection
/// is another task.
const BEFORE_ABORT: Duration = Duration::from_millis(5);

/// A source of the pieces of a body.
pub(crate) trait Source: Send {
    /// Returns the next piece, or `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>>;
}

/// A response body that sends pieces.
pub(crate) struct Body {
    source: Box<dyn Source>,
    state: State,
}

enum State {
    Abort(Pin<Box<Sleep>>),
    Flush,
    Hang,
    Next,
    Wait(Pin<Box<Sleep>>),
}

impl Body {
    pub(crate) fn new(source: impl Source + 'static) -> Self {
        Self {
            source: Box::new(source),
            // The headers are sent before the first piece is polled.
            state: State::Flush,
        }
    }
}

impl Source for vec::IntoIter<Piece> {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        Poll::Ready(self.next())
    }
}

/// The same bytes, repeated without end.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    pub(crate) bytes: Bytes,
    pub(crate) period: Duration,
    pub(crate) state: Beat,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beat {
    Bytes,
    Wait,
}

impl Source for Repeat {
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Piece>> {
        let (piece, next) = match self.state {
            Beat::Bytes => (Piece::Bytes(self.bytes.clone()), Beat::Wait),
            Beat::Wait => (Piece::Wait(self.period), Beat::Bytes),
        };
        self.state = next;
        Poll::Ready(Some(piece))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match &mut self.state {
                State::Abort(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
                }
                // hyper flushes when a body is pending; otherwise it merges frames.
                State::Flush => {
                    self.state = State::Next;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Hang => return Poll::Pending,
                State::Next => {}
                State::Wait(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.state = State::Next;
                }
            }
            self.state = match ready!(self.source.poll_piece(cx)) {
                Some(Piece::Abort) => State::Abort(Box::pin(sleep(BEFORE_ABORT))),
                Some(Piece::Bytes(bytes)) => {
                    self.state = State::Flush;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Piece::Hang) => State::Hang,
                Some(Piece::Wait(time)) => State::Wait(Box::pin(sleep(time))),
                None => return Poll::Ready(None),
            };
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
