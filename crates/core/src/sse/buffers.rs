//! The interpretation of the lines of an event stream: the standard's buffers and rules for fields.

use std::{mem, time::Duration};

use bytes::{Buf, BytesMut};

use super::{
    Frame, Limits, block, decode_lossy,
    lent::{Data, Lent, Name},
    lines::{Line, Lines, Over, Plain},
};

/// The settings of a decoder.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    pub(super) marker: Option<&'static str>,
    pub(super) end_event: Option<&'static str>,
    pub(super) takes_errors: bool,
}

/// The buffers of the frame that is being read, and the frame that is lent.
#[derive(Default)]
pub(super) struct Buffers {
    data: Data,
    /// The bytes of [`Data::Joined`].
    joined: BytesMut,
    /// The data did not arrive in a `data` field, and is therefore a separate frame.
    is_stray: bool,
    /// The frame that is being read has lines other than comments.
    is_begun: bool,
    /// The event type buffer.
    event: Name,
    /// The last event id buffer, if the frame that is being read has set it.
    id: String,
    id_changed: bool,
    last_id: String,
    retry: Option<Duration>,
    /// The number of places in which invalid UTF-8 was replaced.
    replaced: usize,

    lent: Lent,
}

/// The effect of a line.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// A frame ends.
    Frame,
    /// A frame ends before the line, which must be processed again.
    FrameBefore,
    /// The reconnection time is set.
    Retry,
}

/// The fields that have a meaning.
#[derive(Clone, Copy)]
enum Field {
    Data,
    Error,
    Event,
    Id,
    Retry,
    Unknown,
}

impl Buffers {
    /// Takes the first line of a frame, a `data` field. If the frame's blank line follows, makes it
    /// the frame that is lent and returns true.
    #[inline]
    pub(super) fn take_plain(&mut self, plain: Plain, lines: &mut Lines) -> bool {
        match plain {
            Plain::Frame(start, end) => {
                self.event.is_lent = false;
                self.lent.data = Data::InRead(start, end);
                true
            }
            Plain::Data(start, end) => {
                self.is_begun = true;
                self.data = Data::InRead(start, end);
                false
            }
            Plain::Cut => {
                self.take_back(lines);
                lines.begin_line();
                false
            }
        }
    }

