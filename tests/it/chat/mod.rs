//! The chat protocol that providers share, and Cerebras: recorded answers, answers that services
//! should not send and do, and what becomes of them however they are cut.

mod documents;
mod ends;
mod errors;
mod fixtures;
mod found;
mod properties;
mod requests;
mod tolerance;
mod tool_calls;

use std::time::Duration;

use bytes::Bytes;
use inferstream_cerebras::Cerebras;
use inferstream_core::{
    BoxFuture, ChatEvent, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, ProviderInfo,
    Result, Sent,
};
use inferstream_openai_compat::{Chat, Dialect, Settings};

use crate::support::{Answer, Piece, Wire, block_on};

/// A key that must never show.
const KEY: &str = "csk-5ecret-0f-the-test";

/// A dialect with nothing but defaults.
#[derive(Debug)]
struct Plain;

impl Dialect for Plain {
    fn info(&self) -> &ProviderInfo {
        const INFO: ProviderInfo = {
            let mut info = ProviderInfo::new("plain", "Plain", "https://plain.test");
            info.default_model = Some("model");
            info
        };
        &INFO
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    Cerebras,
    Plain,
}

impl Client {
    fn stream(
        self,
        wire: &Wire,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        match self {
            Self::Cerebras => cerebras(wire).stream(request),
            Self::Plain => plain(wire).stream(request.into()),
        }
    }

    fn chat(
        self,
        wire: &Wire,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatResponse>> {
        match self {
            Self::Cerebras => cerebras(wire).chat(request),
            Self::Plain => plain(wire).chat(request.into()),
        }
    }
}

fn cerebras(wire: &Wire) -> Cerebras {
    let builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
    builder.build().unwrap()
}

fn plain(wire: &Wire) -> Chat<Plain> {
    chat_of(Plain, wire)
}

fn chat_of<D: Dialect>(dialect: D, wire: &Wire) -> Chat<D> {
    let settings = Settings::new("https://plain.test/v1");
    Chat::new(dialect, std::sync::Arc::new(wire.clone()), settings).unwrap()
}

/// What a caller saw of an answer.
#[derive(Debug)]
struct Outcome {
    events: Vec<ChatEvent>,
    end: Result<ChatResponse>,
    /// How long the caller waited.
    elapsed: Duration,
}

impl Outcome {
    /// Returns the text of choice 0.
    fn text(&self) -> String {
        self.text_of(0)
    }

    fn text_of(&self, index: u32) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Text { choice, text, .. } if *choice == index => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns the events as lines of JSON.
    fn lines(&self) -> Vec<String> {
        lines(&self.events)
    }

    /// Returns what may come before the end is known.
    fn content(&self) -> Vec<ChatEvent> {
        let content = self.events.iter().filter(|event| !self.is_terminal(event));
        content.cloned().collect()
    }

    /// Returns true for what comes once the answer is known to be whole; a call without arguments
    /// starts only there.
    fn is_terminal(&self, event: &ChatEvent) -> bool {
        match event {
            ChatEvent::ToolCall { .. } | ChatEvent::Finish { .. } => true,
            ChatEvent::ToolCallStart { choice, index, .. } => {
                let of = (*choice, *index);
                !self.events.iter().any(|event| {
                    matches!(event, ChatEvent::ToolCallDelta { choice, index, .. }
                        if (*choice, *index) == of)
                })
            }
            _ => false,
        }
    }

    #[track_caller]
    fn response(&self) -> &ChatResponse {
        self.end.as_ref().unwrap()
    }

    #[track_caller]
    fn error(&self) -> &Error {
        self.end.as_ref().unwrap_err()
    }

    /// Returns the kind of the error, or `None` for a success.
    fn kind(&self) -> Option<ErrorKind> {
        self.end.as_ref().err().map(Error::kind)
    }
}

fn lines(events: &[ChatEvent]) -> Vec<String> {
    let line = |event| serde_json::to_string(event).unwrap();
    events.iter().map(line).collect()
}

/// Reads an answer to its end, and checks what holds for every answer.
#[track_caller]
fn run(client: Client, answer: Answer) -> Outcome {
    run_request(client, answer, ChatRequest::from("hi"))
}

#[track_caller]
fn run_request(client: Client, answer: Answer, request: ChatRequest) -> Outcome {
    let wire = Wire::new([answer]);
    let mut events = Vec::new();
    let opened = block_on(&wire.clock, client.stream(&wire, request));
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => {
            let elapsed = wire.clock.elapsed();
            return Outcome {
                events,
                end: Err(error),
                elapsed,
            };
        }
    };
    let end = loop {
        match block_on(&wire.clock, stream.next()) {
            None => break Ok(stream.partial().clone()),
            Some(Ok(event)) => events.push(event),
            Some(Err(error)) => break Err(error),
        }
    };
    let elapsed = wire.clock.elapsed();
    for _ in 0..3 {
        let more = block_on(&wire.clock, stream.next());
        assert!(more.is_none(), "an end is the end: {more:?}");
    }
    let outcome = Outcome {
        events,
        end,
        elapsed,
    };
    check_invariants(&outcome);
    outcome
}

/// Exactly one end: what is terminal comes last and only with a success.
#[track_caller]
fn check_invariants(outcome: &Outcome) {
    let content = outcome.content().len();
    let rest = &outcome.events[content..];
    assert!(
        rest.iter().all(|event| outcome.is_terminal(event)),
        "{rest:?}"
    );
    let finishes = rest
        .iter()
        .filter(|event| matches!(event, ChatEvent::Finish { .. }))
        .count();
    match &outcome.end {
        Ok(response) => {
            assert!(response.end.is_some(), "a success says how it ended");
            assert_eq!(finishes, response.choices.len(), "each choice has its end");
            assert_ne!(finishes, 0, "a success has a choice");
            assert_eq!(response.text(), outcome.text(), "nothing is lost");
        }
        Err(error) => {
            assert!(rest.is_empty(), "an error after the end: {rest:?}");
            let partial = error.partial().map_or("", ChatResponse::text);
            assert_eq!(partial, outcome.text(), "the partial answer is kept");
            assert!(!format!("{error} {error:?}").contains(KEY));
        }
    }
    for event in &outcome.events {
        if let ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } = event {
            assert!(!text.is_empty(), "text is never empty");
        }
    }
}

/// A request to the default dialect answered by these bytes.
#[track_caller]
fn plain_stream(bytes: impl AsRef<[u8]>) -> Outcome {
    run(Client::Plain, Answer::sse([piece(bytes.as_ref())]))
}

/// As `plain_stream`, for chunks of JSON, with the end marker behind.
#[track_caller]
fn chunks(chunks: &[&str]) -> Outcome {
    plain_stream(sse(chunks) + "data: [DONE]\n\n")
}

/// Makes an event stream of chunks.
fn sse(chunks: &[&str]) -> String {
    let frames: Vec<_> = chunks
        .iter()
        .map(|chunk| ["data: ", chunk, "\n\n"].concat())
        .collect();
    frames.concat()
}

fn piece(bytes: &[u8]) -> Piece {
    Piece::Bytes(Bytes::copy_from_slice(bytes))
}

/// The connection breaks.
fn broken() -> Piece {
    let error = Error::new(ErrorKind::Disconnected, "connection reset");
    Piece::Error(error.with_sent(Sent::Yes))
}
