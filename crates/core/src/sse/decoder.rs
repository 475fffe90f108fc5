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
pub struct Decoder {
    rules: Rules,
    failed: Option<TooLarge>,
    lines: Lines,
    buffers: Buffers,
    /// A line that ended a frame before it, and is still to be taken.
    again: Option<Line>,
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

impl Decoder {
    /// Creates a decoder with limits of the caller's.
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

    /// Dispatches an event of this name though it has no data.
    ///
    /// Some services end their streams by such an event, which the standard has dropped.
    #[must_use]
    pub fn end_event(mut self, name: &'static str) -> Self {
        self.rules.end_event = Some(name);
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
        self.rules.takes_errors = true;
        self
    }

    /// Returns the limits.
    pub fn limits(&self) -> Limits {
        self.rules.limits
    }

    /// Takes the stream's next bytes, cut anywhere.
    #[inline]
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed.is_none() && !bytes.is_empty() {
            self.lines.push(bytes);
        }
    }

    /// Returns the next whole frame, if there is one.
    ///
    /// # Errors
    ///
    /// A line or a frame over its limit, after all frames that were whole before it; the same again
    /// at each later call.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, TooLarge> {
        if !self.take_plain_frame() && !self.take_frame()? {
            return Ok(None);
        }
        Ok(Some(self.buffers.lend(&mut self.lines)))
    }

    /// Like [`next_frame`](Self::next_frame), but also returns reconnection times, in order.
    ///
    /// # Errors
    ///
    /// As `next_frame`.
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

    /// Returns, after the last byte, what would be a frame if the input ended in a blank line.
    ///
    /// The standard has it dropped: "if the file ends in the middle of an event … the incomplete
    /// event is not dispatched". It is for a protocol to recognise its end marker by.
    pub fn tail(&mut self) -> Option<Frame<'_>> {
        let is_frame = self.buffers.take_tail(&mut self.lines, &self.rules).ok()?;
        is_frame.then(|| self.buffers.lend_tail(&mut self.lines))
    }

    /// Returns true, after the last byte, if the input ends inside an event: a line or the beginning
    /// of one came behind the last blank line. Comments are part of no event.
    ///
    /// It is asked before [`tail`](Self::tail), which takes the beginning of the event out.
    pub fn is_cut(&self) -> bool {
        !self.lines.begun().trim_ascii().is_empty() || self.buffers.is_begun()
    }

    /// Returns in how many places of frames, their names and ids invalid UTF-8 was replaced by U+FFFD.
    pub fn replaced(&self) -> usize {
        self.buffers.replaced()
    }

    /// Returns the last event id, as of the last blank line: what a reconnection would send.
    pub fn last_event_id(&self) -> &str {
        self.buffers.last_id()
    }

    /// Returns the last reconnection time that the stream set.
    pub fn retry(&self) -> Option<Duration> {
        self.buffers.retry()
    }

    /// Forgets what was pushed: the next bytes begin another stream. The settings stay.
    pub fn reset(&mut self) {
        *self = Self {
            rules: self.rules,
            ..Self::default()
        };
    }

    /// Takes a frame of one data field, if that is what comes next: what nearly all are.
    #[inline]
    fn take_plain_frame(&mut self) -> bool {
        if self.buffers.is_begun() {
            return false;
        }
        let plain = self.lines.take_plain(self.rules.limits);
        plain.is_some_and(|plain| self.buffers.take_plain(plain))
    }

    /// Takes a frame of any lines. Returns false at the end of what was pushed.
    #[inline(never)]
    fn take_frame(&mut self) -> Result<bool, TooLarge> {
        // Most reads end where a frame ends.
        if !self.buffers.is_begun() && self.lines.release_last() {
            return Ok(false);
        }
        loop {
            match self.next_step()? {
                None => return Ok(false),
                Some(Step::Retry) => {}
                Some(Step::Frame | Step::FrameBefore) => return Ok(true),
            }
        }
    }

    /// Goes on until a line makes a step, or to the end of what was pushed.
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
            // After data it nearly always is.
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
