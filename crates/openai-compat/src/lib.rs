#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod chat;
mod compatible;
mod dialect;
mod guard;
mod preset;

mod encode;
mod schema;
mod schema_uri;

mod content;
mod json_text;
mod lenient;
mod members;
mod numbers;
mod surrogates;
mod wire;

mod choice;
mod decode;
mod finish_reason;
mod known;
mod metadata;
mod plain;
mod template;
mod text;
mod tool_calls;

mod error;
mod failure;
mod models;
mod told;
#[cfg(feature = "schemars")]
mod typed;

#[cfg(feature = "schemars")]
pub use crate::typed::json_schema;
pub use crate::{
    chat::{Chat, Encoded},
    compatible::{Compatible, CompatibleBuilder},
    decode::ChatDecode,
    dialect::Dialect,
    numbers::null_non_finite,
    preset::Preset,
    schema::SchemaRules,
    schema_uri::without_schema_uri,
    template::Template,
};
#[doc(inline)]
pub use inferstream_client::Dropped;
#[doc(inline)]
pub use inferstream_core::{
    ApiKey, Body, BoxFuture, Capabilities, ChatEvent, ChatRequest, ChatResponse, ChatStream,
    Choice, End, Error, ErrorKind, Field, FinishReason, ImageSource, Json, Message, Meta, Model,
    OnUnsupported, Part, Phase, Provider, ProviderInfo, RateLimit, RateLimits, RecordContent,
    Repeat, ResponseFormat, Result, RetryPolicy, Role, Sent, Text, TextStream, Timeouts, Timer,
    Timing, Tool, ToolCall, ToolChoice, Transport, Unsupported, Usage, protocol::Decode,
};
#[cfg(feature = "transport")]
#[doc(inline)]
pub use inferstream_transport::HttpTransport;
