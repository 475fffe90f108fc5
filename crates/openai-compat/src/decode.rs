//! The decoder of chat responses: event streams, and complete responses as one document.

use std::borrow::Cow;

use bytes::Bytes;
use inferstream_client::Redact;
use inferstream_core::{
    ChatEvent, End, Error, Json, Result, Text,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};

use crate::{
    choice::{self, Choice, Failed, Piece},
    error::error_in_answer,
    known::Known,
    lenient,
    metadata::Metadata,
    numbers::null_non_finite,
    surrogates,
    template::Template,
    wire::{self, Chunk},
};

/// A decoder of chat responses: event streams, and complete responses.
///
/// It accepts chunks as services send them: no member is required, types may differ, the usage may
/// be in any chunk, and a finish reason may be repeated. A response is complete only if it has a
/// finish reason or the end marker; any other end is the error `Truncated`.
#[derive(Debug)]
// The flags are independent of each other.
#[allow(clippy::struct_excessive_bools)]
pub struct ChatDecode {
    pub(crate) provider: Cow<'static, str>,
    ends_with_usage: bool,
    /// The number of requested choices.
    n: u32,
    pub(crate) raw: bool,
    pub(crate) redact: Redact,
    /// The choices so far, in the order of their numbers.
    choices: Vec<(u32, Choice)>,
    pub(crate) metadata: Metadata,
    pub(crate) template: Template,
    /// The effect of the chunk in the template. `None` if a chunk like it may have another effect.
    pub(crate) known: Option<Known>,
    marker: bool,
    pub(crate) seen: Seen,
    /// The number of choices that were dropped because they were not requested.
    dropped: u64,
    pub(crate) is_plain_text: bool,
}

/// What the stream has contained so far.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Seen {
    #[default]
    Nothing,
    /// JSON objects, but no chunk of this protocol.
    Foreign,
    Chunks,
}

/// Why a chunk has no events.
enum ChunkError {
    /// It is not JSON of this protocol.
    NotAChunk(serde_json::Error),
    /// It reports an error, or its choices contradict the earlier ones.
    Failed(Error),
}

impl From<Error> for ChunkError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ChatDecode {
    /// Creates a decoder for the response to a request for one choice. `provider` is its name in
    /// errors.
    pub fn new(provider: impl Into<Cow<'static, str>>) -> Self {
        Self {
            provider: provider.into(),
            ends_with_usage: false,
            n: 1,
            raw: false,
            redact: Redact::default(),
            choices: Vec::new(),
            metadata: Metadata::default(),
            template: Template::default(),
            known: None,
            marker: false,
            seen: Seen::Nothing,
            dropped: 0,
            is_plain_text: false,
        }
    }

    /// Sets whether the stream ends at the chunk that has both the finish reason and the usage:
    /// false by default. See [`Dialect::ends_with_usage`](crate::Dialect::ends_with_usage).
    #[must_use]
    pub fn ends_with_usage(mut self, ends: bool) -> Self {
        self.ends_with_usage = ends;
        self
    }

    /// Sets the number of requested choices: 1 by default, with which every choice counts as that
    /// one, whatever its `index` is. With more, choices with an `index` out of range are dropped
    /// with a warning.
    #[must_use]
    pub fn choices(mut self, n: u32) -> Self {
        self.n = n;
        self
    }

    /// Sets whether each chunk is also emitted as a `Raw` event: false by default.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Returns an error with the secrets of the request removed. Use it for errors of a decoder
    /// that wraps this one.
    pub fn redacted(&self, error: Error) -> Error {
        self.redact.error(error)
    }

    /// Sets the secrets that are removed from errors.
    pub(crate) fn redact(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self
    }

    /// Emits text of the first choice that did not come in a chunk of this protocol. `text` may be
    /// a slice of `buffer`, whose memory the event then shares.
    ///
    /// It counts as the `text` of the choice, so a copy of it in a chunk is not emitted again.
    /// Returns how the stream continues.
    pub fn text(&mut self, buffer: &Bytes, text: &str, events: &mut Events) -> Flow {
        self.seen = Seen::Chunks;
        if let Some(text) = self.choice(0).add_text(text) {
            events.push(ChatEvent::text(0, Text::slice_of(buffer, &text)));
        }
        self.flow(false)
    }

    /// Sets whether the content type of the response is plain text, for the error if no event came.
    pub(crate) fn plain_text(mut self, is_plain_text: bool) -> Self {
        self.is_plain_text = is_plain_text;
        self
    }

