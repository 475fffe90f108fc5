//! The decoder for the playground's protocols over HTTP.

use bytes::Bytes;
use http::HeaderMap;
use inferstream_client::{Redact, is_challenge, is_page};
use inferstream_core::{
    ChatEvent, End, Error, ErrorKind, FinishReason, Json, Repeat, Result, Text, Usage,
    protocol::{Decode, Ending, Events, Finish, Flow},
    sse::Frame,
};

use super::{
    tool_calls::ToolCalls,
    wire::{Broken, Half, Object, Told, Value},
    words::{goes_on, is_known, is_marker, is_of_messages, is_of_step, reason},
};

/// The name of the service in errors.
const NAME: &str = "the playground";

/// The finish reason that reports an error.
const ERROR: &str = "error";

/// Decodes the frames of [`PlaygroundFrames`](super::framer::PlaygroundFrames).
///
/// When a response is complete depends on the protocol:
///
/// - The data stream ends with `d`. If the input ends cleanly without it, the stream is complete
///   after the `e` of a step that no other step follows. All steps form one response.
/// - The UI message stream ends with `[DONE]`, or with `finish` if there is no marker.
/// - The oldest event stream ends only with `[DONE]`. It has no finish reason: `Stop` is reported
///   if the last `response` was empty, and `Length` otherwise, as the playground's page did.
///
/// If usage is reported several times, the last report counts. The usage of a step is replaced by
/// that of the next step, and finally by that of `d`, which covers all steps. Nothing is added up.
#[derive(Debug)]
pub struct PlaygroundDecode {
    redact: Redact,
    raw: bool,
    protocol: Protocol,
    text: Half,
    reasoning: Half,
    calls: ToolCalls,
    usage: Option<Usage>,
    /// The finish reason of the response or of its last step, unless another step has started.
    reason: Option<FinishReason>,
    /// The last `response` of the oldest protocol was empty.
    said_all: bool,
}

/// The protocol of a stream, as far as it is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protocol {
    Nothing,
    /// JSON of an unknown protocol.
    Foreign,
    /// The data stream: `0:"…"`.
    Lines,
    /// The UI message stream: `{"type":"text-delta",…}`.
    Messages,
    /// The oldest event stream: `{"response":"…"}`.
    Responses,
}

impl PlaygroundDecode {
    /// Creates a decoder. `redact` removes secrets from error messages, and `raw` adds a `Raw`
    /// event for each chunk.
    ///
    /// The raw chunk of a data stream's line is `{"event":code,"data":json}`.
    pub fn new(redact: Redact, raw: bool) -> Self {
        Self {
            redact,
            raw,
            protocol: Protocol::Nothing,
            text: Half::default(),
            reasoning: Half::default(),
            calls: ToolCalls::default(),
            usage: None,
            reason: None,
            said_all: false,
        }
    }

