//! What the lines of an event stream amount to: the standard's buffers and the rules for fields.

use std::{mem, time::Duration};

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::{Frame, Limits, TooLarge, block, decode_lossy};

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
    /// The data did not come in a `data` field, and so is a frame of its own.
    is_stray: bool,
    /// The frame that is being read has lines other than data and comments.
    has_lines: bool,
    /// The event type buffer.
    event: Value,
    /// The last event id buffer, if the frame that is being read has set it.
    id: Value,
    id_changed: bool,
    last_id: Value,
    retry: Option<Duration>,
    /// In how many places invalid UTF-8 was replaced.
    replaced: usize,

    lent_event: Value,
    lent_data: LentData,
}

/// The data buffer.
#[derive(Default)]
pub(super) enum Data {
    /// No `data` field yet.
    #[default]
    None,
    /// One, which is the current read's text between these places.
    InText(usize, usize),
    /// One, from a read before or in a line that was copied.
    Slice(Bytes),
    /// Several, joined by line feeds.
    Joined,
}

/// A name or an id: in the current read, or a copy once that read is done.
#[derive(Default)]
pub(super) struct Value {
    in_text: Option<(usize, usize)>,
    copy: String,
}

/// The data that the last frame lends.
#[derive(Default)]
enum LentData {
    #[default]
    None,
    /// The current read's text between these places.
    InText(usize, usize),
    Own(ByteString),
}

/// What a line may cause.
pub(super) enum Step {
    Frame,
    Retry,
}

/// The fields that mean something.
enum Field {
    Data,
    Error,
    Event,
    Id,
    Retry,
    Unknown,
}

/// A complete line, and the ways to keep the part of it from a place on.
pub(super) trait Line {
    fn bytes(&self) -> &[u8];
    /// Makes the part a name or an id, and counts where invalid UTF-8 is replaced.
    fn set(&self, value: &mut Value, start: usize, replaced: &mut usize);
    /// Makes the part the only data of its frame.
    fn data(&self, start: usize) -> Data;
    /// The text of the current read.
    fn read(&self) -> &str;
}

/// A line that lies in the text of the current read.
pub(super) struct InText<'a> {
    pub(super) read: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A line that was copied; its bytes are not known to be text.
pub(super) struct Copied<'a> {
    pub(super) read: &'a str,
    pub(super) bytes: Bytes,
}

impl Buffers {
    /// Makes data between two places the frame that is lent.
    #[inline]
    pub(super) fn take_plain_frame(&mut self, (start, end): (usize, usize)) {
        self.lent_event.clear();
        self.lent_data = LentData::InText(start, end);
    }

