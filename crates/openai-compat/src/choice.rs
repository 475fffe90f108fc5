//! The assembly of one choice of a response from chunks.

use std::borrow::Cow;

use inferstream_core::{
    ChatEvent, Error, ErrorKind, FinishReason, Json, Repeat, Result, Text, protocol::Events,
    sse::Frame,
};

use crate::{
    finish_reason,
    text::{Channel, Differs, Field},
    tool_calls::ToolCalls,
    wire,
};

/// The state of a choice.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    content: Channel,
    reasoning: Channel,
    tool_calls: ToolCalls,
    finish_reason: Option<FinishReason>,
    /// A delta brought a part of the choice, so a `message` after it repeats all of it.
    has_deltas: bool,
    has_logprobs: bool,
}

/// The part of a choice in one chunk.
pub(crate) struct Piece<'a> {
    /// The number of the choice in events.
    pub(crate) index: u32,
    pub(crate) frame: Frame<'a>,
    pub(crate) choice: &'a wire::Choice<'a>,
    /// The chunk had stand-ins for surrogates.
    pub(crate) stood_in: bool,
}

/// A finish reason that reports a failure.
pub(crate) struct Failed(pub(crate) String);

impl Choice {
    /// Adds a part, and returns the failure that its finish reason reports, if any.
    pub(crate) fn add(&mut self, piece: &Piece<'_>, events: &mut Events) -> Result<Option<Failed>> {
        let choice = piece.choice;
        // Some services send each part of a stream as `message` instead of `delta`.
        let has_delta = choice.delta.present;
        let is_whole = !has_delta && self.has_deltas && choice.message.says_something();
        let part = if has_delta {
            &choice.delta.value
        } else {
            &choice.message
        };
        if !is_whole {
            self.add_part(piece, part, events)?;
        }
        if is_whole || has_delta && !choice.message.is_empty() {
            self.add_whole(piece, part, events)?;
        }
        self.has_deltas |= has_delta && part.says_something();
        if !is_whole || !self.has_logprobs {
            self.add_logprobs(piece, events);
        }
        let Some(word) = choice.finish_reason.some() else {
            return Ok(None);
        };
        if finish_reason::is_failure(word) {
            return Ok(Some(Failed(word.to_owned())));
        }
        if let Some(reason) = finish_reason::read(word) {
            // The last reason counts, except for a `stop` after tool calls: NVIDIA Dynamo ends a
            // call with both (ai-dynamo/dynamo#4153), and so do two choices that are one response.
            let is_called = self.finish_reason == Some(FinishReason::ToolCalls);
            if !(reason == FinishReason::Stop && is_called) {
                self.finish_reason = Some(reason);
            }
            self.reasoning.set_finished();
            self.content.set_finished();
        }
        Ok(None)
    }

    /// Adds the next part of the choice.
    fn add_part(
        &mut self,
        piece: &Piece<'_>,
        part: &wire::Message<'_>,
        events: &mut Events,
    ) -> Result<()> {
        let index = piece.index;
        if let Some(text) = self.reasoning.take(&reasoning(part), piece.stood_in) {
            events.push(ChatEvent::reasoning(index, slice(piece.frame, &text)));
        }
        let said = self
            .content
            .take(&content(piece.choice, part), piece.stood_in);
        // A refusal is delivered as text, unless it repeats the content of the same chunk.
        let refusal = part.refusal.some();
        let refusal = refusal.filter(|refusal| said.as_deref() != Some(refusal));
        let refusal = refusal.and_then(|text| self.content.append(text, piece.stood_in));
        for text in [said, refusal].into_iter().flatten() {
            events.push(ChatEvent::text(index, slice(piece.frame, &text)));
        }
        for call in part.calls() {
            self.tool_calls.add(index, call, piece.stood_in, events)?;
        }
        part.note_others(events);
        Ok(())
    }

    /// Adds from a complete message what the deltas did not bring.
    fn add_whole(
        &mut self,
        piece: &Piece<'_>,
        part: &wire::Message<'_>,
        events: &mut Events,
    ) -> Result<()> {
        let (index, whole) = (piece.index, &piece.choice.message);
        // Foundry Local sends the part of each delta as a message too
        // (microsoft/foundry-local#263). Such a message is not the complete text.
        let own = reasoning(part).into_iter().find_map(|(_, text)| text);
        let new = reasoning(whole).into_iter().find_map(|(_, text)| text);
        let is_copy = piece.choice.delta.present && own == new;
        if let Some(text) = new.filter(|_| !is_copy) {
            match self.reasoning.rest(text, piece.stood_in) {
                Ok(Some(text)) => {
                    events.push(ChatEvent::reasoning(index, slice(piece.frame, &text)));
                }
                Ok(None) => {}
                Err(Differs) => differs("reasoning", events),
            }
        }
        let new = whole.content.text.some().or(whole.refusal.some());
        let is_copy = piece.choice.delta.present && part.content.text.some() == new;
        if let Some(text) = new.filter(|_| !is_copy) {
            match self.content.rest(text, piece.stood_in) {
                Ok(Some(text)) => {
                    events.push(ChatEvent::text(index, slice(piece.frame, &text)));
                }
                Ok(None) => {}
                Err(Differs) => differs("text", events),
            }
        }
        for call in whole.calls() {
            self.tool_calls
                .add_whole(index, call, piece.stood_in, events)?;
        }
        whole.note_others(events);
        Ok(())
    }

