#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod message;
mod request;
mod settings;

mod event;
mod meta;
mod response;
mod stream;

pub mod sse;

pub mod protocol;
pub mod provider;
mod trace;
mod transport;

mod budget;
mod error;
mod error_kind;
mod retry;
mod timeouts;

mod duration;
mod json;
mod line;
mod model;
mod partial_json;
mod secret;
mod text;
#[cfg(feature = "json")]
mod typed;
mod unsupported;

pub use crate::{
    error::{Error, ErrorKind, Repeat, Result, Sent},
    event::{ChatEvent, FinishReason},
    json::Json,
    message::{ImageSource, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice},
    meta::{Meta, RateLimit, RateLimits},
    model::{Capabilities, Model, ProviderInfo},
    provider::Provider,
    response::{ChatResponse, Choice, End, Timing, Usage},
    retry::RetryPolicy,
    secret::ApiKey,
    settings::{ChatRequest, Field},
    stream::{ChatStream, TextStream},
    text::Text,
    timeouts::{Phase, Timeouts},
    trace::RecordContent,
    transport::{Body, BoxFuture, Duplex, ReplayStale, Replays, Timer, Transport},
    unsupported::{OnUnsupported, Unsupported},
};
