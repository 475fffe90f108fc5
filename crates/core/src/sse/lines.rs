//! The lines of an event stream, however the stream is split into reads.

use std::{collections::VecDeque, mem};

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::{memchr2, memrchr};

use super::{Limits, block};

/// The length from which on a read is expected to contain several frames.
const SEVERAL: usize = 1 << 10;

/// The length from which on a part of a read is always checked by itself: `simdutf8` is fast then.
const LONG: usize = 64;

/// How many bytes of a line are searched for its end in words; `memchr2` searches the rest.
const SHORT: usize = 32;

/// The length of a `data` field without its value.
const NAME: usize = b"data: ".len();

/// The reads of a stream, and how far they are split into lines.
///
/// A line within one read is a slice of it. A line that spans several reads is assembled in a buffer.
/// UTF-8 is checked when a part of a read is lent: only that part, or if it is short and the read may
/// contain many of them, all lines of the read at once.
#[derive(Default)]
pub(super) struct Lines {
    /// The current read, without the end of a line that an earlier read began.
    read: Bytes,
    /// How much of the current read is processed.
    at: usize,
    /// The beginning of the current read, once it was checked to be UTF-8.
    checked: Option<ByteString>,
    /// The reads after it.
    reads: VecDeque<Bytes>,
    state: State,
    /// In [`State::Begun`] the current line so far, and then the whole line, until another begins.
    begun: BytesMut,
}

/// What the next byte can be.
#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    /// The stream's first byte: it may begin a byte-order mark.
    #[default]
    Start,
    /// Possibly the second byte of a byte-order mark.
    Mark1,
    /// Possibly the third byte of a byte-order mark.
    Mark2,
    /// The first byte of a line.
    Line,
    /// Inside a line.
    Begun,
    /// Inside a comment, of which nothing is kept.
    Comment,
    /// The first byte of a line, or an LF that belongs to the CR before it.
    AfterCr,
}

/// The limit that something exceeds.
#[derive(Clone, Copy)]
pub(super) enum Over {
    Frame,
    Line,
}

/// A complete line that is no comment, without its end.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// The line is the part of the current read between these positions.
    InRead(usize, usize),
    /// The line was assembled from several reads.
    Begun,
}

/// A line that is a `data` field, with the position of its value in the current read.
#[derive(Clone, Copy)]
pub(super) enum Plain {
    /// A complete line; a blank line follows.
    Frame(usize, usize),
    /// A complete line; something else follows.
    Data(usize, usize),
    /// The beginning of a line, up to the end of the read.
    Cut,
}

impl Lines {
    #[inline]
    pub(super) fn push(&mut self, read: Bytes) {
        if self.read.is_empty() {
            self.read = read;
        } else {
            self.reads.push_back(read);
        }
    }

    /// Takes a line that is a `data` field, and the blank line after it, if they are next in the read.
    /// Nearly all frames have this form.
    ///
    /// Everything else, including lines above the limits, is handled by [`next_line`](Self::next_line).
    #[inline]
    pub(super) fn take_plain(&mut self, limits: Limits) -> Option<Plain> {
        if self.state != State::Line {
            return None;
        }
        let value = self.read.get(self.at..)?.strip_prefix(b"data: ")?;
        let Some(length) = memchr2(b'\n', b'\r', value) else {
            let fits = NAME + value.len() <= limits.line;
            return fits.then_some(Plain::Cut);
        };
        if limits.line < NAME + length || limits.frame < length {
            return None;
        }
        let start = self.at + NAME;
        let end = start + length;
        let (ends, is_frame) = match value[length..] {
            [b'\n', b'\n', ..] => (2, true),
            [b'\r', b'\n', b'\r', b'\n', ..] => (4, true),
            [b'\n', ..] => (1, false),
            _ => return None,
        };
        self.at = end + ends;
        Some(if is_frame {
            Plain::Frame(start, end)
        } else {
            Plain::Data(start, end)
        })
    }

