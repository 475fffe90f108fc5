#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod hub;

pub use crate::hub::Hub;
#[doc(inline)]
pub use inferstream_core::*;

#[cfg(feature = "cerebras")]
#[doc(inline)]
pub use inferstream_cerebras as cerebras;
#[cfg(feature = "cloudflare")]
#[doc(inline)]
pub use inferstream_cloudflare as cloudflare;
#[cfg(feature = "replicate")]
#[doc(inline)]
pub use inferstream_replicate as replicate;
#[cfg(feature = "transport")]
#[doc(inline)]
pub use inferstream_transport as transport;
