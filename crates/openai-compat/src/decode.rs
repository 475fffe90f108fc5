//! Frames in, events out: the streaming decoder, and the one of whole documents.

use std::{borrow::Cow, collections::BTreeMap};

use inferstream_core::{
    ChatEvent, Decode, End, Ending, Error, ErrorKind, Events, Finish, FinishReason, Flow, Json,
    Result, Text, Timing, Usage,
    provider::Redact,
    sse::{DOCUMENT, Frame},
};

use crate::{
    error::error_in_answer,
    surrogates::{self, Half},
    tool_calls::ToolCalls,
    wire::{self, Chunk},
};

/// The protocol's half of an answer.
///
/// It takes chunks as services really send them: no member is required, types may be off, counts
/// may come in any chunk, a finish reason more than once.
/// It takes no answer for whole that has no finish reason and no end marker.
#[derive(Debug)]
pub struct ChatDecode {
    provider: &'static str,
    ends_with_usage: bool,
    /// How many choices were asked for.
    n: u32,
    raw: bool,
    redact: Redact,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    timing: Option<Timing>,
    marker: bool,
    seen: Seen,
}

/// What a stream has been so far.
#[derive(Debug, Default, PartialEq)]
enum Seen {
    #[default]
    Nothing,
    /// JSON, but not of this protocol.
    Foreign,
    Chunks,
}

#[derive(Debug, Default)]
struct Choice {
    text: Half,
    reasoning: Half,
    tool_calls: ToolCalls,
    finish_reason: Option<FinishReason>,
}

impl ChatDecode {
    /// Creates a decoder for the answer to a request for one choice.
    pub fn new(provider: &'static str) -> Self {
        Self {
            provider,
            ends_with_usage: false,
            n: 1,
            raw: false,
            redact: Redact::default(),
            choices: BTreeMap::new(),
            usage: None,
            timing: None,
            marker: false,
            seen: Seen::Nothing,
        }
    }

    /// Ends the stream at the chunk that has both finish reason and usage: see
    /// [`Dialect::ends_with_usage`](crate::Dialect::ends_with_usage).
    #[must_use]
    pub fn ends_with_usage(mut self, ends: bool) -> Self {
        self.ends_with_usage = ends;
        self
    }

    /// Sets how many choices were asked for: 1. Others are passed over.
    #[must_use]
    pub fn choices(mut self, n: u32) -> Self {
        self.n = n;
        self
    }

    /// Sets whether each chunk is given as a `Raw` event too: false.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Returns an error of this answer without what must not stand in it, for a decoder that stands
    /// before this one and has words of its own.
    pub fn redacted(&self, error: Error) -> Error {
        self.redact.error(error)
    }

    /// Sets what must not stand in an error's message.
    pub(crate) fn redact(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self
    }