    /// Returns the next complete line, or `None` at the end of the read: then
    /// [`next_read`](Self::next_read) continues.
    #[inline]
    pub(super) fn next_line(&mut self, limit: usize) -> Result<Option<Line>, Over> {
        while let Some(&first) = self.read.get(self.at) {
            match self.state {
                State::Line => {}
                State::Begun => return Ok(self.continue_line(limit)?.then_some(Line::Begun)),
                State::Comment => {
                    self.pass_comment();
                    continue;
                }
                State::AfterCr => {
                    self.at += usize::from(first == b'\n');
                    self.state = State::Line;
                    continue;
                }
                State::Start | State::Mark1 | State::Mark2 => {
                    self.pass_mark(first);
                    continue;
                }
            }
            // "If the line starts with a U+003A COLON character: Ignore the line."
            if first == b':' {
                self.state = State::Comment;
                continue;
            }
            let rest = &self.read[self.at..];
            let end = line_end(rest);
            check(end.unwrap_or(rest.len()), limit)?;
            let Some(length) = end else {
                self.begin_line();
                break;
            };
            let start = self.at;
            self.pass_end(start + length);
            return Ok(Some(Line::InRead(start, start + length)));
        }
        Ok(None)
    }

    /// Begins a line with the rest of the read, which has no line end.
    #[inline]
    pub(super) fn begin_line(&mut self) {
        self.begun.clear();
        block::append(&mut self.begun, &self.read[self.at..]);
        self.state = State::Begun;
        self.at = self.read.len();
    }

    /// Returns true if the rest of the read continues a line that an earlier read began.
    #[inline]
    pub(super) fn is_in_line(&self) -> bool {
        self.state == State::Begun && self.at < self.read.len()
    }

    /// Continues a line that an earlier read began. Returns true if the read contains its end.
    #[inline]
    pub(super) fn continue_line(&mut self, limit: usize) -> Result<bool, Over> {
        let rest = &self.read[self.at..];
        let end = memchr2(b'\n', b'\r', rest);
        let part = &rest[..end.unwrap_or(rest.len())];
        check(self.begun.len() + part.len(), limit)?;
        block::append(&mut self.begun, part);
        let Some(length) = end else {
            self.at = self.read.len();
            return Ok(false);
        };
        self.pass_end(self.at + length);
        // The read may have begun inside a character. The rest of it begins with a new line.
        debug_assert!(self.checked.is_none(), "nothing of the read was lent");
        self.read.advance(mem::take(&mut self.at));
        Ok(true)
    }

    #[cold]
    fn pass_comment(&mut self) {
        match memchr2(b'\n', b'\r', &self.read[self.at..]) {
            Some(length) => self.pass_end(self.at + length),
            None => self.at = self.read.len(),
        }
    }

    /// Skips a line end, or as much of it as the read contains.
    ///
    /// "Lines must be separated by either a CRLF pair, a single LF, or a single CR."
    #[inline]
    fn pass_end(&mut self, end: usize) {
        let (length, state) = match self.read[end..] {
            [b'\r', b'\n', ..] => (2, State::Line),
            [b'\r'] => (1, State::AfterCr),
            _ => (1, State::Line),
        };
        self.at = end + length;
        self.state = state;
    }

    /// "If one leading U+FEFF BYTE ORDER MARK character is present, it must be ignored."
    #[cold]
    fn pass_mark(&mut self, byte: u8) {
        // Bytes that turn out not to be a mark belong to the first line.
        let (next, before): (_, &[u8]) = match (self.state, byte) {
            (State::Start, 0xEF) => (State::Mark1, b""),
            (State::Mark1, 0xBB) => (State::Mark2, b""),
            (State::Mark2, 0xBF) => (State::Line, b""),
            (State::Mark1, _) => (State::Begun, b"\xEF"),
            (State::Mark2, _) => (State::Begun, b"\xEF\xBB"),
            _ => {
                self.state = State::Line;
                return;
            }
        };
        if next == State::Begun {
            block::append(&mut self.begun, before);
        } else {
            self.at += 1;
        }
        self.state = next;
    }

    /// Skips a blank line if it is next in the read.
    #[inline]
    pub(super) fn passes_blank_line(&mut self) -> bool {
        let comes = self.read.get(self.at) == Some(&b'\n') && self.state == State::Line;
        self.at += usize::from(comes);
        comes
    }

    /// Releases the read if it is processed and is the last one.
    #[inline]
    pub(super) fn release_last(&mut self) -> bool {
        let is_done = !self.read.is_empty() && self.at == self.read.len();
        is_done && self.reads.is_empty() && !self.next_read()
    }

