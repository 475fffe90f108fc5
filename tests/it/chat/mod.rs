//! The chat protocol shared by providers, and Cerebras: recorded and invalid responses, split at
//! any byte.

mod addresses;
mod bodies;
mod comments;
mod copies;
mod counts;
mod dialects;
mod documents;
mod ends;
mod errors;
mod errors_inside;
mod errors_shapes;
mod finish_reasons;
mod fixtures;
mod halves;
mod meta;
mod models;
mod properties;
mod repeats;
mod requests;
mod secrets;
mod snapshots;
mod templates;
mod tolerance;
mod tool_calls;
mod tools;
pub(crate) mod twice;

use std::sync::LazyLock;

use inferstream_cerebras::Cerebras;
use inferstream_client::Settings;
use inferstream_core::{
    BoxFuture, ChatRequest, ChatResponse, ChatStream, Provider as _, ProviderInfo, Result,
};
use inferstream_openai_compat::{Chat, Dialect};

use crate::support::{Answer, Outcome, Piece, Wire, block_on, broken, piece, sse};

/// A key that must never be shown.
const KEY: &str = "csk-5ecret-0f-the-test";

const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// A dialect with only the defaults.
#[derive(Debug)]
struct Plain;

impl Dialect for Plain {
    fn info(&self) -> &ProviderInfo {
        static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
            let mut info = ProviderInfo::new("plain", "Plain", "https://plain.test");
            info.default_model = Some("model".into());
            info
        });
        &INFO
    }
}

/// The caller of the service.
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

fn plain(wire: &Wire) -> inferstream_client::Client<Chat<Plain>> {
    chat_of(Plain, wire)
}

fn chat_of<D: Dialect>(dialect: D, wire: &Wire) -> inferstream_client::Client<Chat<D>> {
    let settings = Settings::new(std::sync::Arc::new(wire.clone()));
    inferstream_client::Client::new(Chat::new(dialect), "https://plain.test/v1", settings).unwrap()
}

/// Reads an event stream of Cerebras or of another service.
#[track_caller]
pub(crate) fn run_stream(is_cerebras: bool, pieces: Vec<Piece>) -> Outcome {
    let client = if is_cerebras {
        Client::Cerebras
    } else {
        Client::Plain
    };
    run(client, Answer::sse(pieces))
}

/// Reads a response to its end, and checks the properties of every response.
#[track_caller]
fn run(client: Client, answer: Answer) -> Outcome {
    run_request(client, answer, ChatRequest::from("hi"))
}

#[track_caller]
fn run_request(client: Client, answer: Answer, request: ChatRequest) -> Outcome {
    let wire = Wire::new([answer]);
    let opened = block_on(&wire.clock, client.stream(&wire, request));
    let outcome = Outcome::read(&wire, opened);
    outcome.check(KEY);
    check_terminals(&outcome);
    outcome
}

/// Terminal events come last, and only with a success.
#[track_caller]
fn check_terminals(outcome: &Outcome) {
    let rest = &outcome.events[outcome.content().len()..];
    assert!(
        rest.iter().all(|event| outcome.is_terminal(event)),
        "{rest:?}"
    );
    assert_eq!(rest.is_empty(), outcome.end.is_err(), "{rest:?}");
}

/// Sends a request of the default dialect, to which these bytes are the response.
#[track_caller]
fn plain_stream(bytes: impl AsRef<[u8]>) -> Outcome {
    run(Client::Plain, Answer::sse([piece(bytes.as_ref())]))
}

/// Like `plain_stream`, for chunks of JSON, followed by the end marker.
#[track_caller]
fn chunks(chunks: &[&str]) -> Outcome {
    plain_stream(sse(chunks) + "data: [DONE]\n\n")
}

fn frames(list: &[&str]) -> Piece {
    Piece::from(sse(list).as_str())
}
