#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;

mod encode;
mod inputs;
mod target;

mod api;
mod host;
mod link;

mod decode;
mod event;
mod place;
mod wire;

mod error;
mod models;

pub use crate::{
    builder::ReplicateBuilder,
    client::Replicate,
    inputs::{Images, Inputs},
    models::Version,
};
#[doc(no_inline)]
pub use inferstream_core::*;
#[cfg(feature = "transport")]
#[doc(no_inline)]
pub use inferstream_transport::HttpTransport;