    /// Releases the read and continues with the next one. Returns false if no read is left.
    #[inline]
    pub(super) fn next_read(&mut self) -> bool {
        self.checked = None;
        self.at = 0;
        self.read = self.reads.pop_front().unwrap_or_default();
        !self.read.is_empty()
    }

    /// Checks once that a read is UTF-8, if it may contain many parts of this length. That takes less
    /// time than checking each part.
    #[inline]
    pub(super) fn check_read(&mut self, length: usize) {
        if length < LONG && self.checked.is_none() && SEVERAL <= self.read.len() {
            // No part of an unfinished line is lent, and it may end inside a character.
            let lines = memrchr(b'\n', &self.read).map_or(0, |end| end + 1);
            self.checked = ByteString::try_from(self.read.slice(..lines))
                .ok()
                .or_else(|| Some(ByteString::new()));
        }
    }

    /// Returns a part of the read as text, or as bytes if it is not valid UTF-8.
    #[inline]
    pub(super) fn text(&self, start: usize, end: usize) -> Result<&str, &[u8]> {
        let checked = self.checked.as_ref();
        match checked.and_then(|text| text.get(start..end)) {
            Some(text) => Ok(text),
            None => as_text(&self.read[start..end]),
        }
    }

    /// Returns the part of a line from `start` on as text, or as bytes if it is not valid UTF-8.
    pub(super) fn text_of(&self, line: Line, start: usize) -> Result<&str, &[u8]> {
        match line {
            Line::InRead(line, end) => self.text(line + start, end),
            Line::Begun => as_text(&self.begun[start..]),
        }
    }

    /// Returns the current read, which contains the lines of [`Line::InRead`].
    pub(super) fn read(&self) -> &Bytes {
        &self.read
    }

    /// Returns the bytes of a line.
    #[inline]
    pub(super) fn bytes(&self, line: Line) -> &[u8] {
        match line {
            Line::InRead(start, end) => &self.read[start..end],
            Line::Begun => &self.begun,
        }
    }

    /// Takes the assembled line, and puts an empty buffer in its place.
    pub(super) fn take_begun(&mut self, buffer: &mut BytesMut) {
        mem::swap(&mut self.begun, buffer);
    }

    /// Takes an empty buffer for lines, unless there is one already.
    pub(super) fn give(&mut self, buffer: &mut BytesMut) {
        if self.begun.capacity() == 0 {
            mem::swap(&mut self.begun, buffer);
        }
    }

    /// Ends the unfinished line, after the last byte.
    pub(super) fn end(&mut self) -> Option<Line> {
        if self.state != State::Begun {
            return None;
        }
        self.state = State::Line;
        Some(Line::Begun)
    }

    /// Returns the beginning of a line whose end has not arrived.
    pub(super) fn begun(&self) -> &[u8] {
        match self.state {
            State::Begun => &self.begun,
            _ => b"",
        }
    }

    /// Drops all bytes.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Returns where the first line in some bytes ends.
#[inline]
fn line_end(bytes: &[u8]) -> Option<usize> {
    // Most lines other than data are too short for `memchr2` to be fast.
    let mut at = 0;
    while at < SHORT {
        let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
            break;
        };
        let word = u128::from_le_bytes(*word);
        let is = |byte: u8| zeros(word ^ (ONES * u128::from(byte)));
        let ends = is(b'\n') | is(b'\r');
        if ends != 0 {
            return Some(at + ends.trailing_zeros() as usize / 8);
        }
        at += size_of_val(&word);
    }
    memchr2(b'\n', b'\r', &bytes[at..]).map(|end| at + end)
}

/// A one in each byte.
const ONES: u128 = u128::MAX / 0xFF;

/// Sets the highest bit of the first byte that is zero; the bits above it are undefined.
const fn zeros(word: u128) -> u128 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

#[inline]
fn check(length: usize, limit: usize) -> Result<(), Over> {
    if length <= limit {
        Ok(())
    } else {
        Err(Over::Line)
    }
}

/// Returns bytes as text, or as they are if they are not valid UTF-8.
#[inline]
pub(super) fn as_text(bytes: &[u8]) -> Result<&str, &[u8]> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| bytes)
}
