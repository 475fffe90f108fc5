//! An incremental decoder for server-sent events. No I/O.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::{
    Frame, Framer, Limits, TooLarge,
    buffers::{Buffers, Rules, Step},
    lines::{Line, Lines, Over},
};

/// A decoder of event streams.
///
/// The same bytes give the same frames, however they are split into reads.
/// Decoding cannot fail because of the content: the standard defines the meaning of each malformed line,
/// and invalid UTF-8 becomes U+FFFD, which [`replaced`](Self::replaced) counts.
/// The time is linear in the input, and the memory is bounded by [`Limits`].
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
pub struct Decoder {
    rules: Rules,
    failed: Option<TooLarge>,
    lines: Lines,
    buffers: Buffers,
    /// A line that ended the frame before it, and must be processed again.
    again: Option<Line>,
}

/// A frame, or a reconnection time that the stream sets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// The time to wait before a reconnection.
    Retry(Duration),
}

impl Decoder {
    /// Creates a decoder with custom limits.
    pub fn new(limits: Limits) -> Self {
        let mut decoder = Self::default();
        decoder.rules.limits = limits;
        decoder
    }

    /// Treats a line that consists of this text as a `data` field with this text.
    ///
    /// Some services end their streams with a bare `[DONE]`, which the standard ignores.
    #[must_use]
    pub fn marker(mut self, marker: &'static str) -> Self {
        self.rules.marker = Some(marker);
        self
    }

    /// Dispatches an event with this name even if it has no data.
    ///
    /// Some services end their streams with such an event, which the standard drops.
    #[must_use]
    pub fn end_event(mut self, name: &'static str) -> Self {
        self.rules.end_event = Some(name);
        self
    }

    /// Accepts errors that services send outside a `data` field, which the standard ignores.
    ///
    /// A field `error`, as llama.cpp's server sends it (ggml-org/llama.cpp#16109), becomes a frame
    /// with the event `error`. A line that begins with `{` or `[{` becomes the data of a frame, with
    /// the lines up to the next blank line or field. Both are separate frames, with or without blank
    /// lines around them.
    #[must_use]
    pub fn error_lines(mut self) -> Self {
        self.rules.takes_errors = true;
        self
    }

    /// Returns the limits.
    pub fn limits(&self) -> Limits {
        self.rules.limits
    }

