//! Workers AI over a scripted transport: what is sent, what is delivered, and how it ends.

mod environment;
mod errors;
mod families;
mod fixtures;
mod hostile;
mod models;
mod pages;
mod properties;
mod requests;
mod secrets;
mod streams;
mod tools;

use std::time::Duration;

use bytes::Bytes;
use inferstream_cloudflare::{
    ChatEvent, ChatRequest, ChatResponse, Cloudflare, CloudflareBuilder, Door, Error, ErrorKind,
    Result, Sent,
};

use crate::support::{Answer, Piece, Wire, block_on};

/// What must never show.
const TOKEN: &str = "cft-5ecret-0f-the-test";

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Both of the service's paths.
const DOORS: [Door; 2] = [Door::Native, Door::OpenAi];

fn builder(wire: &Wire) -> CloudflareBuilder {
    Cloudflare::builder()
        .account_id(ACCOUNT)
        .api_token(TOKEN)
        .transport(wire.clone())
}

fn client(wire: &Wire) -> Cloudflare {
    builder(wire).build().unwrap()
}

/// What a caller saw of an answer.
#[derive(Debug)]
struct Outcome {
    events: Vec<ChatEvent>,
    end: Result<ChatResponse>,
    /// How long the caller waited.
    elapsed: Duration,
    attempts: usize,
}

impl Outcome {
    /// Returns the text.
    fn text(&self) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Text { text, .. } => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns the model's thoughts.
    fn reasoning(&self) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Reasoning { text, .. } => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns what may come before the end is known, as lines of JSON; when the counts are told
    /// is nobody's promise.
    fn content(&self) -> Vec<String> {
        let content = self
            .events
            .iter()
            .filter(|event| !self.is_terminal(event) && !matches!(event, ChatEvent::Usage { .. }));
        lines(content)
    }

    /// Returns true for what comes once the answer is known to be whole; a call without arguments
    /// starts only there.
    fn is_terminal(&self, event: &ChatEvent) -> bool {
        match event {
            ChatEvent::ToolCall { .. } | ChatEvent::Finish { .. } => true,
            ChatEvent::ToolCallStart { index, .. } => !self.events.iter().any(|event| {
                matches!(event, ChatEvent::ToolCallDelta { index: other, .. } if other == index)
            }),
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

    /// Returns why the answer ended, by its name.
    #[track_caller]
    fn reason(&self) -> &str {
        self.response().finish_reason().unwrap().as_str()
    }

    /// Returns the counts: of the prompt, of the answer, of both.
    #[track_caller]
    fn usage(&self) -> [Option<u64>; 3] {
        let usage = self.response().usage.unwrap_or_default();
        [usage.input_tokens, usage.output_tokens, usage.total_tokens]
    }
}

fn lines<'a>(events: impl IntoIterator<Item = &'a ChatEvent>) -> Vec<String> {
    let line = |event| serde_json::to_string(event).unwrap();
    events.into_iter().map(line).collect()
}

/// Reads an answer to its end, and checks what holds for every answer.
#[track_caller]
fn run(door: Door, answer: Answer) -> Outcome {
    run_request(door, answer, ChatRequest::from("hi"))
}

#[track_caller]
fn run_request(door: Door, answer: Answer, request: ChatRequest) -> Outcome {
    let wire = Wire::new([answer]);
    let client = builder(&wire).door(door).build().unwrap();
    let mut events = Vec::new();
    let end = match block_on(&wire.clock, client.stream(request)) {
        Err(error) => Err(error),
        Ok(mut stream) => {
            let end = loop {
                match block_on(&wire.clock, stream.next()) {
                    None => break Ok(stream.partial().clone()),
                    Some(Ok(event)) => events.push(event),
                    Some(Err(error)) => break Err(error),
                }
            };
            for _ in 0..3 {
                let more = block_on(&wire.clock, stream.next());
                assert!(more.is_none(), "an end is the end: {more:?}");
            }
            end
        }
    };
    let outcome = Outcome {
        events,
        end,
        elapsed: wire.clock.elapsed(),
        attempts: wire.count(),
    };
    check_invariants(&outcome);
    outcome
}

/// Exactly one end: what is terminal comes last and only with a success.
#[track_caller]
fn check_invariants(outcome: &Outcome) {
    let finishes = outcome
        .events
        .iter()
        .filter(|event| matches!(event, ChatEvent::Finish { .. }))
        .count();
    match &outcome.end {
        Ok(response) => {
            assert!(response.end.is_some(), "a success says how it ended");
            assert_eq!(finishes, 1, "one answer has one end");
            let last = outcome.events.last();
            assert!(matches!(last, Some(ChatEvent::Finish { .. })), "{last:?}");
            assert_eq!(response.choices.len(), 1, "nobody asked for two");
            assert_eq!(response.text(), outcome.text(), "nothing is lost");
            assert_eq!(response.reasoning(), outcome.reasoning());
        }
        Err(error) => {
            let mut events = outcome.events.iter();
            assert!(
                !events.any(|event| outcome.is_terminal(event)),
                "{outcome:?}"
            );
            let partial = error.partial().map_or("", ChatResponse::text);
            assert_eq!(partial, outcome.text(), "the partial answer is kept");
            check_line(error);
        }
    }
    for event in &outcome.events {
        if let ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } = event {
            assert!(!text.is_empty(), "text is never empty");
        }
    }
}

/// An error is one line without a key, a page or the service's layers of names.
#[track_caller]
fn check_line(error: &Error) {
    let line = error.to_string();
    assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    assert!(!line.contains(['\n', '\r']), "one line: {line}");
    assert!(
        !line.contains("</") && !line.contains("<!"),
        "no page: {line}"
    );
    assert!(!line.contains("AiError: "), "{line}");
    assert!(line.len() < 1500, "{line}");
}

/// An answer of these chunks, and nothing behind them.
#[track_caller]
fn open_chunks(chunks: &[&str]) -> Outcome {
    let found = DOORS.map(|door| run(door, stream_of(sse(chunks))));
    let [native, other] = found;
    assert_eq!(
        lines(&native.events),
        lines(&other.events),
        "both doors read alike"
    );
    assert_eq!(native.kind(), other.kind(), "both doors end alike");
    native
}

/// An answer of these chunks, with the end marker behind.
#[track_caller]
fn chunks(chunks: &[&str]) -> Outcome {
    open_chunks(&[chunks, &["[DONE]"]].concat())
}

/// Makes an event stream of chunks.
fn sse(chunks: &[&str]) -> String {
    let frames: Vec<_> = chunks
        .iter()
        .map(|chunk| ["data: ", chunk, "\n\n"].concat())
        .collect();
    frames.concat()
}

fn stream_of(bytes: impl AsRef<[u8]>) -> Answer {
    Answer::sse([piece(bytes.as_ref())])
}

fn piece(bytes: &[u8]) -> Piece {
    Piece::Bytes(Bytes::copy_from_slice(bytes))
}

/// The connection breaks.
fn broken() -> Piece {
    let error = Error::new(ErrorKind::Disconnected, "connection reset");
    Piece::Error(error.with_sent(Sent::Yes))
}
