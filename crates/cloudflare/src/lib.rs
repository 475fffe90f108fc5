#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;

mod models;

#[cfg(feature = "playground")]
#[cfg_attr(docsrs, doc(cfg(feature = "playground")))]
pub mod playground;
mod workers_ai;

pub use crate::{builder::CloudflareBuilder, client::Cloudflare, workers_ai::Endpoint};
#[doc(inline)]
pub use inferstream_core::{
    ApiKey, Body, BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream,
    Choice, End, Error, ErrorKind, Field, FinishReason, ImageSource, Json, Message, Meta, Model,
    OnUnsupported, Part, Phase, Provider, ProviderInfo, RateLimit, RateLimits, RecordContent,
    Repeat, ResponseFormat, Result, RetryPolicy, Role, Sent, Text, TextStream, Timeouts, Timer,
    Timing, Tool, ToolCall, ToolChoice, Transport, Unsupported, Usage,
};
#[cfg(feature = "schemars")]
#[doc(inline)]
pub use inferstream_openai_compat::json_schema;
#[cfg(feature = "transport")]
#[doc(inline)]
pub use inferstream_transport::HttpTransport;
