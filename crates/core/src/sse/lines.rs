//! The lines of an event stream, wherever the stream is cut into reads.

use std::{collections::VecDeque, mem};

use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr2;

use super::{Limits, TooLarge, block};

/// The reads of a stream, and how far they are cut into lines.
///
/// UTF-8 is checked once per read. Bytes that are not text, an invalid sequence or a character that
/// the read's end cuts, contain no line end: they are part of a line that is copied and checked as
/// a whole.
#[derive(Default)]
pub(super) struct Lines {
    /// The text of the current read: all of it, or as far as it is valid UTF-8.
    text: ByteString,
    /// How much of the text is done.
    at: usize,
    /// The rest of the current read. It does not begin with valid UTF-8, or goes on with a line.
    rest: Bytes,
    /// The reads after it.
    reads: VecDeque<Bytes>,
    begun: Begun,
}

/// The current line, as far as earlier reads contained it.
#[derive(Default)]
struct Begun {
    state: State,
    bytes: BytesMut,
}

/// What the next byte is checked for.
#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    /// The stream's first byte: it may begin a byte-order mark.
    #[default]
    Start,
    /// The first byte of a mark came.
    Mark1,
    /// The second byte of a mark came.
    Mark2,
    /// Nothing but the end of the line.
    Line,
    /// As `Line`, in a comment, of which nothing is kept.
    Comment,
    /// A CR ended the read before: an LF is the rest of that line end.
    AfterCr,
}

/// A complete line that is no comment, without its end.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// The line is [`Lines::text`] between these places.
    InText(usize, usize),
    /// The line came in several reads, or is not valid UTF-8: [`Lines::take_copied`] returns it.
    Copied,
}

impl Lines {
    pub(super) fn push(&mut self, read: Bytes) {
        if !(self.text.is_empty() && self.rest.is_empty() && self.reads.is_empty()) {
            self.reads.push_back(read);
        } else if self.begun.is_inside() {
            self.rest = read;
        } else {
            self.begin(read);
        }
    }

    /// Takes a frame that is one `data` field and its blank line, without line by line, if that is
    /// what comes next in the text. Returns where its data is.
    ///
    /// Nearly all frames are like that. What this does not recognize, limits included, is for
    /// [`next_line`](Self::next_line).
    #[inline]
    pub(super) fn take_plain_frame(&mut self, limits: Limits) -> Option<(usize, usize)> {
        if self.begun.state != State::Line || !self.begun.bytes.is_empty() {
            return None;
        }
        let line = self.text.as_bytes().get(self.at..)?;
        let value = line.strip_prefix(b"data: ")?;
        let length = memchr2(b'\n', b'\r', value)?;
        let ends = match value[length..] {
            [b'\n', b'\n', ..] => 2,
            [b'\r', b'\n', b'\r', b'\n', ..] => 4,
            _ => return None,
        };
        let name = line.len() - value.len();
        if limits.line < name + length || limits.frame < length {
            return None;
        }
        let start = self.at + name;
        self.at = start + length + ends;
        Some((start, start + length))
    }

    /// Returns the next complete line, or `None` at the end of the text: then
    /// [`next_read`](Self::next_read) goes on.
    #[inline]
    pub(super) fn next_line(&mut self, limit: usize) -> Result<Option<Line>, TooLarge> {
        let text = self.text.as_bytes();
        while let Some(&first) = text.get(self.at) {
            if self.begun.passes(first) {
                self.at += 1;
                continue;
            }
            let rest = &text[self.at..];
            // "Lines must be separated by either a CRLF pair, a single LF, or a single CR."
            let end = match first {
                b'\n' | b'\r' => Some(0),
                _ => memchr2(b'\n', b'\r', rest),
            };
            let Some(length) = end else {
                self.at = text.len();
                self.begun.hold(rest, limit)?;
                break;
            };
            let line = self.at..self.at + length;
            self.at = line.end + 1;
            let was_comment = self.begun.state == State::Comment;
            self.begun.state = State::Line;
            if rest[length] == b'\r' {
                match rest.get(length + 1) {
                    Some(b'\n') => self.at += 1,
                    Some(_) => {}
                    None => self.begun.state = State::AfterCr,
                }
            }
            let is_copied = !self.begun.bytes.is_empty();
            // "If the line starts with a U+003A COLON character: Ignore the line."
            if was_comment || (first == b':' && !is_copied) {
                continue;
            }
            self.begun.check(length, limit)?;
            if is_copied {
                block::append(&mut self.begun.bytes, &text[line]);
                return Ok(Some(Line::Copied));
            }
            return Ok(Some(Line::InText(line.start, line.end)));
        }
        Ok(None)
    }

