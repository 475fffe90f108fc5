//! Tests of the gateway over real sockets.

// In a test, a panic is the message.
#![allow(clippy::unwrap_used)]

mod cancel;
mod chat;
mod drain;
mod faults;
mod kept;
mod keys;
mod limits;
mod round_trip;
mod routes;
mod support;
#[cfg(feature = "tracing")]
mod traces;
