//! A scripted body that records how it was read.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use inferstream_core::{Body, Error, ErrorKind, Result, Sent};

use crate::clock::{Clock, Sleep};

/// A step of a scripted body. After the last one, the body ends cleanly.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Piece {
    /// Bytes, which arrive in one read.
    Bytes(Bytes),
    /// Nothing arrives for this time.
    Wait(Duration),
    /// The clock advances without a wait of the body: the time that a slow reader takes.
    Pass(Duration),
    /// The body ends with an error.
    Error(Error),
    /// Nothing ever arrives again.
    Hang,
}

impl Piece {
    /// Returns a lost connection: the error `Disconnected`.
    pub fn disconnect() -> Self {
        let error = Error::new(ErrorKind::Disconnected, "connection reset");
        Self::Error(error.with_sent(Sent::Yes))
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self::Bytes(text.into())
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

/// A record of how a scripted body was read. Clones are the same record.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    state: Arc<WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    polls: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicBool,
}

impl Watch {
    /// Returns how many times the body was polled.
    pub fn polls(&self) -> usize {
        self.state.polls.load(SeqCst)
    }

    /// Returns how many bytes were read.
    pub fn bytes(&self) -> usize {
        self.state.bytes.load(SeqCst)
    }

    /// Returns true if the body was dropped, which closes a real connection.
    pub fn dropped(&self) -> bool {
        self.state.dropped.load(SeqCst)
    }
}

struct ScriptedBody {
    clock: Clock,
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    sleep: Option<Sleep>,
    hangs: bool,
    watch: Watch,
}

/// Creates a body of pieces, with a record of how it is read.
///
/// The iterator is advanced only as the body is read, so it may be infinite.
pub fn body<I>(clock: &Clock, pieces: I) -> (Body, Watch)
where
    I: IntoIterator<Item = Piece, IntoIter: Send + 'static>,
{
    let watch = Watch::default();
    let body = Body::new(ScriptedBody {
        clock: clock.clone(),
        pieces: Box::new(pieces.into_iter()),
        sleep: None,
        hangs: false,
        watch: watch.clone(),
    });
    (body, watch)
}

impl HttpBody for ScriptedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        this.watch.state.polls.fetch_add(1, SeqCst);
        loop {
            if this.hangs {
                return Poll::Pending;
            }
            if let Some(sleep) = &mut this.sleep {
                ready!(Pin::new(sleep).poll(cx));
                this.sleep = None;
            }
            match this.pieces.next() {
                None => return Poll::Ready(None),
                Some(Piece::Bytes(bytes)) => {
                    this.watch.state.bytes.fetch_add(bytes.len(), SeqCst);
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Piece::Wait(time)) => this.sleep = Some(this.clock.sleep_for(time)),
                Some(Piece::Pass(time)) => this.clock.advance(time),
                Some(Piece::Error(error)) => return Poll::Ready(Some(Err(error))),
                Some(Piece::Hang) => this.hangs = true,
            }
        }
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.watch.state.dropped.store(true, SeqCst);
    }
}
