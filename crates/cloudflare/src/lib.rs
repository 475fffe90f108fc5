#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;

mod models;

pub mod playground;
mod workers_ai;

pub use crate::{builder::CloudflareBuilder, client::Cloudflare, workers_ai::Door};
#[doc(no_inline)]
pub use inferstream_core::*;
#[cfg(feature = "schemars")]
#[doc(no_inline)]
pub use inferstream_openai_compat::json_schema;
#[cfg(feature = "transport")]
#[doc(no_inline)]
pub use inferstream_transport::HttpTransport;