    /// Decodes the JSON of a chunk, and returns true if it has the usage.
    fn chunk(
        &mut self,
        frame: Frame<'_>,
        json: &str,
        events: &mut Events,
    ) -> Result<bool, ChunkError> {
        // Google sends an error in an array of one.
        let json = lenient::only(json).unwrap_or(json);
        let text = surrogates::stand_in(json);
        let stood_in = matches!(text, Cow::Owned(_));
        let mut parsed = lenient::parse::<Chunk<'_>>(&text);
        let is_as_sent = parsed.is_ok() && !stood_in;
        let finite;
        if parsed.is_err() && json.starts_with('{') {
            finite = null_non_finite(&text);
            if let Some(finite) = &finite {
                parsed = lenient::parse(finite);
            }
        }
        let chunk = parsed.map_err(ChunkError::NotAChunk)?;
        if let Some(error) = self.error_in(frame.event, &chunk, &text) {
            return Err(error.into());
        }
        if self.raw {
            let finite = null_non_finite(json);
            events.push(ChatEvent::raw(Json::from_text(
                finite.as_deref().unwrap_or(json),
            )));
        }
        let failed = self.add_choices(frame, &chunk, stood_in, events)?;
        let counts = chunk.counts();
        if let Some(counts) = &counts {
            let usage = wire::usage(wire::numbers(counts));
            self.metadata.add_usage(usage, events);
        }
        if self.metadata.add(&chunk, events) {
            self.forget_known();
        }
        if chunk.choices.present || counts.is_some() {
            self.seen = Seen::Chunks;
        } else if self.seen == Seen::Nothing {
            self.seen = Seen::Foreign;
        }
        if let Some(Failed(word)) = failed {
            let word = self.redact.line(&word);
            return Err(choice::failed(&self.provider, &word).into());
        }
        if is_as_sent {
            self.learn(frame, &chunk, counts.as_ref());
        }
        Ok(counts.is_some())
    }

    /// Decodes a document, which is a chunk with the complete response.
    fn document(&mut self, document: &Text, events: &mut Events) -> Result<End> {
        let json = document.trim();
        if json.is_empty() {
            return Err(self.truncated("it is empty"));
        }
        let frame = Frame::new(json, document.buffer());
        match self.chunk(frame, json, events) {
            Ok(_) => {}
            Err(ChunkError::NotAChunk(error)) if error.is_eof() => {
                return Err(self.truncated("its JSON is truncated"));
            }
            Err(ChunkError::NotAChunk(error)) => {
                let reported = self.error_before_rest(json);
                return Err(reported.unwrap_or_else(|| self.not_a_chunk(json, &error)));
            }
            Err(ChunkError::Failed(error)) => return Err(error),
        }
        if self.choices.is_empty() || !self.is_finished() && !events.has_text() {
            let message = format!(
                "invalid response from {}: expected at least one choice",
                self.provider
            );
            return Err(Error::protocol(message));
        }
        self.close(events);
        Ok(End::FinishReason)
    }

    /// Adds the choices of a chunk, and returns the last failure that a finish reason reports.
    fn add_choices(
        &mut self,
        frame: Frame<'_>,
        chunk: &Chunk<'_>,
        stood_in: bool,
        events: &mut Events,
    ) -> Result<Option<Failed>> {
        let choices = &chunk.choices.value.0;
        let mut failed = None;
        for (place, choice) in choices.iter().enumerate() {
            let Some(index) = self.index(place, choice) else {
                self.warn_of_choice(events);
                continue;
            };
            let piece = Piece {
                index,
                frame,
                choice,
                stood_in,
            };
            failed = self.choice(index).add(&piece, events)?.or(failed);
        }
        Ok(failed)
    }

    /// Returns the state of a choice.
    pub(crate) fn choice(&mut self, index: u32) -> &mut Choice {
        let found = self
            .choices
            .binary_search_by_key(&index, |(index, _)| *index);
        let at = found.unwrap_or_else(|at| {
            // Most responses have one.
            if self.choices.is_empty() {
                self.choices.reserve_exact(1);
            }
            self.choices.insert(at, (index, Choice::default()));
            at
        });
        &mut self.choices[at].1
    }

