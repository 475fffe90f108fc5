//! A scripted transport and a manual clock, for tests without a network.
//!
//! [`ScriptedTransport`] responds from a script of [`Reply`]s and records what was sent. Its [`Clock`]
//! moves only if a test advances it, or while [`Clock::block_on`] has nothing else to do: a test of a
//! timeout of 10 minutes ends at once.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use inferstream_core::{
//!     Transport,
//!     test_util::{Piece, Reply, ScriptedTransport},
//! };
//!
//! let transport = ScriptedTransport::new([
//!     Reply::json(429, r#"{"error":"slow down"}"#).header("retry-after", "2"),
//!     Reply::sse(["data: Hel", "lo\n\n"]).after(Duration::from_secs(3)),
//! ]);
//! # let get = || http::Request::get("https://api.example.com/v1").body(Bytes::new()).unwrap();
//!
//! // Give a clone to a client: `.transport(transport.clone())`. Here the test is the client.
//! let first = transport.block_on(transport.send(get()))?;
//! assert_eq!(first.status(), 429);
//! let second = transport.block_on(transport.send(get()))?;
//! let mut body = second.into_body();
//! assert_eq!(transport.block_on(body.data()).unwrap()?, "data: Hel");
//!
//! assert_eq!(transport.requests().len(), 2);
//! assert_eq!(transport.clock().elapsed(), Duration::from_secs(3));
//! # Ok::<(), inferstream_core::Error>(())
//! ```

mod body;
mod clock;
mod reply;
mod transport;

pub use self::{
    body::{Piece, Watch, body},
    clock::Clock,
    reply::Reply,
    transport::ScriptedTransport,
};
