//! A decoder for server-sent events, without I/O, with adaptors for streams and readers of bytes.
//!
//! The format is that of the HTML standard, section 9.2 "Server-sent events", of which
//! 9.2.5 defines the grammar and 9.2.6, "Interpreting an event stream", the rules.
//! A *frame* is what the standard calls an event.
#![doc = ""]
#![doc = include_str!("../../docs/sse.md")]

mod block;
mod buffers;
mod decoder;
mod frames;
mod lent;
mod lines;
mod reader;

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;

pub use self::{
    decoder::{Decoder, Item},
    frames::{Frames, FramesError, OwnedFrame, frames},
    reader::{Reader, read},
};
use crate::{
    error::{Error, ErrorKind},
    text::Text,
};

/// A frame, borrowed from its framer until the next one is requested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The event's name, `message` by default.
    pub event: &'a str,
    /// The last event id, empty if the stream has sent none.
    pub id: &'a str,
    /// How long to wait before reconnecting, if the stream has said so.
    pub retry: Option<Duration>,
    /// The data; its lines are joined by line feeds.
    pub data: &'a str,
    /// The buffer that contains `data`, so that text can be a slice of it
    /// ([`Text::slice_of`](crate::Text::slice_of)).
    pub buffer: &'a Bytes,
}

impl<'a> Frame<'a> {
    /// Creates a frame without name, id and reconnection time, for framers of other formats.
    pub fn new(data: &'a str, buffer: &'a Bytes) -> Self {
        Self {
            event: "message",
            id: "",
            retry: None,
            data,
            buffer,
        }
    }
}

/// A decoder of bytes, split anywhere, into frames.
pub trait Framer: Send + 'static {
    /// Appends the next bytes of the stream.
    fn push(&mut self, bytes: Bytes);

    /// Returns the next complete frame, if there is one.
    ///
    /// # Errors
    ///
    /// A size limit, after all frames that were complete before it.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge>;

    /// Returns, after the last byte, what would be a frame if the input ended with a blank line.
    ///
    /// A protocol recognizes its end marker by it. Its text must not be delivered, because it may be
    /// incomplete. If there are several, all before the last one are complete.
    fn tail(&mut self) -> Option<Frame<'_>>;

    /// Returns, after the last byte, the input as text if it was one document and not frames, for
    /// framers that read both. [`tail`](Self::tail) is not called then.
    fn document(&mut self) -> Option<&Text> {
        None
    }

    /// Returns true, after the last byte, if the input ends inside a frame: if more than comments and
    /// blank lines follow the last complete one.
    ///
    /// It is called before [`tail`](Self::tail). For a document it returns false, because the protocol
    /// decides whether that is complete.
    fn is_cut(&self) -> bool;

    /// Returns in how many places of the frames so far invalid UTF-8 was replaced by U+FFFD; a
    /// character that the end of the input truncates does not count.
    fn replaced(&self) -> usize;

    /// Clears the state: the next bytes begin another input.
    fn reset(&mut self);
}

/// Decodes UTF-8, replaces invalid sequences by U+FFFD, and adds their number to `replaced`.
pub fn decode_lossy<'a>(bytes: &'a [u8], replaced: &mut usize) -> Cow<'a, str> {
    // Nearly all input is valid, which this check finds out several times as fast.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, Cow::Owned(_)) {
        let invalid = bytes
            .utf8_chunks()
            .filter(|chunk| !chunk.invalid().is_empty());
        *replaced += invalid.count();
    }
    text
}

/// Size limits of a line, a frame and a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The bytes of one line without its end: 1 MiB. Comments, which are not kept, may be longer.
    pub line: usize,
    /// The bytes of one frame's data: 4 MiB.
    pub frame: usize,
    /// The bytes of a document in place of a stream: 4 MiB.
    pub document: usize,
}

impl Limits {
    /// Sets the limit of a line.
    #[must_use]
    pub const fn line(mut self, bytes: usize) -> Self {
        self.line = bytes;
        self
    }

    /// Sets the limit of a frame.
    #[must_use]
    pub const fn frame(mut self, bytes: usize) -> Self {
        self.frame = bytes;
        self
    }

    /// Sets the limit of a document.
    #[must_use]
    pub const fn document(mut self, bytes: usize) -> Self {
        self.document = bytes;
        self
    }
}

impl Default for Limits {
    /// Providers send lines of a few KiB, or a few hundred with images and schemas; more than these
    /// limits is not a response.
    fn default() -> Self {
        Self {
            line: 1 << 20,
            frame: 4 << 20,
            document: 4 << 20,
        }
    }
}

/// A line, a frame or a document exceeds its limit: the only error of decoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TooLarge {
    /// What is too large: `line`, `frame` or `document`.
    pub what: &'static str,
    /// The limit that it exceeds, in bytes.
    pub limit: usize,
}

impl TooLarge {
    /// Creates the error.
    pub const fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} too large: expected at most {} bytes",
            self.what, self.limit
        )
    }
}

impl std::error::Error for TooLarge {}

impl From<TooLarge> for Error {
    fn from(error: TooLarge) -> Self {
        Self::new(ErrorKind::TooLarge, error.to_string())
    }
}
