//! The client side of a WebSocket connection.
//!
//! tungstenite reads and writes the frames in memory; the transport provides the connection.

use std::{
    fmt,
    future::poll_fn,
    io::{self, Read, Write},
    mem,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use inferstream_core::{Body, Error, ErrorKind, Phase, Result, Transport};
use tungstenite::{
    Error as WsError, Message, WebSocket,
    error::{CapacityError, ProtocolError},
    handshake::{client::generate_key, derive_accept_key},
    protocol::{
        Role, WebSocketConfig,
        frame::{
            FrameHeader,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

/// The maximum size of a message, in bytes. When a turn is resumed, the agent may send the complete
/// conversation, which may be as long as our longest request.
const MAX_MESSAGE: usize = 32 << 20;

/// How many messages and parts of messages are read in a row before the task yields, so that a fast
/// sender cannot starve a timeout, even with a message that never ends.
const READS: u32 = 32;

/// How many bytes may wait to be sent while more is read. It limits the pongs for a peer that sends
/// pings without reading.
const MAX_WAITING: usize = 64 << 10;

/// A received message, or another sign that the connection is alive.
pub(super) enum Received {
    /// A text or binary message.
    Message(Bytes),
    /// A ping or a pong.
    Life,
}

/// The client's half of a WebSocket (RFC 6455).
pub(super) struct Socket {
    frames: WebSocket<Pipe>,
    body: Body,
    sending: Bytes,
    /// Whether bytes are being sent; it stays true until the body has confirmed all of them, even
    /// if `sending` is empty.
    is_sending: bool,
    /// How many messages and parts of messages were read in a row.
    reads: u32,
    /// Whether this side has started the closing handshake.
    is_closing: bool,
}

/// The connection as tungstenite sees it: buffers in memory.
#[derive(Default)]
struct Pipe {
    received: Bytes,
    is_over: bool,
    to_send: Vec<u8>,
}

impl Socket {
    /// Creates a socket from a connection on which the handshake is done.
    pub(super) fn new(body: Body) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(8 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        Self {
            frames: WebSocket::from_raw_socket(Pipe::default(), Role::Client, Some(config)),
            body,
            sending: Bytes::new(),
            is_sending: false,
            reads: 0,
            is_closing: false,
        }
    }

    /// Buffers a message; after [`close`](Self::close) messages are ignored.
    ///
    /// tungstenite would write the message, which contains the prompt, to the log.
    pub(super) fn push(&mut self, message: &str) {
        // Its own frames are in the same buffer, each complete, because it buffers none.
        if self.frames.can_write() {
            push_text(message, random_mask(), &mut self.frames.get_mut().to_send);
        }
    }

    /// Starts the closing handshake; its frame is buffered.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        drop(self.frames.close(None));
        drop(self.frames.flush());
    }

    /// Sends the buffered messages.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if self.is_sending {
                ready!(self.body.poll_send(cx, &mut self.sending))?;
            }
            let more = mem::take(&mut self.frames.get_mut().to_send);
            self.is_sending = !more.is_empty();
            if !self.is_sending {
                return Poll::Ready(Ok(()));
            }
            self.sending = Bytes::from(more);
        }
    }

    /// Polls for the next message; `None` is a regular end of the connection.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received>>> {
        let polled = self.poll_read(cx);
        if polled.is_pending() {
            self.reads = 0;
        }
        polled
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Received>>> {
        loop {
            if self.reads == READS {
                self.reads = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.reads += 1;
            let read = self.frames.read();
            // Sends the replies to pings and to a close frame.
            drop(self.frames.flush());
            let flushed = self.poll_flush(cx);
            match read {
                Ok(Message::Text(text)) => {
                    return Poll::Ready(Some(Ok(Received::Message(Bytes::from(text)))));
                }
                Ok(Message::Binary(bytes)) => {
                    return Poll::Ready(Some(Ok(Received::Message(bytes))));
                }
                Ok(Message::Ping(_) | Message::Pong(_)) => {
                    return Poll::Ready(Some(Ok(Received::Life)));
                }
                // The other side may leave the connection open after its close frame.
                Ok(Message::Close(frame)) => {
                    return Poll::Ready(closed(frame.map(|frame| frame.code)));
                }
                Ok(Message::Frame(_)) => continue,
                Err(WsError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => {
                    return Poll::Ready(None);
                }
                // A peer that received the close frame may close the connection without its own.
                Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake))
                    if self.is_closing =>
                {
                    return Poll::Ready(None);
                }
                Err(error) => return Poll::Ready(Some(Err(error_of(error)))),
            }
            match flushed {
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending if MAX_WAITING < self.waiting() => return Poll::Pending,
                _ => {}
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(bytes)) => self.frames.get_mut().received = bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.frames.get_mut().is_over = true,
            }
        }
    }

    fn waiting(&self) -> usize {
        self.sending.len() + self.frames.get_ref().to_send.len()
    }

    /// Sends the buffered messages; fails if the peer accepts no bytes within the limit.
    pub(super) async fn flush(
        &mut self,
        transport: &dyn Transport,
        limit: Option<Duration>,
    ) -> Result<()> {
        let mut left = usize::MAX;
        let mut sleep = None;
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = self.poll_flush(cx) {
                return Poll::Ready(outcome);
            }
            let Some(limit) = limit else {
                return Poll::Pending;
            };
            if self.waiting() < left {
                left = self.waiting();
                sleep = None;
            }
            let sleep = sleep.get_or_insert_with(|| transport.sleep(limit));
            sleep
                .as_mut()
                .poll(cx)
                .map(|()| Err(Error::timeout(Phase::Write, limit)))
        })
        .await
    }

    /// Returns false if the connection has ended or violated the protocol. Messages that have
    /// arrived are ignored.
    pub(super) async fn is_open(&mut self) -> bool {
        poll_fn(|cx| {
            self.reads = 0;
            for _ in 0..READS {
                match self.poll_read(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => break,
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Waits for the next message.
    pub(super) async fn next(&mut self) -> Option<Result<Received>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }
}

/// Appends a frame with a complete text message (RFC 6455, section 5.2).
fn push_text(message: &str, mask: [u8; 4], frames: &mut Vec<u8>) {
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Text),
        mask: Some(mask),
        ..FrameHeader::default()
    };
    // Writing to memory cannot fail, and a length always fits.
    drop(header.format(message.len() as u64, frames));
    let masked = message.bytes().zip(mask.into_iter().cycle());
    frames.extend(masked.map(|(byte, mask)| byte ^ mask));
}

/// Returns a mask that the service cannot predict (RFC 6455, section 5.3).
fn random_mask() -> [u8; 4] {
    let mut mask = [0_u8; 4];
    // A handshake key contains 16 random bytes from the operating system, as base64.
    for (at, byte) in generate_key().bytes().enumerate() {
        mask[at % 4] = mask[at % 4].rotate_left(3) ^ byte;
    }
    mask
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() && !self.is_over {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.received.len().min(buffer.len());
        self.received.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_send.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Maps a close frame: a normal end, or a lost connection (RFC 6455, section 7.4.1).
fn closed(code: Option<CloseCode>) -> Option<Result<Received>> {
    let code = code.filter(|code| *code != CloseCode::Normal)?;
    let message = format!("the playground closed the connection ({code})");
    Some(Err(Error::new(ErrorKind::Disconnected, message)))
}

fn error_of(error: WsError) -> Error {
    match error {
        WsError::Io(_) | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Error::new(ErrorKind::Disconnected, "the connection was lost")
        }
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => {
            let message = format!(
                "message from the playground too large: expected at most {MAX_MESSAGE} bytes"
            );
            Error::new(ErrorKind::TooLarge, message)
        }
        _ => Error::protocol("the playground violated the WebSocket protocol"),
    }
    .with_source(error)
}

/// The client side of the opening handshake (RFC 6455, section 4.1).
pub(super) struct Handshake(HeaderValue);

impl Handshake {
    pub(super) fn new() -> Self {
        Self(value(&generate_key()))
    }

    /// Returns the headers that request a WebSocket as the service's own page does.
    pub(super) fn headers(&self, origin: &str) -> HeaderMap {
        let fixed = |name, text| (name, HeaderValue::from_static(text));
        let mut headers = HeaderMap::from_iter([
            fixed(CONNECTION, "Upgrade"),
            fixed(UPGRADE, "websocket"),
            fixed(SEC_WEBSOCKET_VERSION, "13"),
            fixed(HeaderName::from_static("sec-fetch-dest"), "websocket"),
            fixed(HeaderName::from_static("sec-fetch-mode"), "websocket"),
        ]);
        headers.insert(SEC_WEBSOCKET_KEY, self.0.clone());
        headers.insert(ORIGIN, value(origin));
        headers
    }

    /// Checks the headers of a response that switches protocols.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<()> {
        let is_websocket = headers
            .get(UPGRADE)
            .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let accept = derive_accept_key(self.0.as_bytes());
        let is_ours = headers
            .get(SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|key| key.as_bytes() == accept.as_bytes());
        // Neither was requested.
        let mut unasked = [SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL].iter();
        let is_plain = !unasked.any(|name| headers.contains_key(name));
        if is_websocket && is_ours && is_plain {
            return Ok(());
        }
        let message = "invalid handshake from the playground: expected a WebSocket without \
                       extensions and subprotocols";
        Err(Error::protocol(message))
    }
}

/// Returns a header value for text that is known to be valid.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Returns 21 random letters and digits. Agents have no other access control, so the name must not
/// be guessable.
pub(super) fn random() -> String {
    const LENGTH: usize = 21;
    let mut text = String::new();
    while text.len() < LENGTH {
        // A handshake key contains 16 random bytes from the operating system.
        text.extend(generate_key().chars().filter(char::is_ascii_alphanumeric));
    }
    text.truncate(LENGTH);
    text
}