    /// Does what the standard says of a line.
    #[inline]
    pub(super) fn take_line(
        &mut self,
        line: &impl Line,
        rules: &Rules,
    ) -> Result<Option<Step>, TooLarge> {
        let bytes = line.bytes();
        if bytes.is_empty() {
            return Ok(self.dispatch(line.read(), rules));
        }
        let (field, start) = field(bytes);
        if matches!(field, Field::Data) {
            let step = self.end_stray(line.read(), rules);
            self.add_data(line, start, rules)?;
            return Ok(step);
        }
        self.has_lines |= !matches!(field, Field::Unknown) || !bytes.trim_ascii().is_empty();
        match field {
            Field::Event => {
                let step = self.end_stray(line.read(), rules);
                self.has_lines = true;
                line.set(&mut self.event, start, &mut self.replaced);
                return Ok(step);
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer
            // to the field value. Otherwise, ignore the field."
            Field::Id if bytes.iter().copied().min() != Some(0) => {
                line.set(&mut self.id, start, &mut self.replaced);
                self.id_changed = true;
            }
            Field::Retry => return Ok(self.set_retry(&bytes[start..])),
            _ if rules
                .marker
                .is_some_and(|marker| marker.as_bytes() == bytes) =>
            {
                if matches!(self.data, Data::None) {
                    self.add_data(line, 0, rules)?;
                }
            }
            Field::Error if rules.takes_errors => {
                let step = self.dispatch(line.read(), rules);
                self.is_stray = true;
                self.event.set("error");
                self.add_data(line, start, rules)?;
                return Ok(step);
            }
            // The rest of JSON that is written over several lines.
            _ if self.is_stray => self.add_data(line, 0, rules)?,
            _ if rules.takes_errors && (bytes.starts_with(b"{") || bytes.starts_with(b"[{")) => {
                // A name that came before it is its own.
                let step = match self.data {
                    Data::None => None,
                    _ => self.dispatch(line.read(), rules),
                };
                self.is_stray = true;
                self.add_data(line, 0, rules)?;
                return Ok(step);
            }
            // "Otherwise: The field is ignored."
            _ => {}
        }
        Ok(None)
    }

    /// Appends the part of a line from `start` on to the data buffer.
    #[inline]
    fn add_data(&mut self, line: &impl Line, start: usize, rules: &Rules) -> Result<(), TooLarge> {
        if matches!(self.data, Data::None) {
            check_frame(line.bytes().len() - start, rules)?;
            self.data = line.data(start);
            return Ok(());
        }
        self.join(line, start, rules)
    }

    /// "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF)
    /// character to the data buffer"; the last one is taken off at the dispatch.
    fn join(&mut self, line: &impl Line, start: usize, rules: &Rules) -> Result<(), TooLarge> {
        match &self.data {
            Data::None | Data::Joined => {}
            Data::InText(start, end) => {
                let data = &line.read().as_bytes()[*start..*end];
                block::append(&mut self.joined, data);
            }
            Data::Slice(data) => block::append(&mut self.joined, data),
        }
        self.data = Data::Joined;
        let value = &line.bytes()[start..];
        check_frame(self.joined.len() + 1 + value.len(), rules)?;
        block::append(&mut self.joined, b"\n");
        block::append(&mut self.joined, value);
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
        self.retry = Some(Duration::from_millis(milliseconds));
        Some(Step::Retry)
    }

    /// "If the line is empty (a blank line): Dispatch the event."
    #[inline]
    pub(super) fn dispatch(&mut self, read: &str, rules: &Rules) -> Option<Step> {
        if mem::take(&mut self.id_changed) {
            self.id.move_to(&mut self.last_id);
        }
        self.take_frame(read, rules).then_some(Step::Frame)
    }

    /// Ends a frame that no blank line ended, since a field of another begins.
    #[inline]
    fn end_stray(&mut self, read: &str, rules: &Rules) -> Option<Step> {
        self.is_stray.then(|| self.dispatch(read, rules)).flatten()
    }

    /// Makes what has been read the frame that is lent, if it has data.
    #[inline]
    pub(super) fn take_frame(&mut self, read: &str, rules: &Rules) -> bool {
        self.is_stray = false;
        self.has_lines = false;
        self.event.move_to(&mut self.lent_event);
        // "If the data buffer is an empty string, set the data buffer and the event type buffer to
        // the empty string and return": `data:` alone has put a line feed there, and is a frame.
        self.lent_data = match mem::take(&mut self.data) {
            Data::None => {
                self.lent_data = LentData::None;
                let is_end = |name| name == self.lent_event.get(read);
                return rules.end_event.is_some_and(is_end);
            }
            Data::InText(start, end) => LentData::InText(start, end),
            Data::Slice(bytes) => LentData::Own(self.decode(&bytes)),
            Data::Joined => {
                let bytes = block::take(&mut self.joined);
                LentData::Own(self.decode(&bytes))
            }
        };
        true
    }

    fn decode(&mut self, bytes: &Bytes) -> ByteString {
        match ByteString::try_from(bytes.clone()) {
            Ok(text) => text,
            Err(_) => decode_lossy(bytes, &mut self.replaced).into_owned().into(),
        }
    }

    /// Takes the incomplete frame at the end of the input as if a blank line ended it.
    pub(super) fn take_tail(&mut self, line: &Copied<'_>, rules: &Rules) -> Result<bool, TooLarge> {
        let replaced = self.replaced;
        let read = line.read;
        if !line.bytes().is_empty() {
            self.take_line(line, rules)?;
        }
        let is_frame = self.take_frame(read, rules);
        // The end of the input may have cut a character, which is not invalid.
        self.replaced = replaced;
        Ok(is_frame)
    }

    /// Makes the data independent of the current read, which is done.
    #[inline]
    pub(super) fn leave(&mut self, text: &ByteString) {
        if text.is_empty() {
            return;
        }
        if let Data::InText(start, end) = self.data {
            self.data = Data::Slice(text.as_bytes().slice(start..end));
        }
        for value in [&mut self.event, &mut self.id, &mut self.last_id] {
            value.leave(text);
        }
    }

    /// Forgets the data of the frame that is being read.
    pub(super) fn clear_data(&mut self) {
        self.data = Data::None;
        self.joined = BytesMut::new();
    }

    /// Takes back the frame that was lent, so that its memory can be used again.
    #[inline]
    pub(super) fn take_back(&mut self) {
        self.lent_data = LentData::None;
    }

    /// Lends the frame that was taken last, of the current read's text.
    #[inline]
    pub(super) fn lend<'a>(&'a self, text: &'a ByteString) -> Frame<'a> {
        self.frame(text, self.last_id.get(text))
    }

    /// Lends the frame at the end of the input. Its id is lent, but takes no force: the frame was
    /// not dispatched.
    pub(super) fn lend_tail<'a>(&'a self, text: &'a ByteString) -> Frame<'a> {
        let id = if self.id_changed {
            &self.id
        } else {
            &self.last_id
        };
        self.frame(text, id.get(text))
    }

    #[inline]
    fn frame<'a>(&'a self, text: &'a ByteString, id: &'a str) -> Frame<'a> {
        static NOTHING: Bytes = Bytes::new();
        let (data, buffer) = match &self.lent_data {
            LentData::None => ("", &NOTHING),
            LentData::InText(start, end) => (&text[*start..*end], text.as_bytes()),
            LentData::Own(data) => (&**data, data.as_bytes()),
        };
        Frame {
            event: match self.lent_event.get(text) {
                "" => "message",
                event => event,
            },
            id,
            retry: self.retry,
            data,
            buffer,
        }
    }

    /// Returns true if a frame is being read: it has lines other than comments.
    #[inline]
    pub(super) fn is_begun(&self) -> bool {
        !matches!(self.data, Data::None) || self.has_lines
    }

    pub(super) fn last_id<'a>(&'a self, text: &'a str) -> &'a str {
        self.last_id.get(text)
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
        // The name goes on.
        _ => (Field::Unknown, 0),
    }
}

