//! Bytes in, frames out: the rules of the standard. No I/O.

use std::{collections::VecDeque, fmt, mem, ops::Range, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use super::{Frame, Framer, Limits, TooLarge, decode_lossy};

/// A decoder of event streams.
///
/// Bytes may be cut anywhere: the same bytes give the same frames.
/// It cannot fail on content, since the standard says what each malformed line means; invalid UTF-8
/// becomes U+FFFD, and [`replaced`](Self::replaced) counts it.
/// Each byte is looked at once, and what is held is bounded by [`Limits`].
///
/// ```
/// use inferstream_core::sse::Decoder;
///
/// let mut decoder = Decoder::default();
/// decoder.push("data: Hel".into());
/// assert!(decoder.next_frame()?.is_none());
/// decoder.push("lo\n\ndata: cut o".into());
/// assert_eq!(decoder.next_frame()?.unwrap().data, "Hello");
/// assert!(decoder.next_frame()?.is_none());
/// # Ok::<(), inferstream_core::sse::TooLarge>(())
/// ```
#[derive(Default)]
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
pub struct Decoder {
    limits: Limits,
    marker: Option<&'static str>,
    end_event: Option<&'static str>,
    takes_errors: bool,
    failed: Option<TooLarge>,

    /// The read at work, and how much of it is done.
    read: Bytes,
    at: usize,
    /// The reads after it.
    reads: VecDeque<Bytes>,

    /// How much of a byte-order mark the stream has begun with.
    mark: Mark,
    /// The current line's bytes from earlier reads.
    line: Vec<u8>,
    in_comment: bool,
    after_cr: bool,

    data: Data,
    /// The data did not come in a `data` field, and so is a frame of its own.
    is_stray: bool,
    /// The frame that is being read has lines other than data and comments.
    has_lines: bool,
    event: String,
    id: String,
    id_changed: bool,
    last_id: String,
    retry: Option<Duration>,
    /// In how many places invalid UTF-8 was replaced.
    replaced: usize,

    /// What the last frame lends.
    lent_event: String,
    lent_data: ByteString,
}

/// The data of the frame that is being read.
#[derive(Default)]
enum Data {
    /// No `data` field yet.
    #[default]
    None,
    /// One, within one read.
    Slice(Bytes),
    /// Several, or one that was cut.
    Copy(Vec<u8>),
}

#[derive(Default)]
enum Mark {
    #[default]
    Expected,
    First,
    Second,
    Passed,
}

/// What a stream's next lines amount to.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// The stream sets how long to wait before a reconnection.
    Retry(Duration),
}

enum Step {
    Frame,
    Retry(Duration),
}

impl Decoder {
    /// Creates a decoder with limits of the caller's.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Accepts a line that is this text and nothing else as if it stood in a `data` field of its own.
    ///
    /// Some services end their streams by a bare `[DONE]`, which the standard has ignored.
    #[must_use]
    pub fn marker(mut self, marker: &'static str) -> Self {
        self.marker = Some(marker);
        self
    }

    /// Dispatches an event of this name though it has no data.
    ///
    /// Some services end their streams by such an event, which the standard has dropped.
    #[must_use]
    pub fn end_event(mut self, name: &'static str) -> Self {
        self.end_event = Some(name);
        self
    }

    /// Accepts errors that services put outside a `data` field, which the standard has ignored.
    ///
    /// A field `error`, as llama.cpp's server sends it (ggml-org/llama.cpp#16109), becomes a frame
    /// with the event `error`. A line that begins with `{` or `[{` becomes the data of a frame, with
    /// the lines up to the next blank line or field. Either is a frame of its own, whether or not
    /// blank lines stand around it.
    #[must_use]
    pub fn error_lines(mut self) -> Self {
        self.takes_errors = true;
        self
    }

