//! The body of a connection that switched protocols, which reads and writes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame};
use inferstream_core::{Duplex, Error, ErrorKind, Result, Sent};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::watch::Watched;

/// The maximum size of one read.
const READ: usize = 16 << 10;

/// A connection after 101 Switching Protocols. Dropping it closes the socket.
pub(crate) struct Switched {
    io: Watched,
    /// Bytes that were read together with the headers.
    read: Bytes,
    buffer: Box<[u8]>,
}

impl Switched {
    pub(crate) fn new(io: Watched, read: Bytes) -> Self {
        Self {
            io,
            read,
            buffer: vec![0; READ].into(),
        }
    }
}

impl Body for Switched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if !this.read.is_empty() {
            let read = std::mem::take(&mut this.read);
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        let mut buffer = ReadBuf::new(&mut this.buffer);
        let outcome = ready!(Pin::new(&mut this.io).poll_read(cx, &mut buffer));
        Poll::Ready(match (outcome, buffer.filled()) {
            (Err(cause), _) => Some(Err(lost(cause))),
            (Ok(()), []) => None,
            (Ok(()), read) => Some(Ok(Frame::data(Bytes::copy_from_slice(read)))),
        })
    }
}

impl Duplex for Switched {
    fn poll_send(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<()>> {
        while !bytes.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, bytes)) {
                Ok(0) => return Poll::Ready(Err(lost(io::ErrorKind::WriteZero.into()))),
                Ok(written) => bytes.advance(written),
                Err(cause) => return Poll::Ready(Err(lost(cause))),
            }
        }
        Pin::new(&mut self.io).poll_flush(cx).map_err(lost)
    }
}

fn lost(cause: io::Error) -> Error {
    Error::new(ErrorKind::Disconnected, "connection lost")
        .with_sent(Sent::Maybe)
        .with_source(cause)
}
