//! Cloudflare's playground: its three protocols, from their bytes to their events.

mod documents;
mod ends;
mod events;
mod fixtures;
mod frames;
mod lines;
mod properties;
mod requests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use inferstream_cloudflare::playground::{decode::PlaygroundDecode, framer::PlaygroundFrames};
use inferstream_core::{
    ChatEvent, ChatRequest, ChatResponse, Error, ErrorKind, Result, Sent, Started, Timeouts,
    Transport, provider::Redact, read_stream,
};

use crate::support::{Piece, Script, block_on, body};

/// What the request asked, which must not stand in an error.
const PROMPT: &str = "a prompt that nobody else may read";

/// What a caller saw of an answer.
#[derive(Debug)]
struct Outcome {
    events: Vec<ChatEvent>,
    end: Result<ChatResponse>,
    /// How long the caller waited.
    elapsed: Duration,
}

impl Outcome {
    fn text(&self) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Text { text, .. } => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    fn reasoning(&self) -> String {
        let text = |event: &ChatEvent| match event {
            ChatEvent::Reasoning { text, .. } => Some(text.to_string()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// Returns the events as lines of JSON.
    fn lines(&self) -> Vec<String> {
        let line = |event| serde_json::to_string(event).unwrap();
        self.events.iter().map(line).collect()
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

/// Reads an answer to its end, and checks what holds for every answer.
#[track_caller]
fn run(pieces: impl IntoIterator<Item = Piece>) -> Outcome {
    run_raw(pieces, false)
}

#[track_caller]
fn run_raw(pieces: impl IntoIterator<Item = Piece>, raw: bool) -> Outcome {
    let script = Script::new([]);
    let pieces = pieces.into_iter().collect::<Vec<_>>();
    let (body, _) = body(&script.clock, pieces);
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let started = Started::new(
        transport,
        script.now(),
        Timeouts::default(),
        Response::new(body),
    );
    let redact = Redact::new(None, &ChatRequest::from(PROMPT));
    let decode = PlaygroundDecode::new(redact, raw);
    let mut stream = read_stream(started, PlaygroundFrames::default(), decode);
    let mut events = Vec::new();
    let end = loop {
        match block_on(&script.clock, stream.next()) {
            None => break Ok(stream.partial().clone()),
            Some(Ok(event)) => events.push(event),
            Some(Err(error)) => break Err(error),
        }
    };
    let elapsed = script.clock.elapsed();
    for _ in 0..3 {
        let more = block_on(&script.clock, stream.next());
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

/// Exactly one end, and one finish before a success.
#[track_caller]
fn check_invariants(outcome: &Outcome) {
    let is_finish = |event: &ChatEvent| matches!(event, ChatEvent::Finish { .. });
    let finishes = outcome.events.iter().filter(|event| is_finish(event));
    let finishes = finishes.count();
    match &outcome.end {
        Ok(response) => {
            assert!(response.end.is_some(), "a success says how it ended");
            assert_eq!(finishes, 1);
            assert!(outcome.events.last().is_some_and(is_finish));
            assert_eq!(response.text(), outcome.text(), "nothing is lost");
            assert_eq!(response.reasoning(), outcome.reasoning());
        }
        Err(error) => {
            assert_eq!(finishes, 0, "a finish before an error");
            let partial = error.partial().unwrap();
            assert_eq!(partial.text(), outcome.text(), "what came is kept");
            assert_eq!(partial.reasoning(), outcome.reasoning());
            assert!(!format!("{error} {error:?}").contains(PROMPT));
        }
    }
    for event in &outcome.events {
        if let ChatEvent::Text { text, .. } | ChatEvent::Reasoning { text, .. } = event {
            assert!(!text.is_empty(), "text is never empty");
        }
    }
}

/// An answer of these bytes, with a clean end.
#[track_caller]
fn whole(bytes: impl AsRef<[u8]>) -> Outcome {
    run([piece(bytes.as_ref())])
}

/// Makes an event stream of chunks.
fn sse(chunks: &[&str]) -> String {
    let frames = chunks
        .iter()
        .map(|chunk| ["data: ", chunk, "\n\n"].concat());
    frames.collect()
}

fn piece(bytes: &[u8]) -> Piece {
    Piece::Bytes(Bytes::copy_from_slice(bytes))
}

/// The connection breaks.
fn broken() -> Piece {
    let error = Error::new(ErrorKind::Disconnected, "connection reset");
    Piece::Error(error.with_sent(Sent::Yes))
}

/// Cuts bytes at the given places, each modulo their length.
fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut places: Vec<_> = cuts.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let pairs = places.windows(2);
    pairs
        .map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]))
        .collect()
}