    /// Passes over a blank line, if that is what comes next in the text.
    #[inline]
    pub(super) fn passes_blank_line(&mut self) -> bool {
        let comes =
            self.text.as_bytes().get(self.at) == Some(&b'\n') && self.begun.state == State::Line;
        self.at += usize::from(comes);
        comes
    }

    /// Goes on behind the text, which is released. Returns false if there are no more bytes.
    pub(super) fn next_read(&mut self, limit: usize) -> Result<bool, TooLarge> {
        self.text = ByteString::new();
        self.at = 0;
        let mut read = mem::take(&mut self.rest);
        let is_rest = !read.is_empty();
        if read.is_empty() {
            match self.reads.pop_front() {
                Some(next) => read = next,
                None => return Ok(false),
            }
        }
        if self.begun.is_inside() {
            // The rest of a line is copied whether it is text or not.
            let end = memchr2(b'\n', b'\r', &read).unwrap_or(read.len());
            self.begun.hold(&read[..end], limit)?;
            read.advance(end);
        } else if is_rest {
            let invalid = read.utf8_chunks().next();
            let length = invalid.map_or(read.len(), |chunk| chunk.invalid().len());
            for byte in read.split_to(length) {
                if !self.begun.passes(byte) {
                    self.begun.hold(&[byte], limit)?;
                }
            }
        }
        if self.begun.is_inside() && !is_line_end(read.first()) {
            self.rest = read;
        } else {
            self.begin(read);
        }
        Ok(true)
    }

    /// Makes of a read the text, as far as it is valid UTF-8.
    fn begin(&mut self, mut read: Bytes) {
        // The check consumes the read, so a clone is checked, which is cheap for a read that is
        // shared, but would allocate for another.
        let text = if read.is_unique() && read.is_ascii() {
            ByteString::try_from(read)
        } else {
            ByteString::try_from(read.clone()).or_else(|error| {
                self.rest = read.split_off(error.valid_up_to());
                ByteString::try_from(read)
            })
        };
        self.text = text.unwrap_or_default();
    }

    /// Takes the line that was copied, or after the last byte what is copied of a line without end.
    pub(super) fn take_copied(&mut self) -> Bytes {
        block::take(&mut self.begun.bytes)
    }

    /// Forgets all bytes.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the text that [`Line::InText`] is about.
    pub(super) fn text(&self) -> &ByteString {
        &self.text
    }

    /// Returns the beginning of a line whose end has not come.
    pub(super) fn begun(&self) -> &[u8] {
        &self.begun.bytes
    }
}

fn is_line_end(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'\n' | b'\r'))
}

impl Begun {
    /// Returns true if the byte is not part of a line: of a byte-order mark, or of a line end of
    /// which the read before contained the CR.
    #[inline]
    fn passes(&mut self, byte: u8) -> bool {
        match self.state {
            State::Line | State::Comment => false,
            State::AfterCr => {
                self.state = State::Line;
                byte == b'\n'
            }
            State::Start | State::Mark1 | State::Mark2 => self.passes_mark(byte),
        }
    }

    /// "If one leading U+FEFF BYTE ORDER MARK character is present, it must be ignored."
    #[cold]
    fn passes_mark(&mut self, byte: u8) -> bool {
        // The bytes before, in case that they are no mark and so belong to the first line.
        let (next, before): (_, &[u8]) = match (self.state, byte) {
            (State::Start, 0xEF) => (State::Mark1, b""),
            (State::Mark1, 0xBB) => (State::Mark2, b""),
            (State::Mark2, 0xBF) => {
                self.state = State::Line;
                return true;
            }
            (State::Mark1, _) => (State::Line, b"\xEF"),
            (State::Mark2, _) => (State::Line, b"\xEF\xBB"),
            _ => (State::Line, b""),
        };
        block::append(&mut self.bytes, before);
        self.state = next;
        self.state != State::Line
    }

    /// Returns true if an earlier read contained a part of the current line.
    fn is_inside(&self) -> bool {
        self.state == State::Comment || (self.state == State::Line && !self.bytes.is_empty())
    }

    /// Keeps a part of a line whose end has not come.
    fn hold(&mut self, part: &[u8], limit: usize) -> Result<(), TooLarge> {
        if self.bytes.is_empty() && part.first() == Some(&b':') {
            self.state = State::Comment;
        }
        if self.state != State::Comment {
            self.check(part.len(), limit)?;
            block::append(&mut self.bytes, part);
        }
        Ok(())
    }

    fn check(&self, more: usize, limit: usize) -> Result<(), TooLarge> {
        match self.bytes.len() + more {
            length if length <= limit => Ok(()),
            _ => Err(TooLarge::new("line", limit)),
        }
    }
}
