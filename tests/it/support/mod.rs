//! Test doubles, and helpers shared by the tests of all providers.

mod clock;
pub(crate) mod cuts;
mod outcome;
pub(crate) mod recordings;
mod script;
pub(crate) mod strategies;
mod wire;

use std::time::Duration;

pub(crate) use self::{
    clock::{block_on, poll_once},
    outcome::{Double, Outcome, Refusal, check_line, lines, shown},
    script::Script,
    wire::Wire,
};
pub(crate) use inferstream_test::{Clock, Piece, Reply as Answer, Watch, body};

pub(crate) fn piece(bytes: &[u8]) -> Piece {
    Piece::from(bytes)
}

/// The connection breaks.
pub(crate) fn broken() -> Piece {
    Piece::disconnect()
}

/// A document of the type `application/problem+json`.
pub(crate) fn problem(status: u16, body: &str) -> Answer {
    Answer::json(status, body).header("content-type", "application/problem+json")
}

/// Creates an event stream from chunks.
pub(crate) fn sse(chunks: &[&str]) -> String {
    let frames = chunks
        .iter()
        .map(|chunk| ["data: ", chunk, "\n\n"].concat());
    frames.collect()
}

/// Shorthand for a number of seconds.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