    /// Returns the number of the requested choice that a choice belongs to, or `None` if it was not
    /// requested.
    ///
    /// If one choice was requested, all choices belong to it: some engines count chunks or tokens
    /// in `index`, or begin at 1 (microsoft/foundry-local#263), and GitHub Copilot sends the text
    /// in one choice and the tool calls in another.
    pub(crate) fn index(&self, place: usize, choice: &wire::Choice<'_>) -> Option<u32> {
        if self.n == 1 {
            return Some(0);
        }
        let index = match choice.index.0 {
            None | Some(..0.0) => u64::try_from(place).ok(),
            Some(_) => choice.index.count(),
        };
        let index = index.and_then(|index| u32::try_from(index).ok());
        index.filter(|index| *index < self.n)
    }

    fn warn_of_choice(&mut self, events: &mut Events) {
        self.dropped += 1;
        if self.dropped == 1 {
            events.warnings.push(format!(
                "{} sent more choices than the {} requested: the others were dropped",
                self.provider, self.n
            ));
        }
    }

    /// Returns true if every requested choice has its finish reason.
    fn is_finished(&self) -> bool {
        u32::try_from(self.choices.len()) == Ok(self.n)
            && self.choices.iter().all(|(_, choice)| choice.is_finished())
    }

    pub(crate) fn flow(&self, usage_came: bool) -> Flow {
        match self.is_finished() {
            true if self.ends_with_usage && usage_came => Flow::End,
            true => Flow::Settle,
            false => Flow::Continue,
        }
    }

    /// Emits what was held back until the end.
    fn close(&mut self, events: &mut Events) {
        for (index, choice) in &mut self.choices {
            choice.close(*index, events);
        }
        for (index, choice) in &mut self.choices {
            events.push(ChatEvent::finish(*index, choice.take_finish_reason()));
        }
    }

    /// Ends the response at the end marker, if a choice came before it.
    fn close_at_marker(&mut self, events: &mut Events) -> Result<End> {
        if self.choices.is_empty() {
            let message = format!(
                "invalid response from {}: the stream ended without a choice",
                self.provider
            );
            return Err(Error::protocol(message));
        }
        self.close(events);
        Ok(End::Marker)
    }

    /// Decides whether the response is complete.
    fn end(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<End> {
        if let Ending::Input(Some(frame)) = ending {
            if let Some(error) = self.error_at_end(frame) {
                return Err(error);
            }
        }
        match ending {
            Ending::Document(document) => self.document(document, events),
            Ending::Input(Some(frame)) if is_marker(frame.data.trim()) => {
                self.close_at_marker(events)
            }
            // A broken connection may have lost more events, even after a finish reason.
            Ending::Lost(error) => Err(error.clone()),
            _ if self.marker => self.close_at_marker(events),
            _ if self.is_finished() => {
                self.close(events);
                Ok(End::FinishReason)
            }
            // Half a character that is still held is dropped, because the rest of it is unknown.
            _ => Err(self.not_whole()),
        }
    }
}

impl Decode for ChatDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        if let Some(flow) = self.decode_known(frame, events) {
            return Ok(flow);
        }
        let data = frame.data.trim();
        if frame.event == "error" && !data.starts_with('{') {
            return Err(error_in_answer(&self.provider, data, None, &self.redact));
        }
        if is_keep_alive(frame.event) {
            return Ok(self.flow(false));
        }
        if is_marker(data) {
            self.marker = true;
            return Ok(Flow::End);
        }
        // Some gateways send comments (`: keep-alive`) as data.
        if data.is_empty() || data.starts_with(':') {
            return Ok(self.flow(false));
        }
        let chunk = self.chunk(frame, data, events);
        match chunk {
            Ok(usage_came) => Ok(self.flow(usage_came)),
            // The data of an event with an unknown name need not be a chunk.
            Err(ChunkError::NotAChunk(_)) if is_foreign(frame.event) => Ok(self.flow(false)),
            Err(ChunkError::NotAChunk(error)) => Err(self.not_a_chunk(data, &error)),
            Err(ChunkError::Failed(error)) => Err(error),
        }
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        Ok(Finish::Whole(self.end(ending, events)?))
    }

    fn release(&mut self, events: &mut Events) {
        for (index, choice) in &mut self.choices {
            choice.release(*index, events);
        }
    }
}

/// Returns true for the end marker, plain or as a JSON string.
fn is_marker(data: &str) -> bool {
    data.starts_with("[DONE]") || data.starts_with("\"[DONE]\"")
}

/// Returns true for the names of keep-alive events.
fn is_keep_alive(event: &str) -> bool {
    matches!(
        event,
        "ping" | "keepalive" | "keep-alive" | "keep_alive" | "heartbeat"
    )
}

/// Returns true for the name of an event that is not of this protocol.
pub(crate) fn is_foreign(event: &str) -> bool {
    !matches!(event, "message" | "error")
}
