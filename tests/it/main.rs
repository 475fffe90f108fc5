//! Tests of every crate through its public API.

// In a test, a panic is the message.
#![allow(clippy::unwrap_used)]

mod support;

mod agent;
mod cerebras_cookies;
mod chat;
mod clock;
mod closing;
mod cloudflare;
mod compatible;
mod compose;
mod cookies;
mod documents;
mod ends;
mod held;
mod json;
mod more;
mod playground;
mod refresh;
mod replicate;
mod requests;
mod retry;
mod scripted;
mod settings;
mod sse;
mod stream;
mod think;
mod tracing;
mod types;
