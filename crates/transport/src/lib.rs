#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;

mod connect;
mod names;
mod proxy;
mod tls;

mod body;
mod exchange;
mod pool;
mod relay;
mod switched;
mod watch;

mod error;
mod runtime;
mod timeout;

#[cfg(feature = "tower")]
pub mod tower;

pub use crate::{builder::HttpTransportBuilder, client::HttpTransport, tls::Roots};
#[doc(no_inline)]
pub use inferstream_core::{
    Body, BoxFuture, Error, ErrorKind, Phase, ReplayStale, Replays, Result, Sent, Timeouts, Timer,
    Transport,
};