    fn add_logprobs(&mut self, piece: &Piece<'_>, events: &mut Events) {
        if let Some(logprobs) = piece.choice.logprobs.text() {
            self.has_logprobs = true;
            let logprobs = Json::from_text(logprobs);
            events.push(ChatEvent::logprobs(piece.index, logprobs));
        }
        if let Some(logprobs) = piece.choice.reasoning_logprobs.text() {
            self.has_logprobs = true;
            let logprobs = Json::from_text(logprobs);
            events.push(ChatEvent::reasoning_logprobs(piece.index, logprobs));
        }
    }

    /// Adds the text of a chunk that has nothing else.
    pub(crate) fn add_only_text(
        &mut self,
        index: u32,
        (field, text): (Field, &str),
        frame: Frame<'_>,
        events: &mut Events,
    ) {
        let copies = [(field, Some(text))];
        match field {
            Field::Content | Field::Text => {
                if let Some(text) = self.content.take(&copies, false) {
                    events.push(ChatEvent::text(index, slice(frame, &text)));
                }
            }
            _ => {
                if let Some(text) = self.reasoning.take(&copies, false) {
                    events.push(ChatEvent::reasoning(index, slice(frame, &text)));
                }
            }
        }
    }

    /// Adds text that came outside of a choice, and returns what to deliver of it.
    pub(crate) fn add_text<'a>(&mut self, text: &'a str) -> Option<Cow<'a, str>> {
        let text = Some(text).filter(|text| !text.is_empty());
        self.content.take(&[(Field::Text, text)], false)
    }

    /// Returns true if the choice has a finish reason.
    pub(crate) fn is_finished(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Emits what was held back until the end.
    pub(crate) fn close(&mut self, index: u32, events: &mut Events) {
        if let Some(text) = self.reasoning.finish() {
            events.push(ChatEvent::reasoning(index, text));
        }
        if let Some(text) = self.content.finish() {
            events.push(ChatEvent::text(index, text));
        }
        for warning in [
            self.reasoning.warning("reasoning"),
            self.content.warning("text"),
        ] {
            events.warnings.extend(warning);
        }
        self.tool_calls.finish(index, events);
    }

    /// Emits the held-back text when an error ends the response. Tool calls stay incomplete.
    pub(crate) fn release(&mut self, index: u32, events: &mut Events) {
        if let Some(text) = self.reasoning.release() {
            events.push(ChatEvent::reasoning(index, text));
        }
        if let Some(text) = self.content.release() {
            events.push(ChatEvent::text(index, text));
        }
    }

    /// Takes the finish reason.
    pub(crate) fn take_finish_reason(&mut self) -> FinishReason {
        self.finish_reason.take().unwrap_or(FinishReason::Unknown)
    }
}

/// Creates the error of a choice whose finish reason reports a failure.
pub(crate) fn failed(provider: &str, word: &str) -> Error {
    let message = format!("{provider} failed: the response ended with the finish reason `{word}`");
    Error::new(ErrorKind::Provider, message)
        .with_code(word)
        .with_repeat(Repeat::Ambiguous)
}

/// Returns the members that may hold a message's reasoning.
///
/// Cerebras, Groq and OpenRouter send `reasoning`, DeepSeek and vLLM `reasoning_content`, Copilot
/// `reasoning_text`, Ollama `thinking`; OpenRouter's `reasoning_details` repeat `reasoning`;
/// Mistral sends parts of the content of the type `thinking`.
pub(crate) fn reasoning<'a>(message: &'a wire::Message<'_>) -> [(Field, Option<&'a str>); 6] {
    [
        (Field::Reasoning, message.reasoning.some()),
        (Field::ReasoningContent, message.reasoning_content.some()),
        (Field::ReasoningText, message.reasoning_text.some()),
        (Field::Thinking, message.thinking.some()),
        (Field::ReasoningDetails, message.reasoning_details.text()),
        (Field::ThinkingParts, message.content.reasoning()),
    ]
}

/// Returns the members that may hold the content of a choice, whose delta or message is `part`.
pub(crate) fn content<'a>(
    choice: &'a wire::Choice<'_>,
    part: &'a wire::Message<'_>,
) -> [(Field, Option<&'a str>); 2] {
    [
        (Field::Content, part.content.text.some()),
        (Field::Text, choice.text.some()),
    ]
}

/// Returns a text that shares the memory of its frame, if it borrows from it, and a copy otherwise.
fn slice(frame: Frame<'_>, text: &str) -> Text {
    Text::slice_of(frame.buffer, text)
}

fn differs(what: &str, events: &mut Events) {
    events.warnings.push(format!(
        "the last message repeated the {what} of the response in another wording: the streamed {what} \
         was kept"
    ));
}
