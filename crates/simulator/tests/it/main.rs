//! The simulator's public API, tested on the wire.

// clippy.toml allows it in test functions; these are their helpers.
#![allow(clippy::unwrap_used)]

mod answers;
mod client;
mod faults;
mod playground;
mod refusals;
mod replicate;
mod schemas;
mod server;
mod session;
mod workers_ai;
