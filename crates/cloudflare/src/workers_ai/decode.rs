//! Frames of either path in, events out.

use bytes::Bytes;
use inferstream_core::{
    ChatEvent, ChatRequest, Error, FinishReason, Json, Result, Text, Usage,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};
use inferstream_openai_compat::{ChatDecode, null_non_finite};

use super::{
    error::refine_inside,
    responses,
    wire::{Calls, Chunk, not_a_chunk},
};

/// The token limit of a request that states none: the service's own, 256, ends most responses in the
/// middle and does not say so.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 2048;

/// The decoder of what Workers AI streams: chunks of its own, chunks of the protocol, and both.
///
/// A chunk of the protocol has a usage that counts that chunk alone; the last chunk of the service's
/// own has the sum, and it alone is given. Nothing is ever added up.
#[derive(Debug)]
pub(super) struct WorkersAiDecode {
    chat: ChatDecode,
    raw: bool,
    max_tokens: u64,
    /// The reason was the word `unknown`.
    is_unknown: bool,
    /// A text of the service's own has had half a character.
    has_halves: bool,
    calls: Calls,
    usage: Option<Usage>,
    /// A usage of the protocol's, which holds where no sum comes.
    other_usage: Option<Usage>,
}

impl WorkersAiDecode {
    pub(super) fn new(chat: ChatDecode, request: &ChatRequest) -> Self {
        Self {
            chat: chat.raw(false),
            raw: request.raw,
            max_tokens: limit(request),
            is_unknown: false,
            has_halves: false,
            calls: Calls::default(),
            usage: None,
            other_usage: None,
        }
    }

    /// Feeds the protocol's decoder, and takes its events but for the usage.
    fn feed(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let mut own = Events::default();
        let flow = self.chat.decode(frame, &mut own);
        self.take(own, events);
        flow.map_err(|error| self.refined(error, frame.data))
    }

    fn take(&mut self, mut own: Events, events: &mut Events) {
        events.take_notes(&mut own);
        while let Some(event) = own.pop() {
            match event {
                ChatEvent::Usage { .. } => {}
                ChatEvent::Finish { choice, reason, .. } => {
                    let reason = self.reason(reason);
                    if let (None, Some(usage)) = (self.usage, self.other_usage) {
                        events.push(ChatEvent::usage(usage));
                    }
                    events.push(ChatEvent::finish(choice, reason));
                }
                event => events.push(event),
            }
        }
    }

    /// Says by the counts why an answer ended that does not say so itself.
    fn reason(&self, reason: FinishReason) -> FinishReason {
        let tokens = self.usage.and_then(|usage| usage.output_tokens);
        match reason {
            FinishReason::Unknown if !self.is_unknown => match tokens {
                Some(tokens) if self.max_tokens <= tokens => FinishReason::Length,
                // The marker without a reason is how the service's own streams end.
                _ => FinishReason::Stop,
            },
            reason => reason,
        }
    }

    /// Takes what of a chunk is of the service's own form.
    fn native(&mut self, frame: Frame<'_>, chunk: &Chunk<'_>, events: &mut Events) -> Result<Flow> {
        if self.has_halves {
            // The protocol's decoder mends them, and keeps the order.
            self.feed(Frame::new(&chunk.text_chunk(), &Bytes::new()), events)?;
        } else {
            let text = chunk.text().map_err(|_| not_a_chunk())?;
            self.chat.text(frame.buffer, &text, events);
        }
        self.sum(chunk, events);
        // The rest, and that there is an answer at all, is the protocol's to know.
        let json = chunk.chunk(&mut self.calls)?;
        self.feed(Frame::new(&json, &Bytes::new()), events)
    }