    /// Appends the next bytes of the stream, which may be split anywhere.
    #[inline]
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_none() && !bytes.is_empty() {
            self.lines.push(bytes);
        }
    }

    /// Returns the next complete frame, if there is one.
    ///
    /// # Errors
    ///
    /// `TooLarge` if a line or a frame exceeds its limit, after all frames that were complete before it.
    /// Each later call returns the same error.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        if !self.take_plain_frame() && (self.take_part() || !self.take_frame()?) {
            return Ok(None);
        }
        Ok(Some(self.buffers.lend(&mut self.lines)))
    }

    /// Like [`next_frame`](Self::next_frame), but also returns reconnection times, in order.
    ///
    /// # Errors
    ///
    /// The same as `next_frame`.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, TooLarge> {
        if self.take_plain_frame() {
            return Ok(Some(Item::Frame(self.buffers.lend(&mut self.lines))));
        }
        Ok(match self.next_step()? {
            None => None,
            Some(Step::Retry) => self.retry().map(Item::Retry),
            Some(Step::Frame | Step::FrameBefore) => {
                Some(Item::Frame(self.buffers.lend(&mut self.lines)))
            }
        })
    }

    /// Returns, after the last byte, what would be a frame if the input ended with a blank line. Call it
    /// until it returns `None`: with [`error_lines`](Self::error_lines), the last line may begin another
    /// frame, and the one before is complete.
    ///
    /// The standard drops it: "if the file ends in the middle of an event … the incomplete event is not
    /// dispatched". Use it only to recognize an end marker, because its data may be incomplete.
    pub fn tail(&mut self) -> Option<Frame<'_>> {
        let last = self.again.take().or_else(|| self.lines.end());
        self.buffers.take_back(&mut self.lines);
        let step = self.buffers.take_tail(last, &mut self.lines, &self.rules);
        let step = step.ok()??;
        if let Step::FrameBefore = step {
            self.again = last;
        }
        Some(self.buffers.lend_tail(&mut self.lines))
    }

    /// Returns true, after the last byte, if the input ends inside an event: if a line, or the beginning
    /// of one, follows the last blank line. Comments do not count.
    ///
    /// Call it before [`tail`](Self::tail), which removes the beginning of the event.
    pub fn is_cut(&self) -> bool {
        !self.lines.begun().trim_ascii().is_empty() || self.buffers.is_begun()
    }

    /// Returns the number of places in frames, names and ids in which U+FFFD replaced invalid UTF-8.
    pub fn replaced(&self) -> usize {
        self.buffers.replaced()
    }

    /// Returns the last event id as of the last blank line, which a reconnection would send.
    pub fn last_event_id(&self) -> &str {
        self.buffers.last_id()
    }

    /// Returns the last reconnection time that the stream set.
    pub fn retry(&self) -> Option<Duration> {
        self.buffers.retry()
    }

    /// Drops what was pushed: the next bytes begin another stream. The settings are kept.
    pub fn reset(&mut self) {
        *self = Self {
            rules: self.rules,
            ..Self::default()
        };
    }

    /// Takes a frame of one data field, if it is next. Nearly all frames have this form.
    #[inline]
    fn take_plain_frame(&mut self) -> bool {
        if self.buffers.is_begun() {
            return false;
        }
        let plain = self.lines.take_plain(self.rules.limits);
        plain.is_some_and(|plain| self.buffers.take_plain(plain, &mut self.lines))
    }

    /// Takes the rest of the reads, if no line ends in it. Most reads end where a frame ends, or inside a
    /// line.
    #[inline]
    fn take_part(&mut self) -> bool {
        if self.lines.is_in_line() {
            return self.continue_line();
        }
        !self.buffers.is_begun() && self.lines.release_last()
    }

    /// Continues a line that an earlier read began. Returns true if no read contains its end.
    #[inline(never)]
    fn continue_line(&mut self) -> bool {
        match self.lines.continue_line(self.rules.limits.line) {
            Ok(true) => self.again = Some(Line::Begun),
            Ok(false) => return !self.lines.next_read(),
            // The next step returns the error.
            Err(over) => _ = self.fail(over),
        }
        false
    }

    /// Takes a frame of any form. Returns false at the end of the pushed bytes.
    #[inline(never)]
    fn take_frame(&mut self) -> Result<bool, TooLarge> {
        loop {
            match self.next_step()? {
                None => return Ok(false),
                Some(Step::Retry) => {}
                Some(Step::Frame | Step::FrameBefore) => return Ok(true),
            }
        }
    }

    /// Processes lines until one has an effect, or until the end of the pushed bytes.
    #[inline]
    fn next_step(&mut self) -> Result<Option<Step>, TooLarge> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.buffers.take_back(&mut self.lines);
        self.take_lines().map_err(|over| self.fail(over))
    }

    #[inline]
    fn take_lines(&mut self) -> Result<Option<Step>, Over> {
        let limit = self.rules.limits.line;
        loop {
            let line = match self.again.take() {
                None => self.lines.next_line(limit)?,
                again => again,
            };
            let Some(line) = line else {
                self.buffers.leave(&self.lines);
                if !self.lines.next_read() {
                    return Ok(None);
                }
                continue;
            };
            let mut step = self.buffers.take_line(line, &mut self.lines, &self.rules)?;
            if let Some(Step::FrameBefore) = step {
                self.again = Some(line);
            // A blank line nearly always follows data.
            } else if step.is_none() && self.lines.passes_blank_line() {
                step = self.buffers.dispatch(&self.rules);
            }
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    #[cold]
    fn fail(&mut self, over: Over) -> TooLarge {
        let error = match over {
            Over::Frame => TooLarge::new("frame", self.rules.limits.frame),
            Over::Line => TooLarge::new("line", self.rules.limits.line),
        };
        self.buffers.clear_data();
        self.lines.clear();
        self.failed = Some(error);
        error
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
            .field("limits", &self.rules.limits)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}