    /// Returns the limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes the stream's next bytes, cut anywhere.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_some() || bytes.is_empty() {
            return;
        }
        if self.at == self.read.len() && self.reads.is_empty() {
            self.read = bytes;
            self.at = 0;
        } else {
            self.reads.push_back(bytes);
        }
    }

    /// Returns the next whole frame, if there is one.
    ///
    /// # Errors
    ///
    /// A line or a frame over its limit, after all frames that were whole before it; the same again
    /// at each later call.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        loop {
            match self.step()? {
                None => return Ok(None),
                Some(Step::Retry(_)) => {}
                Some(Step::Frame) => return Ok(Some(self.lend(&self.last_id))),
            }
        }
    }

    /// As [`next_frame`](Self::next_frame), but tells of reconnection times too, in their place.
    ///
    /// # Errors
    ///
    /// As `next_frame`.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, TooLarge> {
        Ok(match self.step()? {
            None => None,
            Some(Step::Retry(wait)) => Some(Item::Retry(wait)),
            Some(Step::Frame) => Some(Item::Frame(self.lend(&self.last_id))),
        })
    }

    /// Returns, after the last byte, what would be a frame if the input ended in a blank line.
    ///
    /// The standard has it dropped: "if the file ends in the middle of an event … the incomplete
    /// event is not dispatched". It is for a protocol to recognise its end marker by.
    pub fn tail(&mut self) -> Option<Frame<'_>> {
        let replaced = self.replaced;
        if !self.line.is_empty() {
            self.end_line(&Bytes::new(), 0..0).ok()?;
        }
        let is_frame = self.take_frame();
        // The end of the input may have cut a character, which is not invalid.
        self.replaced = replaced;
        // The id is lent, but takes no force: the frame was not dispatched.
        is_frame.then(|| self.lend(&self.id))
    }

    /// Returns true, after the last byte, if the input ends inside an event: a line or the beginning
    /// of one came behind the last blank line. Comments are part of no event.
    ///
    /// It is asked before [`tail`](Self::tail), which takes the beginning of the event out.
    pub fn is_cut(&self) -> bool {
        !self.line.trim_ascii().is_empty() || !matches!(self.data, Data::None) || self.has_lines
    }

    /// Returns in how many places of frames, their names and ids invalid UTF-8 was replaced by U+FFFD.
    pub fn replaced(&self) -> usize {
        self.replaced
    }

    /// Returns the last event id, as of the last blank line: what a reconnection would send.
    pub fn last_event_id(&self) -> &str {
        &self.last_id
    }

    /// Returns the last reconnection time that the stream set.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Forgets what was pushed: the next bytes begin another stream. The settings stay.
    pub fn reset(&mut self) {
        *self = Self {
            limits: self.limits,
            marker: self.marker,
            end_event: self.end_event,
            takes_errors: self.takes_errors,
            ..Self::default()
        };
    }

    fn lend<'a>(&'a self, id: &'a str) -> Frame<'a> {
        Frame {
            event: if self.lent_event.is_empty() {
                "message"
            } else {
                &self.lent_event
            },
            id,
            retry: self.retry,
            data: &self.lent_data,
            buffer: self.lent_data.as_bytes(),
        }
    }

    fn step(&mut self) -> Result<Option<Step>, TooLarge> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            let read = mem::take(&mut self.read);
            let outcome = self.step_in(&read);
            self.read = read;
            match outcome {
                Ok(None) => match self.reads.pop_front() {
                    None => return Ok(None),
                    Some(read) => {
                        self.read = read;
                        self.at = 0;
                    }
                },
                Ok(step) => return Ok(step),
                Err(error) => {
                    self.reads = VecDeque::new();
                    self.line = Vec::new();
                    self.data = Data::None;
                    self.failed = Some(error);
                    return Err(error);
                }
            }
        }
    }

    /// Goes on in a read until a line makes a step, or to its end.
    fn step_in(&mut self, read: &Bytes) -> Result<Option<Step>, TooLarge> {
        while let Some(&first) = read.get(self.at) {
            // "Lines must be separated by either a CRLF pair, a single LF, or a single CR": an LF
            // after a CR is the rest of that line's end, in whichever read it comes.
            if mem::take(&mut self.after_cr) && first == b'\n' {
                self.at += 1;
                continue;
            }
            if self.passes_mark(first) {
                self.at += 1;
                continue;
            }
            let rest = &read[self.at..];
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.at = read.len();
                self.hold(rest)?;
                break;
            };
            self.after_cr = rest[length] == b'\r';
            let line = self.at..self.at + length;
            self.at += length + 1;
            if let Some(step) = self.end_line(read, line)? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    /// Returns true if the byte belongs to a byte-order mark at the stream's start.
    ///
    /// "If one leading U+FEFF BYTE ORDER MARK character is present, it must be ignored."
    fn passes_mark(&mut self, byte: u8) -> bool {
        let (next, before): (_, &[u8]) = match (&self.mark, byte) {
            (Mark::Passed, _) => return false,
            (Mark::Expected, 0xEF) => (Mark::First, b""),
            (Mark::First, 0xBB) => (Mark::Second, b""),
            (Mark::Second, 0xBF) => {
                self.mark = Mark::Passed;
                return true;
            }
            (Mark::Expected, _) => (Mark::Passed, b""),
            (Mark::First, _) => (Mark::Passed, b"\xEF"),
            (Mark::Second, _) => (Mark::Passed, b"\xEF\xBB"),
        };
        self.line.extend_from_slice(before);
        self.mark = next;
        !matches!(self.mark, Mark::Passed)
    }

    /// Keeps the beginning of a line whose end has not come.
    fn hold(&mut self, part: &[u8]) -> Result<(), TooLarge> {
        if self.line.is_empty() && part.first() == Some(&b':') {
            self.in_comment = true;
        }
        if !self.in_comment {
            self.check_line(part.len())?;
            self.line.extend_from_slice(part);
        }
        Ok(())
    }

    fn check_line(&self, more: usize) -> Result<(), TooLarge> {
        match self.line.len() + more {
            length if length <= self.limits.line => Ok(()),
            _ => Err(TooLarge::new("line", self.limits.line)),
        }
    }

    /// Takes a whole line, of which `range` is the part in this read.
    fn end_line(&mut self, read: &Bytes, range: Range<usize>) -> Result<Option<Step>, TooLarge> {
        if mem::take(&mut self.in_comment) {
            return Ok(None);
        }
        let part = &read[range];
        if self.line.is_empty() {
            if part.first() == Some(&b':') {
                return Ok(None);
            }
            self.check_line(part.len())?;
            return self.take_line(part, Some(read));
        }
        self.check_line(part.len())?;
        let mut line = mem::take(&mut self.line);
        line.extend_from_slice(part);
        let step = self.take_line(&line, None);
        line.clear();
        self.line = line;
        step
    }

    /// Does what the standard says of a line.
    fn take_line(&mut self, line: &[u8], read: Option<&Bytes>) -> Result<Option<Step>, TooLarge> {
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            None => (line, &line[line.len()..]),
            // "If value starts with a U+0020 SPACE character, remove it from value."
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
        };
        let is_json = || line.starts_with(b"{") || line.starts_with(b"[{");
        if name == b"data" {
            let step = self.end_stray();
            self.add_data(value, read)?;
            return Ok(step);
        }
        self.has_lines |= !line.trim_ascii().is_empty();
        match name {
            b"event" => {
                let step = self.end_stray();
                self.has_lines = true;
                self.event = decode_lossy(value, &mut self.replaced).into_owned();
                return Ok(step);
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer
            // to the field value. Otherwise, ignore the field."
            b"id" if !value.contains(&0) => {
                self.id = decode_lossy(value, &mut self.replaced).into_owned();
                self.id_changed = true;
            }
            b"retry" => return Ok(self.set_retry(value)),
            _ if self.marker.is_some_and(|marker| marker.as_bytes() == line) => {
                if matches!(self.data, Data::None) {
                    self.add_data(line, read)?;
                }
            }
            b"error" if self.takes_errors => {
                let step = self.dispatch();
                self.is_stray = true;
                "error".clone_into(&mut self.event);
                self.add_data(value, read)?;
                return Ok(step);
            }
            // The rest of JSON that is written over several lines.
            _ if self.is_stray => self.add_data(line, read)?,
            _ if self.takes_errors && is_json() => {
                // A name that came before it is its own.
                let step = match self.data {
                    Data::None => None,
                    _ => self.dispatch(),
                };
                self.is_stray = true;
                self.add_data(line, read)?;
                return Ok(step);
            }
            // "Otherwise: The field is ignored."
            _ => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &[u8], read: Option<&Bytes>) -> Result<(), TooLarge> {
        let before = match &self.data {
            Data::None => 0,
            Data::Slice(data) => data.len() + 1,
            Data::Copy(data) => data.len() + 1,
        };
        if self.limits.frame < before + value.len() {
            return Err(TooLarge::new("frame", self.limits.frame));
        }
        self.data = match (mem::take(&mut self.data), read) {
            (Data::None, Some(read)) => Data::Slice(read.slice_ref(value)),
            (Data::None, None) => Data::Copy(value.to_vec()),
            // "Append the field value to the data buffer, then append a single U+000A LINE FEED
            // (LF) character to the data buffer"; the last one is taken off at the dispatch.
            (Data::Slice(data), _) => Data::Copy([&data, &b"\n"[..], value].concat()),
            (Data::Copy(mut data), _) => {
                data.push(b'\n');
                data.extend_from_slice(value);
                Data::Copy(data)
            }
        };
        Ok(())
    }

    /// "If the field value consists of only ASCII digits, then interpret the field value as an
    /// integer in base ten, and set the event stream's reconnection time to that integer."
    fn set_retry(&mut self, value: &[u8]) -> Option<Step> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let milliseconds = value.iter().fold(0_u64, |number, digit| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        let wait = Duration::from_millis(milliseconds);
        self.retry = Some(wait);
        Some(Step::Retry(wait))
    }

    /// "If the line is empty (a blank line): Dispatch the event."
    fn dispatch(&mut self) -> Option<Step> {
        if mem::take(&mut self.id_changed) {
            self.last_id.clone_from(&self.id);
        }
        self.take_frame().then_some(Step::Frame)
    }

    /// Ends a frame that no blank line ended, since a field of another begins.
    fn end_stray(&mut self) -> Option<Step> {
        self.is_stray.then(|| self.dispatch()).flatten()
    }

    /// Makes what has been read the frame that is lent, if it has data.
    fn take_frame(&mut self) -> bool {
        self.is_stray = false;
        let event = mem::take(&mut self.event);
        self.has_lines = false;
        // "If the data buffer is an empty string, set the data buffer and the event type buffer to
        // the empty string and return": `data:` alone has put a line feed there, and is a frame.
        let bytes = match mem::take(&mut self.data) {
            Data::None if self.end_event.is_some_and(|name| name == event) => Bytes::new(),
            Data::None => return false,
            Data::Slice(bytes) => bytes,
            Data::Copy(bytes) => Bytes::from(bytes),
        };
        self.lent_event = event;
        self.lent_data = match ByteString::try_from(bytes.clone()) {
            Ok(text) => text,
            Err(_) => decode_lossy(&bytes, &mut self.replaced).into_owned().into(),
        };
        true
    }
}

impl Framer for Decoder {
    fn push(&mut self, bytes: Bytes) {
        Decoder::push(self, bytes);
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        Decoder::next_frame(self)
    }

    fn tail(&mut self) -> Option<Frame<'_>> {
        Decoder::tail(self)
    }

    fn is_cut(&self) -> bool {
        Decoder::is_cut(self)
    }

    fn replaced(&self) -> usize {
        Decoder::replaced(self)
    }

    fn reset(&mut self) {
        Decoder::reset(self);
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("limits", &self.limits)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