    /// Gives the usage of a chunk of the service's own: the sum.
    fn sum(&mut self, chunk: &Chunk<'_>, events: &mut Events) {
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage);
            events.push(ChatEvent::usage(usage));
        }
    }

    /// Takes a document: an envelope around an answer of either form, or an answer alone.
    fn document(&mut self, document: &Text, events: &mut Events) -> Result<Finish> {
        let text = document.trim();
        let envelope = Chunk::read(text).unwrap_or_default();
        if envelope.has_failed() {
            return Err(self.failed(text));
        }
        let inner = envelope.inner(text);
        let Some(chunk) = Chunk::read(inner) else {
            // It may be cut off, which the protocol's decoder can tell.
            return self.finish_document(&Text::slice_of(document.buffer(), inner), events);
        };
        if chunk.has_failed() {
            return Err(self.failed(inner));
        }
        let usage = chunk.usage();
        self.sum(&chunk, events);
        if chunk.is_responses_object() {
            let completion = responses::completion(inner)?;
            return self.finish_document(&completion.into(), events);
        }
        if chunk.is_native() && !chunk.has_choices() {
            let tokens = usage.and_then(|usage| usage.output_tokens);
            let is_cut = tokens.is_some_and(|tokens| self.max_tokens <= tokens);
            let reason = if is_cut { "length" } else { "stop" };
            let completion = chunk.completion(reason)?;
            return self.finish_document(&completion.into(), events);
        }
        if chunk.has_own_calls() && !chunk.has_chosen_calls() {
            // The choices say nothing of them, so nothing says which of the two is the response.
            return Err(not_a_chunk());
        }
        let merged = chunk.with_text_in_choices(inner);
        let document = match merged {
            Some(merged) => merged.into(),
            None => Text::slice_of(document.buffer(), inner),
        };
        self.finish_document(&document, events)
    }

    fn finish_document(&mut self, document: &Text, events: &mut Events) -> Result<Finish> {
        let mut own = Events::default();
        let finish = self.chat.finish(Ending::Document(document), &mut own);
        self.take(own, events);
        finish.map_err(|error| self.refined(error, document))
    }

    fn refined(&self, error: Error, json: &str) -> Error {
        self.chat.redacted(refine_inside(error, json))
    }

    /// Makes the error of an envelope without an answer.
    fn failed(&mut self, text: &str) -> Error {
        let buffer = Bytes::new();
        let mut frame = Frame::new(text, &buffer);
        frame.event = "error";
        let error = match self.chat.decode(frame, &mut Events::default()) {
            Err(error) => error,
            Ok(_) => not_a_chunk(),
        };
        self.refined(error, text)
    }
}

impl Decode for WorkersAiDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let data = frame.data.trim();
        if !data.starts_with('{') {
            return self.feed(frame, events);
        }
        let finite = null_non_finite(data);
        let data = finite.as_deref().unwrap_or(data);
        if self.raw {
            events.push(ChatEvent::raw(Json::from_text(data)));
        }
        let Some(chunk) = Chunk::read(data) else {
            return Err(not_a_chunk());
        };
        if chunk.has_failed() {
            return Err(self.failed(data));
        }
        if chunk.is_envelope() {
            return Err(not_a_chunk());
        }
        if data.contains("\"unknown\"") {
            self.is_unknown |= chunk.is_of_unknown_reason();
        }
        self.has_halves |= data.contains("\\ud") || data.contains("\\uD");
        let mut frame = frame;
        frame.data = data;
        let merged;
        if chunk.is_native() && frame.event == "message" {
            if !chunk.has_choices() {
                return self.native(frame, &chunk, events);
            }
            // Both forms in one chunk: the text is the same (cloudflare/ai#615).
            self.sum(&chunk, events);
            if !chunk.has_chosen_calls() {
                let json = chunk.chunk(&mut self.calls)?;
                self.feed(Frame::new(&json, &Bytes::new()), events)?;
            }
            merged = chunk.with_text_in_choices(data);
            frame.data = merged.as_deref().unwrap_or(data);
        } else if !chunk.has_choices() && !chunk.has_empty_choices() {
            // A sum that stands alone.
            self.sum(&chunk, events);
        }
        if chunk.has_chosen_calls() {
            self.calls.note(None)?;
        }
        // Heart-beats count nothing of the prompt; a last chunk with the sum does.
        if chunk.has_empty_choices() {
            let usage = chunk.usage();
            let is_sum = |usage: &Usage| usage.input_tokens.is_some_and(|tokens| 0 < tokens);
            self.other_usage = usage.filter(is_sum).or(self.other_usage);
        }
        let flow = self.feed(frame, events)?;
        match chunk.reason_beside() {
            None => Ok(flow),
            Some(json) => self.feed(Frame::new(&json, &Bytes::new()), events),
        }
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        if let Ending::Document(document) = ending {
            if document.trim_start().starts_with('{') {
                if self.raw {
                    events.push(ChatEvent::raw(Json::from_text(document.trim())));
                }
                return self.document(document, events);
            }
        }
        let mut own = Events::default();
        let finish = self.chat.finish(ending, &mut own);
        self.take(own, events);
        match ending {
            Ending::Document(document) => finish.map_err(|error| self.refined(error, document)),
            Ending::Input(Some(tail)) => finish.map_err(|error| self.refined(error, tail.data)),
            _ => finish,
        }
    }
}

/// Returns the limit of tokens that the service was told.
fn limit(request: &ChatRequest) -> u64 {
    let names = ["max_tokens", "max_completion_tokens"];
    let extra = request.extra.iter().rev();
    let extra = extra
        .filter(|(name, _)| names.contains(&name.as_str()))
        .find_map(|(_, value)| value.as_str().trim().parse().ok());
    extra.or(request.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS)
}
