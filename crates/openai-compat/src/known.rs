//! Decoding without a parser of chunks that differ from a known one only in their text and token counts.
//!
//! [`Template`](crate::Template) explains when two chunks have the same values except for these. This
//! file ensures that the same values have the same effect. [`ChatDecode::learn`] accepts a chunk only if:
//!
//! - The parser read it as it was sent: an object in an event with the default name, with no surrogate
//!   and no number replaced. It reports no error, which depends on its values and this name only, and
//!   neither on the token counts nor on members that the protocol does not have.
//! - It has one choice, which has one text in its delta or beside it and nothing else: no finish
//!   reason, no tool call, no log probabilities, no complete message and no unknown content.
//! - Chunks are not also emitted as `Raw` events.
//!
//! Such a chunk has three effects. First, its text goes to the [`Channel`](crate::text::Channel) of its
//! choice, whose state decides what is delivered; so does the text of a known chunk. Second, its token
//! counts are compared with those that the decoder has; so are those of a known chunk. Several members
//! may have the same count, and the first that has it counts. A number from which a count was read is
//! replaced by one that is a count too, so it stays the first. Third, its id, model and timing are
//! compared with those that the decoder has. They are equal after the chunk was decoded, so repeating
//! them has no effect until another chunk changes one of them; then the known chunk is dropped.
//! Everything else that the chunk recorded, such as that its choice has a delta, stays recorded until
//! the end of the stream.

use inferstream_core::{
    protocol::{Events, Flow},
    sse::Frame,
};

use crate::{
    choice,
    decode::ChatDecode,
    text::Field,
    wire::{self, Chunk, Counts, Numbers},
};

/// The effect of the chunk in the template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The number of its choice.
    index: u32,
    /// The member that has the text.
    field: Field,
    /// Its token counts.
    counts: Option<Numbers>,
}

impl ChatDecode {
    /// Decodes a chunk that differs from an earlier one only in its text, its token counts, and the
    /// values of members that the protocol does not have; returns `None` for other chunks.
    ///
    /// The result is that of [`decode`](inferstream_core::protocol::Decode::decode), which calls this
    /// method first. Call it in a decoder that wraps this one to skip work of its own that has no
    /// effect on such chunks; call [`forget_known`](Self::forget_known) after chunks on which that
    /// work had an effect, or would have one if such a member had another value.
    pub fn decode_known(&mut self, frame: Frame<'_>, events: &mut Events) -> Option<Flow> {
        let known = self.known.as_ref()?;
        if frame.event != DEFAULT_EVENT {
            return None;
        }
        let mut counts = known.counts;
        let text = match &mut counts {
            None => self.template.text(frame.data),
            Some(counts) => self.template.text_and_counts(frame.data, counts),
        };
        let (index, text) = (known.index, (known.field, text?));
        let choice = self.choice(index);
        choice.add_only_text(index, text, frame, events);
        if let Some(counts) = counts {
            self.metadata.add_usage(wire::usage(counts), events);
        }
        Some(self.flow(counts.is_some()))
    }

    /// Makes [`decode_known`](Self::decode_known) return `None` until a suitable chunk was decoded
    /// again.
    pub fn forget_known(&mut self) {
        self.known = None;
    }

    /// Learns a chunk that was decoded without an error, if a repetition with another text has no
    /// other effect than the text and its token counts.
    pub(crate) fn learn(
        &mut self,
        frame: Frame<'_>,
        chunk: &Chunk<'_>,
        counts: Option<&Counts<'_>>,
    ) {
        let is_object = frame.data.trim_start().starts_with('{');
        let [choice] = &chunk.choices.value.0[..] else {
            return;
        };
        if self.raw || frame.event != DEFAULT_EVENT || !is_object {
            return;
        }
        let (Some(index), Some((field, text))) = (self.index(0, choice), only_text(choice)) else {
            return;
        };
        // If the text has escapes, it is not a slice of the data, and the template stays.
        let read = counts.map_or(&[][..], |counts| counts);
        let passed = chunk.passed.values();
        if self
            .template
            .learn_with_counts(frame.data, text, read, passed)
        {
            self.known = Some(Known {
                index,
                field,
                counts: counts.map(wire::numbers),
            });
        }
    }
}

/// The name of events that the stream does not name.
const DEFAULT_EVENT: &str = "message";

/// Returns the text of a choice that has nothing else, and the member that has it.
fn only_text<'a>(choice: &'a wire::Choice<'_>) -> Option<(Field, &'a str)> {
    let (part, whole) = (&choice.delta.value, &choice.message);
    let is_bare = choice.delta.present
        && !part.has_others()
        && part.refusal.some().is_none()
        && part.calls().next().is_none()
        && whole.is_empty()
        && choice.finish_reason.some().is_none()
        && choice.logprobs.text().is_none()
        && choice.reasoning_logprobs.text().is_none();
    let members = choice::reasoning(part)
        .into_iter()
        .chain(choice::content(choice, part));
    let mut texts = members.filter_map(|(field, text)| Some((field, text?)));
    let only = texts.next().filter(|_| is_bare)?;
    texts.next().is_none().then_some(only)
}
