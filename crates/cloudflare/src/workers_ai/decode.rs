//! The decoder for streams and documents of Workers AI.

use bytes::Bytes;
use inferstream_core::{
    ChatEvent, ChatRequest, Error, FinishReason, Json, Result, Text, Usage,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};
use inferstream_openai_compat::{ChatDecode, Template, null_non_finite};

use super::{
    error::refine_inside,
    responses,
    wire::{Calls, Chunk, not_a_chunk},
};

/// The token limit that is sent if the request sets none. The service's own default, 256, ends most
/// responses in the middle without reporting it.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 2048;

/// Decodes the chunks of Workers AI, which come in the service's own format ("native"), in the
/// OpenAI-compatible one, or in both at once.
///
/// A compatible chunk carries the usage of that chunk only, and the last native chunk carries the
/// total. Only the total is reported; nothing is added up.
#[derive(Debug)]
pub(super) struct WorkersAiDecode {
    chat: ChatDecode,
    raw: bool,
    max_tokens: u64,
    /// The finish reason was literally `unknown`.
    is_unknown: bool,
    /// A native text contained half of a surrogate pair.
    has_halves: bool,
    calls: Calls,
    usage: Option<Usage>,
    /// A usage from a compatible chunk, used if no total arrives.
    other_usage: Option<Usage>,
    /// A native chunk that has a text and nothing else.
    template: Template,
    /// Events of the compatible decoder; empty between two frames.
    own: Events,
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
            template: Template::default(),
            own: Events::default(),
        }
    }

    /// Decodes a chunk that differs from an earlier one only in its text and token counts, or returns
    /// `None`.
    ///
    /// What this decoder does with such chunks depends on their other members, which are the same, and
    /// on `has_halves`: with halves, the compatible decoder assembles the text.
    fn decode_known(&mut self, frame: Frame<'_>, events: &mut Events) -> Option<Flow> {
        if self.raw {
            return None;
        }
        if frame.event == "message" && !self.has_halves {
            if let Some(text) = self.template.text(frame.data) {
                return Some(self.chat.text(frame.buffer, text, events));
            }
        }
        let mut own = std::mem::take(&mut self.own);
        let flow = self.chat.decode_known(frame, &mut own);
        self.take(&mut own, events);
        self.own = own;
        flow
    }

    /// Passes a frame to the OpenAI-compatible decoder and forwards its events, except usage.
    fn feed(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let mut own = Events::default();
        let flow = self.chat.decode(frame, &mut own);
        self.take(&mut own, events);
        flow.map_err(|error| self.refined(error, frame.data))
    }

    fn take(&mut self, own: &mut Events, events: &mut Events) {
        events.take_notes(own);
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

    /// Derives a missing finish reason from the token counts.
    fn reason(&self, reason: FinishReason) -> FinishReason {
        let tokens = self.usage.and_then(|usage| usage.output_tokens);
        match reason {
            FinishReason::Unknown if !self.is_unknown => match tokens {
                Some(tokens) if self.max_tokens <= tokens => FinishReason::Length,
                // Native streams end with the marker and without a finish reason.
                _ => FinishReason::Stop,
            },
            reason => reason,
        }
    }

    /// Decodes the native members of a chunk.
    fn native(&mut self, frame: Frame<'_>, chunk: &Chunk<'_>, events: &mut Events) -> Result<Flow> {
        if self.has_halves {
            // The compatible decoder joins the halves, so all text must go through it to stay in
            // order.
            self.feed(Frame::new(&chunk.text_chunk(), &Bytes::new()), events)?;
        } else {
            let text = chunk.text().map_err(|_| not_a_chunk())?;
            self.chat.text(frame.buffer, &text, events);
        }
        self.sum(chunk, events);
        // The compatible decoder handles the other members, and records that there is a response.
        let json = chunk.chunk(&mut self.calls)?;
        let flow = self.feed(Frame::new(&json, &Bytes::new()), events)?;
        // It has decoded chunks that are not those of the service.
        self.chat.forget_known();
        if let Some((text, passed)) = chunk.only_text() {
            self.template.learn(frame.data, text, passed);
        }
        Ok(flow)
    }

    /// Reports the usage of a native chunk, which is the total.
    fn sum(&mut self, chunk: &Chunk<'_>, events: &mut Events) {
        if let Some(usage) = chunk.usage() {
            self.usage = Some(usage);
            events.push(ChatEvent::usage(usage));
        }
    }

    /// Decodes a document: a response in either format, possibly inside an envelope.
    fn document(&mut self, document: &Text, events: &mut Events) -> Result<Finish> {
        let text = document.trim();
        let envelope = Chunk::read(text).unwrap_or_default();
        if envelope.has_failed() {
            return Err(self.failed(text));
        }
        let inner = envelope.inner(text);
        let Some(chunk) = Chunk::read(inner) else {
            // The document may be truncated, which the compatible decoder detects.
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
            // The choices do not contain these calls, so it is unclear which of the two is the
            // response.
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
        self.take(&mut own, events);
        finish.map_err(|error| self.refined(error, document))
    }

    fn refined(&self, error: Error, json: &str) -> Error {
        self.chat.redacted(refine_inside(error, json))
    }

    /// Returns the error in a document that contains no response.
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
        if let Some(flow) = self.decode_known(frame, events) {
            return Ok(flow);
        }
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
            // The chunk has both formats, with the same text (cloudflare/ai#615).
            self.sum(&chunk, events);
            if !chunk.has_chosen_calls() {
                let json = chunk.chunk(&mut self.calls)?;
                self.feed(Frame::new(&json, &Bytes::new()), events)?;
            }
            merged = chunk.with_text_in_choices(data);
            frame.data = merged.as_deref().unwrap_or(data);
        } else if !chunk.has_choices() && !chunk.has_empty_choices() {
            // A chunk with nothing but the total.
            self.sum(&chunk, events);
        }
        if chunk.has_chosen_calls() {
            self.calls.note(None)?;
        }
        // A keep-alive chunk reports no prompt tokens, unlike a last chunk with the total.
        if chunk.has_empty_choices() {
            let usage = chunk.usage();
            let is_sum = |usage: &Usage| usage.input_tokens.is_some_and(|tokens| 0 < tokens);
            self.other_usage = usage.filter(is_sum).or(self.other_usage);
        }
        let flow = self.feed(frame, events)?;
        // Only chunks on which this decoder has no effect of its own may be decoded without it.
        if !chunk.is_compatible() || chunk.has_chosen_calls() {
            self.chat.forget_known();
        }
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
        self.take(&mut own, events);
        match ending {
            Ending::Document(document) => finish.map_err(|error| self.refined(error, document)),
            Ending::Input(Some(tail)) => finish.map_err(|error| self.refined(error, tail.data)),
            _ => finish,
        }
    }

    fn release(&mut self, events: &mut Events) {
        self.chat.release(events);
    }
}

/// Returns the token limit that was sent to the service.
fn limit(request: &ChatRequest) -> u64 {
    let names = ["max_tokens", "max_completion_tokens"];
    let extra = request.extra.iter().rev();
    let extra = extra
        .filter(|(name, _)| names.contains(&name.as_str()))
        .find_map(|(_, value)| value.as_str().trim().parse().ok());
    extra.or(request.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS)
}
