#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod client;
mod dialect;
mod gzip;

mod session;

pub use crate::{
    client::{Cerebras, CerebrasBuilder},
    dialect::HISTORICAL_DEFAULT_MODEL,
};
#[doc(no_inline)]
pub use inferstream_core::*;
#[cfg(feature = "schemars")]
#[doc(no_inline)]
pub use inferstream_openai_compat::json_schema;
#[doc(inline)]
pub use inferstream_session::Cookies;
#[cfg(feature = "transport")]
#[doc(no_inline)]
pub use inferstream_transport::HttpTransport;
