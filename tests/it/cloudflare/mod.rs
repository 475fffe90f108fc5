//! Workers AI over a scripted transport: requests, events and endings.

mod copies;
mod counts;
mod documents;
mod ends;
mod environment;
mod errors;
mod errors_inside;
mod families;
mod fixtures;
mod hostile;
mod models;
mod pages;
mod properties;
mod requests;
mod secrets;
mod streams;
mod templates;
mod tools;

use inferstream_cloudflare::{ChatRequest, Cloudflare, CloudflareBuilder, Endpoint, Error};

use crate::support::{self, Answer, Outcome, Wire, block_on, piece, sse};

/// A secret that must never be shown.
const TOKEN: &str = "cft-5ecret-0f-the-test";

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Both paths of the service.
const ENDPOINTS: [Endpoint; 2] = [Endpoint::Native, Endpoint::OpenAi];

fn builder(wire: &Wire) -> CloudflareBuilder {
    Cloudflare::builder()
        .account_id(ACCOUNT)
        .api_token(TOKEN)
        .transport(wire.clone())
}

fn client(wire: &Wire) -> Cloudflare {
    builder(wire).build().unwrap()
}

/// Reads an event stream of Workers AI.
#[track_caller]
pub(crate) fn run_stream(endpoint: Endpoint, pieces: Vec<support::Piece>) -> Outcome {
    run(endpoint, Answer::sse(pieces))
}

/// Reads a response to its end, and checks the properties of every response.
#[track_caller]
fn run(endpoint: Endpoint, answer: Answer) -> Outcome {
    run_request(endpoint, answer, ChatRequest::from("hi"))
}

#[track_caller]
fn run_request(endpoint: Endpoint, answer: Answer, request: ChatRequest) -> Outcome {
    let wire = Wire::new([answer]);
    let client = builder(&wire).endpoint(endpoint).build().unwrap();
    let opened = block_on(&wire.clock, client.stream(request));
    let outcome = Outcome::read(&wire, opened);
    outcome.check(TOKEN);
    outcome.check_one_choice();
    if let Err(error) = &outcome.end {
        let mut events = outcome.events.iter();
        let terminal = events.find(|event| outcome.is_terminal(event));
        assert!(terminal.is_none(), "{terminal:?} before an error");
        check_line(error);
    }
    outcome
}

/// Checks that an error is one line without a key, an HTML page or the service's internal prefixes.
#[track_caller]
fn check_line(error: &Error) {
    support::check_line(error, TOKEN);
    assert!(!error.to_string().contains("AiError: "), "{error}");
}

/// A response of these chunks without an end marker.
#[track_caller]
fn open_chunks(chunks: &[&str]) -> Outcome {
    let found = ENDPOINTS.map(|endpoint| run(endpoint, stream_of(sse(chunks))));
    let [native, other] = found;
    assert_eq!(
        native.lines(),
        other.lines(),
        "both endpoints give the same text"
    );
    assert_eq!(
        native.kind(),
        other.kind(),
        "both endpoints end in the same way"
    );
    native
}

/// A response of these chunks with the end marker.
#[track_caller]
fn chunks(chunks: &[&str]) -> Outcome {
    open_chunks(&[chunks, &["[DONE]"]].concat())
}

fn stream_of(bytes: impl AsRef<[u8]>) -> Answer {
    Answer::sse([piece(bytes.as_ref())])
}
