#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod request;

mod message;

mod event;

mod response;

mod stream;

mod provider;

mod transport;

mod retry;

mod timeouts;

mod error;

mod secret;

mod text;

mod json;

mod model;

pub mod sse;

pub use crate::{
    error::{Error, ErrorKind, Repeat, Result, Sent},
    event::{ChatEvent, Events, FinishReason},
    json::Json,
    message::{ImageSource, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice},
    model::{Capabilities, Model, ProviderInfo},
    provider::Provider,
    request::{ChatRequest, check_headers},
    response::{ChatResponse, Choice, End, Meta, RateLimit, RateLimits, Timing, Usage},
    retry::{RetryPolicy, retry_after},
    secret::ApiKey,
    stream::{ChatStream, Decode, Ending, EventStream, Flow, Started, TextStream, read_stream},
    text::Text,
    timeouts::{Phase, Timeouts},
    transport::{Body, BoxFuture, ReplayStale, Transport},
};