    /// Takes a chunk's JSON; returns true if it told the usage.
    fn chunk(&mut self, frame: Frame<'_>, json: &str, events: &mut Events) -> Result<bool> {
        let text = surrogates::stand_in(json);
        let stood_in = matches!(text, Cow::Owned(_));
        let chunk = match wire::parse::<Chunk<'_>>(&text) {
            Ok(chunk) => chunk,
            Err(error) if error.is_eof() && frame.event == DOCUMENT => {
                return Err(self.truncated("the answer's JSON is cut off"));
            }
            // An event of a name that nobody here knows may hold anything.
            Err(_) if is_foreign(frame.event) => return Ok(false),
            Err(error) => return Err(self.not_a_chunk(json, &error)),
        };
        if let Some(error) = self.error_in(frame.event, &chunk, &text) {
            return Err(error);
        }
        if self.raw {
            events.push(ChatEvent::raw(Json::from_text(json)));
        }
        for (place, choice) in chunk.choices.value.0.iter().enumerate() {
            self.choice(frame, place, choice, stood_in, events)?;
        }
        if let Some(id) = chunk.id.some() {
            events.id = Some(id.to_owned());
        }
        if let Some(model) = chunk.model.some() {
            events.model = Some(model.to_owned());
        }
        let usage = chunk.usage.0.counts();
        if let Some(usage) = usage.filter(|_| usage != self.usage) {
            self.usage = Some(usage);
            events.push(ChatEvent::usage(usage));
        }
        let timing = chunk.time_info.0.times();
        if let Some(timing) = timing.filter(|_| timing != self.timing) {
            self.timing = Some(timing);
            events.push(ChatEvent::timing(timing));
        }
        if chunk.choices.present || usage.is_some() {
            self.seen = Seen::Chunks;
        } else if self.seen == Seen::Nothing {
            self.seen = Seen::Foreign;
        }
        Ok(usage.is_some())
    }

    fn choice(
        &mut self,
        frame: Frame<'_>,
        place: usize,
        choice: &wire::Choice<'_>,
        stood_in: bool,
        events: &mut Events,
    ) -> Result<()> {
        let index = match choice.index.0 {
            None | Some(..0.0) => u32::try_from(place).ok(),
            Some(_) => choice
                .index
                .count()
                .and_then(|index| u32::try_from(index).ok()),
        };
        let Some(index) = index.filter(|index| *index < self.n) else {
            return Ok(());
        };
        let state = self.choices.entry(index).or_default();
        // A last chunk may repeat the whole message beside its delta.
        let message = if choice.delta.present {
            &choice.delta.value
        } else {
            &choice.message
        };
        if let Some(piece) = message
            .reasoning
            .some()
            .or(message.reasoning_content.some())
        {
            if let Some(text) = piece_of(frame, &state.reasoning.mend(piece, stood_in)) {
                events.push(ChatEvent::reasoning(index, text));
            }
        }
        for piece in [&message.content.0, &message.refusal, &choice.text] {
            let Some(piece) = piece.some() else { continue };
            if let Some(text) = piece_of(frame, &state.text.mend(piece, stood_in)) {
                events.push(ChatEvent::text(index, text));
            }
        }
        for piece in message.tool_calls.0.iter().enumerate() {
            state.tool_calls.add(index, piece, stood_in, events)?;
        }
        if let Some(logprobs) = choice.logprobs.text() {
            events.push(ChatEvent::logprobs(index, Json::from_text(logprobs)));
        }
        if let Some(logprobs) = choice.reasoning_logprobs.text() {
            let logprobs = Json::from_text(logprobs);
            events.push(ChatEvent::reasoning_logprobs(index, logprobs));
        }
        if let Some(reason) = choice.finish_reason.some() {
            state.finish_reason = Some(FinishReason::from(reason));
        }
        Ok(())
    }

    /// Returns the error that a chunk is, if it is one.
    fn error_in(&self, event: &str, chunk: &Chunk<'_>, json: &str) -> Option<Error> {
        let told = |raw: &wire::Raw<'_>| {
            raw.text()
                .is_some_and(|text| !matches!(text, "false" | "\"\"" | "{}" | "[]" | "0"))
        };
        let status = chunk.status_code.count();
        let of_choice = chunk
            .choices
            .value
            .0
            .iter()
            .find(|choice| told(&choice.error));
        if let Some(text) = of_choice.and_then(|choice| choice.error.text()) {
            return Some(error_in_answer(self.provider, text, status, &self.redact));
        }
        let says_so = chunk
            .message
            .text()
            .is_some_and(|text| text.starts_with('"'));
        let flat = !chunk.choices.present
            && !is_foreign(event)
            && (told(&chunk.errors)
                || told(&chunk.detail)
                || says_so && (chunk.code.some().is_some() || is_flat(json)));
        let error =
            event == "error" || told(&chunk.error) || chunk.error_message.some().is_some() || flat;
        error.then(|| error_in_answer(self.provider, json, status, &self.redact))
    }

    fn not_a_chunk(&self, json: &str, error: &serde_json::Error) -> Error {
        let what = match json.trim_start().as_bytes().first() {
            Some(b'<') => "a page of HTML",
            _ => "no JSON of this protocol",
        };
        Error::protocol(format!(
            "{} sent {what} where a chunk should be",
            self.provider
        ))
        .with_source(JsonError {
            line: error.line(),
            column: error.column(),
        })
    }

    fn truncated(&self, how: &str) -> Error {
        Error::new(
            ErrorKind::Truncated,
            format!("{}'s answer is not whole: {how}", self.provider),
        )
    }

    /// Returns true if every choice that was asked for has its finish reason.
    fn is_finished(&self) -> bool {
        u32::try_from(self.choices.len()) == Ok(self.n)
            && self
                .choices
                .values()
                .all(|choice| choice.finish_reason.is_some())
    }

    fn flow(&self, usage_came: bool) -> Flow {
        match self.is_finished() {
            true if self.ends_with_usage && usage_came => Flow::End,
            true => Flow::Settle,
            false => Flow::Continue,
        }
    }

    /// Says what is wrong with a stream that ended too early.
    fn not_whole(&self) -> Error {
        if self.seen == Seen::Foreign {
            let message = format!("{} sent a stream of another protocol", self.provider);
            return Error::protocol(message);
        }
        self.truncated("the stream ended without a finish reason")
    }

    /// Gives what waited for the end.
    fn close(&mut self, events: &mut Events) {
        for (index, choice) in &mut self.choices {
            if let Some(text) = choice.reasoning.finish() {
                events.push(ChatEvent::reasoning(*index, text));
            }
            if let Some(text) = choice.text.finish() {
                events.push(ChatEvent::text(*index, text));
            }
            choice.tool_calls.finish(*index, events);
        }
        for (index, choice) in &mut self.choices {
            let reason = choice.finish_reason.take().unwrap_or(FinishReason::Unknown);
            events.push(ChatEvent::finish(*index, reason));
        }
    }

    /// Ends the answer at its marker, if anything of this protocol came before it.
    fn close_at_marker(&mut self, events: &mut Events) -> Result<End> {
        if self.choices.is_empty() {
            let message = format!("{} ended a stream that had no choices", self.provider);
            return Err(Error::protocol(message));
        }
        self.close(events);
        Ok(End::Marker)
    }

    /// Decides whether the answer was whole.
    fn end(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<End> {
        match ending {
            Ending::Input(Some(frame)) if frame.event == DOCUMENT => {
                let document = frame.data.trim();
                if document.is_empty() {
                    return Err(self.truncated("it is empty"));
                }
                self.chunk(frame, document, events)?;
                if self.choices.is_empty() || !self.is_finished() && !events.has_text() {
                    let message = format!("{}'s answer has no choices", self.provider);
                    return Err(Error::protocol(message));
                }
                self.close(events);
                Ok(End::FinishReason)
            }
            Ending::Input(Some(frame)) if is_marker(frame.data.trim()) => {
                self.close_at_marker(events)
            }
            // A connection that breaks may have lost the rest, whatever had come before.
            Ending::Lost(error) => Err(error.clone()),
            _ if self.marker => self.close_at_marker(events),
            _ if self.is_finished() => {
                self.close(events);
                Ok(End::FinishReason)
            }
            // A half of a character that is still held stays out: nobody knows what it would have been.
            _ => Err(self.not_whole()),
        }
    }
}

