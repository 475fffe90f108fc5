#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod client;

mod protocol;
mod settings;

mod encode;
mod info;
mod inputs;
mod model_ref;

mod create;
mod prediction;
mod request;
mod trust;

mod decode;
mod event;
mod resume;
mod wire;

mod error;
mod models;
mod object;

pub use crate::{
    builder::ReplicateBuilder,
    client::Replicate,
    inputs::{Images, Inputs},
    models::Version,
};
#[doc(inline)]
pub use inferstream_core::{
    ApiKey, Body, BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream,
    Choice, End, Error, ErrorKind, Field, FinishReason, ImageSource, Json, Message, Meta, Model,
    OnUnsupported, Part, Phase, Provider, ProviderInfo, RateLimit, RateLimits, RecordContent,
    Repeat, ResponseFormat, Result, RetryPolicy, Role, Sent, Text, TextStream, Timeouts, Timer,
    Timing, Tool, ToolCall, ToolChoice, Transport, Unsupported, Usage,
};
#[cfg(feature = "transport")]
#[doc(inline)]
pub use inferstream_transport::HttpTransport;
