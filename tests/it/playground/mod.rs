//! Cloudflare's playground: its three protocols, from bytes to events.

mod documents;
mod ends;
mod events;
mod fixtures;
mod frames;
mod lines;
mod properties;
mod refresh;
mod requests;

use std::sync::Arc;

use http::Response;
use inferstream_client::Redact;
use inferstream_cloudflare::playground::{decode::PlaygroundDecode, framer::PlaygroundFrames};
use inferstream_core::{
    ChatRequest, Error, Timeouts, Timer, Transport,
    protocol::{Started, read_stream},
};

use crate::support::{Outcome, Piece, Script, body, broken, piece, sse};

/// The prompt, which must not appear in an error.
const PROMPT: &str = "a prompt that nobody else may read";

/// Reads a response to its end, and checks the properties of every response.
#[track_caller]
pub(crate) fn run(pieces: impl IntoIterator<Item = Piece>) -> Outcome {
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
    let redact = Redact::new(ChatRequest::from(PROMPT).messages);
    let decode = PlaygroundDecode::new(redact, raw);
    let stream = read_stream(started, PlaygroundFrames::default(), decode);
    let outcome = Outcome::read(&*script, Ok(stream));
    outcome.check(PROMPT);
    outcome.check_one_choice();
    let kept = outcome.end.as_ref().err().map(Error::partial);
    assert_ne!(kept, Some(None), "the partial response is kept");
    outcome
}

/// A response of these bytes with a clean end.
#[track_caller]
fn whole(bytes: impl AsRef<[u8]>) -> Outcome {
    run([piece(bytes.as_ref())])
}
