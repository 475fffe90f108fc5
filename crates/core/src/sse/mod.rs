//! Event streams: bytes in, frames out. No I/O but in [`FrameStream`].
//!
//! The format is that of the HTML standard, section 9.2 "Server-sent events", of which
//! 9.2.5 gives the grammar and 9.2.6, "Interpreting an event stream", the rules.
//! A *frame* here is what the standard calls an event.

mod decoder;
mod reply;
mod stream;

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;

pub use self::{
    decoder::{Decoder, Item},
    stream::{FrameStream, OwnedFrame},
};
use crate::{
    error::{Error, ErrorKind},
    text::Text,
};

/// A frame, lent by what made it until the next one is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// The event's name, `message` where the stream gives none.
    pub event: &'a str,
    /// The last event id in force, empty where the stream has given none.
    pub id: &'a str,
    /// How long to wait before a reconnection, where the stream has said so.
    pub retry: Option<Duration>,
    /// The data; several lines of it are joined by line feeds.
    pub data: &'a str,
    /// The buffer that `data` is a part of, so that text can be a slice of it
    /// ([`Text::slice_of`](crate::Text::slice_of)).
    pub buffer: &'a Bytes,
}

impl<'a> Frame<'a> {
    /// Creates a frame without name, id and reconnection time, for a framer of another format.
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

/// What makes frames of bytes that are cut anywhere.
pub trait Framer: Send + 'static {
    /// Takes the stream's next bytes.
    fn push(&mut self, bytes: Bytes);

    /// Returns the next whole frame, if there is one.
    ///
    /// # Errors
    ///
    /// A limit on size, after all frames that were whole before it.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge>;

    /// Returns, after the last byte, what would be a frame if the input ended in a blank line.
    ///
    /// It is for a protocol to recognise its end marker by; its text must not be delivered, since
    /// nobody knows whether it is whole.
    fn tail(&mut self) -> Option<Frame<'_>>;

    /// Returns, after the last byte, the input as text if it was one document and no frames: for a
    /// framer that reads both. [`tail`](Self::tail) is not called then.
    fn document(&mut self) -> Option<&Text> {
        None
    }

    /// Returns true, after the last byte, if the input ends inside a frame: more than comments and
    /// blank lines came behind the last whole one.
    ///
    /// It is called before [`tail`](Self::tail). For a document it returns false, since the protocol
    /// decides whether that is complete.
    fn is_cut(&self) -> bool;

    /// Returns in how many places invalid UTF-8 was replaced by U+FFFD in the frames so far; a
    /// character that the end of the input cuts does not count.
    fn replaced(&self) -> usize;

    /// Forgets what was pushed: the next bytes begin another input.
    fn reset(&mut self);
}

/// Returns bytes as text, with U+FFFD for what is invalid, and counts the places.
fn decode_lossy<'a>(bytes: &'a [u8], replaced: &mut usize) -> Cow<'a, str> {
    let text = String::from_utf8_lossy(bytes);
    if matches!(text, Cow::Owned(_)) {
        let invalid = bytes
            .utf8_chunks()
            .filter(|chunk| !chunk.invalid().is_empty());
        *replaced += invalid.count();
    }
    text
}

/// The most that a line, a frame and a document may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The bytes of one line without its end; comments, which are not kept, may be longer: 1 MiB.
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
    /// Providers send lines of a few KiB, images and schemas included a few hundred; what is beyond
    /// these limits is not an answer.
    fn default() -> Self {
        Self {
            line: 1 << 20,
            frame: 4 << 20,
            document: 4 << 20,
        }
    }
}

/// A line or a frame is over its limit: the one way in which a stream cannot be decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TooLarge {
    /// What is too large: `line`, `frame` or `document`.
    pub what: &'static str,
    /// The limit that it passes, in bytes.
    pub limit: usize,
}

impl TooLarge {
    /// Creates the error for a thing and its limit.
    pub const fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit }
    }
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a {} of the answer is over the limit of {} bytes",
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
