//! Secrets and prompts appear nowhere but on the wire: canaries under every fault of the simulator,
//! with each log of each crate, and `Debug` and `Display` of every public type.

// In a test, a panic is the message.
#![allow(clippy::unwrap_used)]

mod canaries;
mod files;
mod proxy;
mod services;
mod sweep;
mod types;
mod watch;
