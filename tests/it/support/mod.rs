//! Test doubles, and helpers shared by the tests of all providers.

mod answer;
mod body;
mod clock;
pub(crate) mod cuts;
mod outcome;
pub(crate) mod recordings;
mod script;
pub(crate) mod strategies;
mod wire;

use std::time::Duration;

pub(crate) use self::{
    answer::Answer,
    body::{Piece, Watch, body, broken, piece},
    clock::{Clock, Sleep, Ticks, block_on, poll_once},
    outcome::{Double, Outcome, Refusal, check_line, lines, shown},
    script::Script,
    wire::Wire,
};

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
