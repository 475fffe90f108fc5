//! Doubles: a clock moved by hand, a scripted body, a scripted transport, and what runs them.

mod answer;
mod body;
mod clock;
mod script;
mod wire;

use std::time::Duration;

pub(crate) use self::{
    answer::Answer,
    body::{Piece, Watch, body},
    clock::{Clock, Sleep, block_on, poll_once},
    script::Script,
    wire::Wire,
};

/// Shorthand for a number of seconds.
pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