    /// Processes a line as the standard says.
    #[inline]
    pub(super) fn take_line(
        &mut self,
        line: Line,
        lines: &mut Lines,
        rules: &Rules,
    ) -> Result<Option<Step>, Over> {
        let bytes = lines.bytes(line);
        if bytes.is_empty() {
            return Ok(self.dispatch(rules));
        }
        let (field, start) = field(bytes);
        match field {
            Field::Data | Field::Event if self.is_stray => Ok(self.end_before(rules)),
            Field::Data => self.add_data(line, start, lines, rules),
            Field::Event => {
                self.is_begun = true;
                self.event.is_set = true;
                if self.event.text.as_bytes() != &bytes[start..] {
                    let value = lines.text_of(line, start);
                    set(&mut self.event.text, value, &mut self.replaced);
                }
                Ok(None)
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer
            // to the field value. Otherwise, ignore the field."
            Field::Id if !has_nul(&bytes[start..]) => {
                self.is_begun = true;
                self.id_changed = true;
                set(&mut self.id, lines.text_of(line, start), &mut self.replaced);
                Ok(None)
            }
            Field::Retry => {
                self.is_begun = true;
                Ok(self.set_retry(&bytes[start..]))
            }
            field => self.take_other(field, line, start, lines, rules),
        }
    }

    /// Processes a line that the standard ignores but some services use.
    #[cold]
    fn take_other(
        &mut self,
        field: Field,
        line: Line,
        start: usize,
        lines: &mut Lines,
        rules: &Rules,
    ) -> Result<Option<Step>, Over> {
        let bytes = lines.bytes(line);
        self.is_begun |= !matches!(field, Field::Unknown) || !bytes.trim_ascii().is_empty();
        let has_data = !matches!(self.data, Data::None);
        let is_marker = rules.marker.map(str::as_bytes) == Some(bytes);
        match field {
            _ if is_marker && has_data => {}
            _ if is_marker => return self.add_data(line, 0, lines, rules),
            Field::Error if rules.takes_errors => {
                let step = self.end_before(rules);
                if step.is_some() {
                    return Ok(step);
                }
                self.is_stray = true;
                set(&mut self.event.text, Ok("error"), &mut self.replaced);
                self.event.is_set = true;
                return self.add_data(line, start, lines, rules);
            }
            // The rest of JSON that spans several lines.
            _ if self.is_stray => return self.add_data(line, 0, lines, rules),
            _ if rules.takes_errors && (bytes.starts_with(b"{") || bytes.starts_with(b"[{")) => {
                // A name before it belongs to it.
                if has_data {
                    return Ok(self.end_before(rules));
                }
                self.is_stray = true;
                return self.add_data(line, 0, lines, rules);
            }
            // "Otherwise: The field is ignored."
            _ => {}
        }
        Ok(None)
    }

    /// Appends the part of a line from `start` on to the data buffer.
    #[inline]
    fn add_data(
        &mut self,
        line: Line,
        start: usize,
        lines: &mut Lines,
        rules: &Rules,
    ) -> Result<Option<Step>, Over> {
        self.is_begun = true;
        if !matches!(self.data, Data::None) {
            return self.join(&lines.bytes(line)[start..], lines, rules);
        }
        check_frame(lines.bytes(line).len() - start, rules)?;
        self.data = match line {
            Line::InRead(line, end) => Data::InRead(line + start, end),
            Line::Begun => {
                lines.take_begun(&mut self.joined);
                self.joined.advance(start);
                Data::Joined
            }
        };
        Ok(None)
    }

    /// "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF)
    /// character to the data buffer"; the last one is taken off at the dispatch.
    fn join(&mut self, value: &[u8], lines: &Lines, rules: &Rules) -> Result<Option<Step>, Over> {
        self.leave(lines);
        check_frame(self.joined.len() + 1 + value.len(), rules)?;
        block::append(&mut self.joined, b"\n");
        block::append(&mut self.joined, value);
        Ok(None)
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
        self.retry = Some(Duration::from_millis(milliseconds));
        Some(Step::Retry)
    }

    /// "If the line is empty (a blank line): Dispatch the event."
    #[inline]
    pub(super) fn dispatch(&mut self, rules: &Rules) -> Option<Step> {
        if mem::take(&mut self.id_changed) {
            mem::swap(&mut self.id, &mut self.last_id);
        }
        self.take_frame(rules).then_some(Step::Frame)
    }

    /// Ends a frame that no blank line ended, because the line begins another one.
    fn end_before(&mut self, rules: &Rules) -> Option<Step> {
        let step = self.dispatch(rules);
        self.is_begun = true;
        step.map(|_| Step::FrameBefore)
    }

    /// Makes the frame that was read the lent one, if it has data.
    #[inline]
    fn take_frame(&mut self, rules: &Rules) -> bool {
        self.is_stray = false;
        self.is_begun = false;
        self.event.is_lent = mem::take(&mut self.event.is_set);
        self.lent.data = mem::take(&mut self.data);
        match self.lent.data {
            // "If the data buffer is an empty string, set the data buffer and the event type buffer
            // to the empty string and return": `data:` alone has put a line feed there, and is a
            // frame.
            Data::None => rules
                .end_event
                .is_some_and(|name| self.event.is_lent && self.event.text == name),
            Data::InRead(..) => true,
            Data::Joined => {
                self.lent.joined = mem::take(&mut self.joined).freeze();
                true
            }
        }
    }

    /// Takes the incomplete frame at the end of the input, of which this is the last line, as if a blank
    /// line ended it; or the frame before the line, if the line begins another one.
    pub(super) fn take_tail(
        &mut self,
        last: Option<Line>,
        lines: &mut Lines,
        rules: &Rules,
    ) -> Result<Option<Step>, Over> {
        let replaced = self.replaced;
        let step = match last {
            Some(line) => self.take_line(line, lines, rules)?,
            None => None,
        };
        // The end of the input may have cut a character, which is not invalid.
        self.replaced = replaced;
        Ok(match step {
            Some(Step::FrameBefore) => step,
            _ => self.take_frame(rules).then_some(Step::Frame),
        })
    }

    /// Makes the data independent of the current read, which is completely processed.
    #[inline]
    pub(super) fn leave(&mut self, lines: &Lines) {
        if let Data::InRead(start, end) = self.data {
            block::append(&mut self.joined, &lines.read()[start..end]);
            self.data = Data::Joined;
        }
    }

    /// Drops the data of the frame that is being read.
    pub(super) fn clear_data(&mut self) {
        self.data = Data::None;
        self.joined = BytesMut::new();
        self.is_begun = false;
    }

    /// Takes back the frame that was lent, so that its memory can be used again.
    #[inline]
    pub(super) fn take_back(&mut self, lines: &mut Lines) {
        if let Some(buffer) = self.lent.take_back() {
            self.joined = buffer;
            lines.give(&mut self.joined);
        }
    }

    /// Lends the frame that was taken last.
    #[inline]
    pub(super) fn lend<'a>(&'a mut self, lines: &'a mut Lines) -> Frame<'a> {
        let (data, buffer) = self.lent.lend(lines, &mut self.replaced);
        Frame {
            event: self.event.lent(),
            id: &self.last_id,
            retry: self.retry,
            data,
            buffer,
        }
    }

    /// Lends the frame at the end of the input, including its id. The id does not become the last event
    /// id, because the frame was not dispatched.
    pub(super) fn lend_tail<'a>(&'a mut self, lines: &'a mut Lines) -> Frame<'a> {
        let (data, buffer) = self.lent.lend(lines, &mut 0);
        Frame {
            event: self.event.lent(),
            id: if self.id_changed {
                &self.id
            } else {
                &self.last_id
            },
            retry: self.retry,
            data,
            buffer,
        }
    }

    /// Returns true if a frame is being read: it has lines other than comments.
    #[inline]
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    pub(super) fn replaced(&self) -> usize {
        self.replaced
    }
}

/// Returns a line's field, and where its value begins.
///
/// "Collect the characters on the line before the first U+003A COLON character, and let field be
/// that string"; a line without a colon is a field with an empty value.
#[inline]
fn field(line: &[u8]) -> (Field, usize) {
    let (field, length) = if line.first_chunk() == Some(b"data") {
        (Field::Data, 4)
    } else if line.first_chunk() == Some(b"event") {
        (Field::Event, 5)
    } else if line.first_chunk() == Some(b"id") {
        (Field::Id, 2)
    } else if line.first_chunk() == Some(b"retry") {
        (Field::Retry, 5)
    } else if line.first_chunk() == Some(b"error") {
        (Field::Error, 5)
    } else {
        return (Field::Unknown, 0);
    };
    match line[length..] {
        [] => (field, length),
        // "If value starts with a U+0020 SPACE character, remove it from value."
        [b':', b' ', ..] => (field, length + 2),
        [b':', ..] => (field, length + 1),
        // The name is longer.
        _ => (Field::Unknown, 0),
    }
}

/// Returns true if a byte is NUL.
fn has_nul(bytes: &[u8]) -> bool {
    // Checks all bytes: for a short id that takes less time than stopping at the first NUL.
    bytes.iter().fold(1, |least, byte| least.min(*byte)) == 0
}

fn check_frame(length: usize, rules: &Rules) -> Result<(), Over> {
    if length <= rules.limits.frame {
        Ok(())
    } else {
        Err(Over::Frame)
    }
}

/// Sets a name or an id to text or to bytes that are not, and counts where invalid UTF-8 is replaced.
fn set(buffer: &mut String, value: Result<&str, &[u8]>, replaced: &mut usize) {
    buffer.clear();
    match value {
        Ok(text) => buffer.push_str(text),
        Err(bytes) => buffer.push_str(&decode_lossy(bytes, replaced)),
    }
}
