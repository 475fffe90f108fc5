//! A scripted body that records how it was used.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use inferstream_core::{Body, Error, ErrorKind, Result, Sent};

use super::{Clock, Sleep};

/// The next step of a scripted body; after the last one it ends cleanly.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Bytes that are available immediately.
    Bytes(Bytes),
    /// Nothing arrives for this long.
    Wait(Duration),
    /// Time passes without the body waiting.
    Pass(Duration),
    /// The connection breaks.
    Error(Error),
    /// Nothing ever arrives again.
    Hang,
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Duration> for Piece {
    fn from(wait: Duration) -> Self {
        Self::Wait(wait)
    }
}

impl From<Error> for Piece {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(crate) fn piece(bytes: &[u8]) -> Piece {
    Piece::Bytes(Bytes::copy_from_slice(bytes))
}

/// The connection breaks.
pub(crate) fn broken() -> Piece {
    let error = Error::new(ErrorKind::Disconnected, "connection reset");
    Piece::Error(error.with_sent(Sent::Yes))
}

/// The state of a scripted body.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    polls: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicBool,
}

impl Watch {
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(SeqCst)
    }

    pub(crate) fn dropped(&self) -> bool {
        self.dropped.load(SeqCst)
    }
}

struct ScriptedBody {
    clock: Arc<Clock>,
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    sleep: Option<Sleep>,
    hangs: bool,
    watch: Arc<Watch>,
}

/// Creates a body from a script.
pub(crate) fn body<I>(clock: &Arc<Clock>, pieces: I) -> (Body, Arc<Watch>)
where
    I: IntoIterator<Item = Piece>,
    I::IntoIter: Send + 'static,
{
    let watch = Arc::new(Watch::default());
    let body = Body::new(ScriptedBody {
        clock: Arc::clone(clock),
        pieces: Box::new(pieces.into_iter()),
        sleep: None,
        hangs: false,
        watch: Arc::clone(&watch),
    });
    (body, watch)
}

impl http_body::Body for ScriptedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.watch.polls.fetch_add(1, SeqCst);
        loop {
            if this.hangs {
                return Poll::Pending;
            }
            if let Some(sleep) = &mut this.sleep {
                std::task::ready!(Pin::new(sleep).poll(cx));
                this.sleep = None;
            }
            match this.pieces.next() {
                None => return Poll::Ready(None),
                Some(Piece::Bytes(bytes)) => {
                    this.watch.bytes.fetch_add(bytes.len(), SeqCst);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Piece::Wait(time)) => this.sleep = Some(this.clock.sleep(time)),
                Some(Piece::Pass(time)) => this.clock.advance(time),
                Some(Piece::Error(error)) => return Poll::Ready(Some(Err(error))),
                Some(Piece::Hang) => this.hangs = true,
            }
        }
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.watch.dropped.store(true, SeqCst);
    }
}