fn check_frame(length: usize, rules: &Rules) -> Result<(), TooLarge> {
    match rules.limits.frame {
        limit if length <= limit => Ok(()),
        limit => Err(TooLarge::new("frame", limit)),
    }
}

impl Value {
    #[inline]
    fn get<'a>(&'a self, text: &'a str) -> &'a str {
        match self.in_text {
            Some((start, end)) => &text[start..end],
            None => &self.copy,
        }
    }

    #[inline]
    fn clear(&mut self) {
        self.in_text = None;
        self.copy.clear();
    }

    fn set(&mut self, value: &str) {
        self.clear();
        self.copy.push_str(value);
    }

    /// Copies the value, for the current read is done.
    fn leave(&mut self, text: &str) {
        if let Some((start, end)) = self.in_text {
            self.set(&text[start..end]);
        }
    }

    /// Moves the value; an empty one stays.
    #[inline]
    fn move_to(&mut self, other: &mut Self) {
        other.in_text = self.in_text.take();
        if other.in_text.is_none() {
            mem::swap(&mut other.copy, &mut self.copy);
            self.copy.clear();
        }
    }
}

impl Line for InText<'_> {
    fn bytes(&self) -> &[u8] {
        &self.read.as_bytes()[self.start..self.end]
    }

    fn set(&self, value: &mut Value, start: usize, _: &mut usize) {
        value.clear();
        value.in_text = Some((self.start + start, self.end));
    }

    fn data(&self, start: usize) -> Data {
        Data::InText(self.start + start, self.end)
    }

    fn read(&self) -> &str {
        self.read
    }
}

impl Line for Copied<'_> {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn set(&self, value: &mut Value, start: usize, replaced: &mut usize) {
        value.set(&decode_lossy(&self.bytes[start..], replaced));
    }

    fn data(&self, start: usize) -> Data {
        Data::Slice(self.bytes.slice(start..))
    }

    fn read(&self) -> &str {
        self.read
    }
}
