#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod dialect;
mod gzip;

mod cookies;
mod session;

pub use crate::{
    client::{Cerebras, CerebrasBuilder},
    cookies::Cookies,
    dialect::HISTORICAL_DEFAULT_MODEL,
};
#[doc(no_inline)]
pub use inferstream_core::*;
#[cfg(feature = "schemars")]
#[doc(no_inline)]
pub use inferstream_openai_compat::json_schema;
#[cfg(feature = "transport")]
#[doc(no_inline)]
pub use inferstream_transport::HttpTransport;