    /// Decodes a line of the data stream.
    fn line(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let code = frame.event;
        if code.is_empty() {
            return Err(Error::protocol(format!(
                "invalid line from {NAME}: expected a code before `:`"
            )));
        }
        self.enter(Protocol::Lines)?;
        let mended;
        let value = match Value::parse(frame.data) {
            // Unknown counts are `NaN` in the server, and some versions write that instead of
            // `null`.
            Err(_) if matches!(code, "d" | "e") && frame.data.contains("NaN") => {
                mended = frame.data.replace("NaN", "null");
                Value::parse(&mended)
            }
            // The format of unknown codes is unknown, too, so they are not checked.
            Err(_) if !is_known(code) => return Ok(self.flow()),
            value => value,
        };
        let value = value.map_err(|error| broken(&format!("line `{code}`"), error))?;
        if self.raw {
            let (code, json) = (Json::from(code), value.json());
            let raw = format!(r#"{{"event":{code},"data":{json}}}"#);
            events.push(ChatEvent::raw(Json::from_text(raw)));
        }
        if is_of_step(code) {
            self.reason = None;
        }
        let object = value.object();
        match code {
            "0" => self.text(frame, value, events)?,
            "g" => self.reasoning(frame, value, events)?,
            "3" => return Err(self.reported(value)),
            "9" => self.calls.whole(&object, object.get("args"), events)?,
            "b" => self.calls.add(&object, None, events)?,
            "c" => self
                .calls
                .add(&object, object.get("argsTextDelta"), events)?,
            "f" => set_id(&object, events),
            "e" | "d" => self.step(code, &object, events),
            _ => {}
        }
        Ok(if code == "d" { Flow::End } else { self.flow() })
    }

    /// Handles the end of a step, or of the complete response.
    fn step(&mut self, code: &str, end: &Object<'_>, events: &mut Events) {
        self.count(end.object("usage").usage(), events);
        let goes_on = code == "e" && end.text("isContinued").as_deref() == Some("true");
        self.reason = match end.text("finishReason") {
            _ if goes_on => None,
            Some(word) => Some(reason(&word)),
            None => self.reason.take().or(Some(FinishReason::Unknown)),
        };
    }

    /// Decodes a chunk of an event stream.
    fn chunk(&mut self, frame: Frame<'_>, data: &str, events: &mut Events) -> Result<Flow> {
        let value = match Value::parse(data) {
            Ok(value) => value,
            Err(_) if frame.event == "error" => return Err(self.reported_words(data)),
            // Events with unknown names may contain anything.
            Err(_) if frame.event != "message" => return Ok(self.flow()),
            Err(error) => return Err(broken("chunk", error)),
        };
        if self.raw {
            events.push(ChatEvent::raw(Json::from_text(data)));
        }
        let is_known = matches!(self.protocol, Protocol::Messages | Protocol::Responses);
        if is_known && frame.event == "message" && !value.is_object() {
            return Err(Error::protocol(format!(
                "invalid chunk from {NAME}: expected a JSON object"
            )));
        }
        let chunk = value.object();
        let kind = chunk.text("type");
        if frame.event == "error" || kind.as_deref() == Some("error") || Told::is_error(&chunk) {
            return Err(self.reported(value));
        }
        match (kind.as_deref(), chunk.get("response")) {
            (Some(kind), _) if is_of_messages(kind) => {
                self.enter(Protocol::Messages)?;
                self.message(frame, kind, &chunk, events)?;
            }
            (None, Some(response)) => {
                self.enter(Protocol::Responses)?;
                self.response(frame, response, events)?;
                self.count(chunk.object("usage").usage(), events);
            }
            // `null` is not text, but it identifies the protocol.
            (None, None) if chunk.has("response") => self.enter(Protocol::Responses)?,
            _ if self.protocol == Protocol::Nothing => self.protocol = Protocol::Foreign,
            _ => {}
        }
        Ok(self.flow())
    }

    fn message(
        &mut self,
        frame: Frame<'_>,
        kind: &str,
        chunk: &Object<'_>,
        events: &mut Events,
    ) -> Result<()> {
        if goes_on(kind) {
            self.reason = None;
        }
        match (kind, chunk.get("delta")) {
            ("text-delta", Some(delta)) => self.text(frame, delta, events)?,
            ("reasoning-delta", Some(delta)) => self.reasoning(frame, delta, events)?,
            ("start", _) => set_id(chunk, events),
            ("tool-input-start", _) => self.calls.add(chunk, None, events)?,
            ("tool-input-delta", _) => {
                self.calls.add(chunk, chunk.get("inputTextDelta"), events)?;
            }
            ("tool-input-available" | "tool-input-error", _) => {
                self.calls.whole(chunk, chunk.get("input"), events)?;
            }
            ("finish", _) => {
                let word = chunk.text("finishReason");
                self.reason = Some(reason(word.as_deref().unwrap_or("unknown")));
            }
            ("abort", _) => {
                let words = chunk.text("reason").map(|words| self.redact.line(&words));
                let words = words.map(|words| format!(": {words}")).unwrap_or_default();
                let message = format!("{NAME} aborted the response{words}");
                return Err(Error::new(ErrorKind::Canceled, message));
            }
            _ => {}
        }
        let metadata = chunk.object("messageMetadata");
        let usage = ["totalUsage", "usage"];
        let usage = usage.iter().find_map(|name| metadata.object(name).usage());
        self.count(usage.or_else(|| metadata.usage()), events);
        Ok(())
    }

    fn response(
        &mut self,
        frame: Frame<'_>,
        response: Value<'_>,
        events: &mut Events,
    ) -> Result<()> {
        self.said_all = response.json() == "\"\"";
        // The end-of-text token of some models.
        if response.json() == "\"</s>\"" {
            return Ok(());
        }
        self.text(frame, response, events)
    }

    fn text(&mut self, frame: Frame<'_>, value: Value<'_>, events: &mut Events) -> Result<()> {
        if let Some(text) = piece_of(frame, value, &mut self.text)? {
            events.push(ChatEvent::text(0, text));
        }
        Ok(())
    }

    fn reasoning(&mut self, frame: Frame<'_>, value: Value<'_>, events: &mut Events) -> Result<()> {
        if let Some(text) = piece_of(frame, value, &mut self.reasoning)? {
            events.push(ChatEvent::reasoning(0, text));
        }
        Ok(())
    }

    fn count(&mut self, usage: Option<Usage>, events: &mut Events) {
        if let Some(usage) = usage.filter(|_| usage != self.usage) {
            self.usage = Some(usage);
            events.push(ChatEvent::usage(usage));
        }
    }

    /// Records the protocol of the stream; returns an error if it changes.
    fn enter(&mut self, protocol: Protocol) -> Result<()> {
        match self.protocol {
            Protocol::Nothing | Protocol::Foreign => self.protocol = protocol,
            same if same == protocol => {}
            _ => {
                return Err(Error::protocol(format!(
                    "invalid stream from {NAME}: it mixes two protocols"
                )));
            }
        }
        Ok(())
    }

    fn flow(&self) -> Flow {
        match &self.reason {
            None => Flow::Continue,
            // The server runs the tools itself, which may take long, and continues with another
            // step.
            Some(FinishReason::ToolCalls) if self.protocol == Protocol::Lines => Flow::Continue,
            Some(_) => Flow::Settle,
        }
    }

    /// Returns the error that the service reported in a chunk.
    fn reported(&self, value: Value<'_>) -> Error {
        let told = Told::read(value);
        let error = self.reported_words(told.message.as_deref().unwrap_or_default());
        let error = match &told.code {
            None => error,
            Some(code) => error.with_code(self.redact.line(code)),
        };
        let repeat = if told.is_transient() {
            Repeat::Safe
        } else {
            Repeat::Never
        };
        let error = error
            .with_repeat(repeat)
            .with_body(&Bytes::copy_from_slice(value.json().as_bytes()));
        self.redact.error(error)
    }

    fn reported_words(&self, words: &str) -> Error {
        if words.trim().is_empty() {
            let message = format!("{NAME} reported an error without a message");
            return Error::new(ErrorKind::Provider, message);
        }
        let words = self.redact.line(words);
        let message = format!("{NAME} reported an error: {words}");
        Error::new(ErrorKind::Provider, message).with_provider_message(words)
    }

    /// Returns the error for a stream that ended too early.
    fn not_whole(&self) -> Error {
        match self.protocol {
            Protocol::Nothing => truncated("it has no content"),
            Protocol::Foreign => {
                Error::protocol(format!("invalid stream from {NAME}: unknown protocol"))
            }
            _ => truncated("the stream ended before the end of the response was reported"),
        }
    }

    /// Emits the events that waited for the end of the response.
    fn close(&mut self, end: End, events: &mut Events) -> Result<End> {
        let reason = match self.protocol {
            Protocol::Nothing | Protocol::Foreign => {
                let message = format!("invalid stream from {NAME}: it ended without a response");
                return Err(Error::protocol(message));
            }
            Protocol::Responses if self.said_all => FinishReason::Stop,
            Protocol::Responses => FinishReason::Length,
            Protocol::Lines | Protocol::Messages => {
                self.reason.take().unwrap_or(FinishReason::Unknown)
            }
        };
        if reason.as_str() == ERROR {
            return Err(self.reported_words(""));
        }
        if let Some(text) = self.reasoning.finish() {
            events.push(ChatEvent::reasoning(0, text));
        }
        if let Some(text) = self.text.finish() {
            events.push(ChatEvent::text(0, text));
        }
        self.calls.finish(events);
        events.push(ChatEvent::finish(0, reason));
        Ok(end)
    }

    /// Returns true if the unterminated last frame is nevertheless the end of the response.
    fn ends_with(&mut self, tail: Frame<'_>, events: &mut Events) -> Result<bool> {
        match tail.event {
            "d" | "3" if is_closed(tail.data) => {
                self.line(tail, events).map(|flow| flow == Flow::End)
            }
            event => Ok(1 < event.len() && is_marker(tail.data)),
        }
    }

    /// Decides whether the response is complete.
    fn end(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<End> {
        if let Ending::Input(Some(tail)) = ending {
            if self.ends_with(tail, events)? {
                return self.close(End::Marker, events);
            }
            // The unterminated line may be the start of another step.
            let cut = if tail.event.is_empty() {
                tail.data
            } else {
                tail.event
            };
            if self.protocol == Protocol::Lines && cut.get(..1).is_some_and(is_of_step) {
                self.reason = None;
            }
        }
        match (ending, &self.reason) {
            (Ending::Document(document), _) => Err(self.document(document.trim())),
            (Ending::Announced, _) => self.close(End::Marker, events),
            // A lost connection may have lost the rest of the response, but a reported error is
            // final.
            (Ending::Lost(error), reason)
                if reason
                    .as_ref()
                    .is_none_or(|reason| reason.as_str() != ERROR) =>
            {
                Err(error.clone())
            }
            (_, Some(_)) => self.close(End::FinishReason, events),
            (_, None) => Err(self.not_whole()),
        }
    }

    /// Returns the error for a body that is a single document, which is never a response.
    fn document(&self, text: &str) -> Error {
        if text.is_empty() {
            return truncated("it has no content");
        }
        if is_page(text) {
            if is_challenge(&HeaderMap::new(), text) {
                let message = format!("{NAME} returned a browser challenge instead of a response");
                return Error::new(ErrorKind::Challenge, message);
            }
            return Error::protocol(format!(
                "{NAME} returned an HTML page instead of a response"
            ));
        }
        match Value::parse(text) {
            Ok(value) if Told::read(value).message.is_some() || Told::is_error(&value.object()) => {
                self.reported(value)
            }
            Ok(_) => Error::protocol(format!(
                "invalid response from {NAME}: expected a stream, not one JSON document"
            )),
            Err(error) if error.is_eof && text.starts_with(['{', '[']) => {
                truncated("its JSON is truncated")
            }
            Err(error) => broken("document", error),
        }
    }
}

impl Decode for PlaygroundDecode {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        if frame.event.len() <= 1 {
            return self.line(frame, events);
        }
        let data = frame.data.trim();
        match frame.event {
            "ping" | "keepalive" | "keep-alive" | "heartbeat" => Ok(self.flow()),
            _ if is_marker(data) => Ok(Flow::End),
            _ if data.is_empty() => Ok(self.flow()),
            _ => self.chunk(frame, data, events),
        }
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        self.end(ending, events).map(Finish::Whole)
    }
}

/// Returns a fragment of text, as a slice of its frame if it has no escapes.
fn piece_of(frame: Frame<'_>, value: Value<'_>, half: &mut Half) -> Result<Option<Text>> {
    match value.piece(half) {
        Some(piece) if piece.is_empty() => Ok(None),
        Some(piece) => Ok(Some(Text::slice_of(frame.buffer, &piece))),
        None if value.json() == "null" => Ok(None),
        None => Err(Error::protocol(format!(
            "invalid text fragment from {NAME}: expected a string"
        ))),
    }
}

fn set_id(object: &Object<'_>, events: &mut Events) {
    if let Some(id) = object.text("messageId") {
        events.id = Some(id.into_owned());
    }
}

/// Returns true if the text is complete JSON that further bytes could not extend.
fn is_closed(data: &str) -> bool {
    data.trim_end().ends_with(['}', '"']) && Value::parse(data).is_ok()
}

fn truncated(how: &str) -> Error {
    let message = format!("{NAME}'s response is incomplete: {how}");
    Error::new(ErrorKind::Truncated, message)
}

/// Returns the error for invalid JSON.
fn broken(what: &str, error: Broken) -> Error {
    Error::protocol(format!("invalid {what} from {NAME}: expected JSON")).with_source(error)
}
