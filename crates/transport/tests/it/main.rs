//! The transport against servers and proxies on loopback, with scripted bytes.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their servers

mod exchange;
mod limits;
mod pool;
mod proxy;
mod server;
mod settings;
mod switched;
mod tls;
#[cfg(feature = "tower")]
mod tower;
