//! A socket wrapper that counts bytes, keeps the first ones and notices blocked writes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// Any byte stream: TCP, TLS or a tunnel.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// A byte stream, whatever its layers are.
pub(crate) type BoxIo = Box<dyn Io>;

/// How many of the first bytes are kept: enough for an HTTP status code, a TLS record header or a
/// SOCKS reply.
const FIRST: usize = 16;

/// A byte stream that records what passes through it in [`Seen`].
pub(crate) struct Watched {
    io: BoxIo,
    seen: Arc<Seen>,
    /// The last write or flush waits for the peer.
    blocked: bool,
}

impl Watched {
    pub(crate) fn new(io: BoxIo) -> (Self, Arc<Seen>) {
        let seen = Arc::new(Seen(Mutex::new(Counts::new())));
        (
            Self {
                io,
                seen: Arc::clone(&seen),
                blocked: false,
            },
            seen,
        )
    }
}

/// The statistics of a [`Watched`] stream.
pub(crate) struct Seen(Mutex<Counts>);

pub(crate) struct Counts {
    /// Bytes read since the last [`Seen::reset`].
    pub(crate) read: u64,
    /// Bytes written since then.
    pub(crate) written: u64,
    /// True while the last write or flush waits for the peer.
    pub(crate) blocked: bool,
    /// When the last byte was written, or the time of the reset.
    pub(crate) progress: Instant,
    first: [u8; FIRST],
    first_len: usize,
}

impl Seen {
    /// Resets the counters.
    pub(crate) fn reset(&self) {
        *self.counts() = Counts::new();
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first bytes read, at most 16.
    pub(crate) fn first(&self) -> Vec<u8> {
        let counts = self.counts();
        counts.first[..counts.first_len].to_vec()
    }
}

impl Counts {
    fn new() -> Self {
        Self {
            read: 0,
            written: 0,
            blocked: false,
            progress: Instant::now(),
            first: [0; FIRST],
            first_len: 0,
        }
    }

    fn note_read(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        let room = &mut self.first[self.first_len..];
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.first_len += taken;
    }

    fn note_write(&mut self, poll: &Poll<io::Result<usize>>) {
        self.blocked = poll.is_pending();
        if let Poll::Ready(Ok(written)) = poll {
            self.written += *written as u64;
            self.progress = Instant::now();
        }
    }

    fn note_flush(&mut self, poll: &Poll<io::Result<()>>) {
        if self.blocked && poll.is_ready() {
            // TLS below had buffered data of its own to write.
            self.progress = Instant::now();
        }
        self.blocked = poll.is_pending();
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.io).poll_read(cx, buffer);
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            self.seen.counts().note_read(came);
        }
        poll
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.blocked = poll.is_pending();
        self.seen.counts().note_write(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.blocked = poll.is_pending();
        self.seen.counts().note_write(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(cx);
        // hyper flushes in each poll, mostly without data.
        if self.blocked || poll.is_pending() {
            self.blocked = poll.is_pending();
            self.seen.counts().note_flush(&poll);
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