impl Decode for ChatDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let data = frame.data.trim();
        if frame.event == "error" && !data.starts_with('{') {
            return Err(error_in_answer(self.provider, data, None, &self.redact));
        }
        if is_keep_alive(frame.event) {
            return Ok(self.flow(false));
        }
        if is_marker(data) {
            self.marker = true;
            return Ok(Flow::End);
        }
        // Some gateways send their comments as data.
        if data.is_empty() || data.starts_with(':') {
            return Ok(self.flow(false));
        }
        let usage_came = self.chunk(frame, data, events)?;
        Ok(self.flow(usage_came))
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        self.end(ending, events).map(Finish::Whole)
    }
}

/// Returns a piece of text as a slice of its frame, if anything is left of it.
fn piece_of(frame: Frame<'_>, piece: &str) -> Option<Text> {
    (!piece.is_empty()).then(|| Text::slice_of(frame.buffer, piece))
}

/// The end marker, as it is and as a JSON string.
fn is_marker(data: &str) -> bool {
    data.starts_with("[DONE]") || data.starts_with("\"[DONE]\"")
}

/// Returns true for the events by which gateways show that they are alive.
fn is_keep_alive(event: &str) -> bool {
    matches!(
        event,
        "ping" | "keepalive" | "keep-alive" | "keep_alive" | "heartbeat"
    )
}

/// Returns true for an event that has a name, and not one of this protocol's.
fn is_foreign(event: &str) -> bool {
    !matches!(event, "message" | "error" | DOCUMENT)
}

/// Returns true if an object with a `message` has a `type` too: an error without its envelope.
fn is_flat(json: &str) -> bool {
    wire::parse::<wire::ErrorObject<'_>>(json).is_ok_and(|error| error.kind.some().is_some())
}

/// Where JSON is broken; not what stands there.
#[derive(Debug)]
struct JsonError {
    line: usize,
    column: usize,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the JSON breaks at line {}, column {}",
            self.line, self.column
        )
    }
}

impl std::error::Error for JsonError {}
