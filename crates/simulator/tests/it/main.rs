//! The simulator through its public API, as it is seen on the wire.

// clippy.toml allows it in test functions; their helpers are tests too.
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
