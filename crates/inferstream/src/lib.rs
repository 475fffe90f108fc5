#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod hub;

// The recipes need all of these to run, so they are part of the documentation with all features.
#[cfg(all(
    feature = "cerebras",
    feature = "compose",
    feature = "json",
    feature = "openai-compat",
    feature = "replicate",
    feature = "schemars",
    feature = "transport",
))]
pub mod cookbook;

pub use crate::hub::Hub;
#[cfg(feature = "compose")]
#[doc(inline)]
pub use inferstream_compose::*;
#[doc(inline)]
pub use inferstream_core::*;

#[cfg(feature = "cablyai")]
#[doc(inline)]
pub use inferstream_cablyai as cablyai;
#[cfg(feature = "cerebras")]
#[doc(inline)]
pub use inferstream_cerebras as cerebras;
#[cfg(feature = "cloudflare")]
#[doc(inline)]
pub use inferstream_cloudflare as cloudflare;
#[cfg(feature = "openai-compat")]
#[doc(inline)]
pub use inferstream_openai_compat as openai_compat;
#[cfg(feature = "replicate")]
#[doc(inline)]
pub use inferstream_replicate as replicate;
#[cfg(feature = "transport")]
#[doc(inline)]
pub use inferstream_transport as transport;
