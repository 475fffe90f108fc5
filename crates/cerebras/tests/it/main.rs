//! Tests of the client over real sockets, against the simulator, of its schemas and environment.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

#[cfg(feature = "cookies")]
mod cookies;
mod environment;
mod outage;
mod schemas;
