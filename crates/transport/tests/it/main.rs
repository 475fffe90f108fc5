//! Tests of the transport against scripted servers and proxies on loopback.

#![allow(clippy::unwrap_used)] // clippy allows it in tests only, not in the helpers around them

#[cfg(target_os = "linux")]
mod descriptors;
mod exchange;
mod limits;
mod outage;
mod pool;
mod proxy;
mod server;
mod settings;
mod switched;
mod tls;
#[cfg(feature = "tower")]
mod tower;
mod wakes;
