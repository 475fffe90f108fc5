//! A whole answer, or what came of it, and what came with it.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, StatusCode};

use crate::{
    event::{ChatEvent, FinishReason},
    json::Json,
    message::{Message, Role, ToolCall},
};

/// An answer: whole from `chat` and `finish`, as far as it came from `partial`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ChatResponse {
    /// The answer's id at the provider.
    pub id: Option<String>,
    /// The model that answered, by the provider's word.
    pub model: Option<String>,
    /// The answers by `choice`: one, unless the request asked for several; none before anything came.
    pub choices: Vec<Choice>,
    /// What was counted, where the provider told it.
    pub usage: Option<Usage>,
    /// How long the service took, where it told it.
    pub timing: Option<Timing>,
    /// How the stream ended; `None` while it has not.
    pub end: Option<End>,
}

/// One of the answers to a request.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Choice {
    /// Its number.
    pub index: u32,
    /// The text.
    pub text: String,
    /// The model's thoughts, where the provider shows them.
    pub reasoning: String,
    /// The calls that are whole.
    pub tool_calls: Vec<ToolCall>,
    /// How likely the words were, each piece in the provider's form.
    pub logprobs: Vec<Json>,
    /// As `logprobs`, of the model's thoughts.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub reasoning_logprobs: Vec<Json>,
    /// Why it ended where it did; `None` while it has not.
    pub finish_reason: Option<FinishReason>,
}

/// How a stream showed that it was whole.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum End {
    /// By the protocol's end marker, such as `[DONE]`.
    Marker,
    /// By a finish reason for each choice, or by an answer that is one document.
    FinishReason,
}

impl ChatResponse {
    /// Returns the text.
    pub fn text(&self) -> &str {
        self.first().map_or("", |choice| &choice.text)
    }

    /// Returns the model's thoughts.
    pub fn reasoning(&self) -> &str {
        self.first().map_or("", |choice| &choice.reasoning)
    }

    /// Returns the tool calls that are whole.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.first().map_or(&[], |choice| &choice.tool_calls)
    }

    /// Returns why the answer ended where it did.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.first()
            .and_then(|choice| choice.finish_reason.as_ref())
    }

    /// Returns the answer as a message, to go on with the conversation.
    pub fn message(&self) -> Message {
        let mut message = Message::empty(Role::Assistant);
        if let Some(choice) = self.first() {
            if !choice.text.is_empty() {
                message = message.part(choice.text.as_str());
            }
            if !choice.reasoning.is_empty() {
                message = message.reasoning(choice.reasoning.as_str());
            }
            message.tool_calls.clone_from(&choice.tool_calls);
        }
        message
    }

    fn first(&self) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.index == 0)
    }

    /// Adds what an event says.
    pub fn add(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text { choice, text } => self.choice(*choice).text.push_str(text),
            ChatEvent::Reasoning { choice, text } => self.choice(*choice).reasoning.push_str(text),
            ChatEvent::ToolCall { choice, call, .. } => {
                self.choice(*choice).tool_calls.push(call.clone());
            }
            ChatEvent::Logprobs { choice, logprobs } => {
                self.choice(*choice).logprobs.push(logprobs.clone());
            }
            ChatEvent::ReasoningLogprobs { choice, logprobs } => {
                let choice = self.choice(*choice);
                choice.reasoning_logprobs.push(logprobs.clone());
            }
            ChatEvent::Usage { usage } => self.usage = Some(*usage),
            ChatEvent::Timing { timing } => self.timing = Some(*timing),
            ChatEvent::Finish { choice, reason } => {
                self.choice(*choice).finish_reason = Some(reason.clone());
            }
            ChatEvent::ToolCallStart { .. }
            | ChatEvent::ToolCallDelta { .. }
            | ChatEvent::Raw { .. } => {}
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let place = match self
            .choices
            .binary_search_by_key(&index, |choice| choice.index)
        {
            Ok(place) => place,
            Err(place) => {
                self.choices.insert(
                    place,
                    Choice {
                        index,
                        ..Choice::default()
                    },
                );
                place
            }
        };
        &mut self.choices[place]
    }
}

macro_rules! serde_optional {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
                pub $field: Option<$type>,
            )*
        }
    };
}

serde_optional! {
    /// What the service counted; a count that it did not tell is `None`, which is not zero.
    pub struct Usage {
        /// Tokens of the prompt, those from the cache included.
        pub input_tokens: u64,
        /// Tokens of the answer, those of reasoning included.
        pub output_tokens: u64,
        /// The sum, as the service tells it.
        pub total_tokens: u64,
        /// Tokens of the prompt that came from the service's cache.
        pub cached_tokens: u64,
        /// Tokens of the model's thoughts.
        pub reasoning_tokens: u64,
        /// Tokens of a prediction that the answer took over.
        pub accepted_prediction_tokens: u64,
        /// Tokens of a prediction that it did not.
        pub rejected_prediction_tokens: u64,
    }
}

serde_optional! {
    /// How long the service took by its own clock, in seconds.
    pub struct Timing {
        /// Waiting for its turn.
        pub queue_time: f64,
        /// Reading the prompt.
        pub prompt_time: f64,
        /// Making the answer.
        pub completion_time: f64,
        /// Until the first token of the answer.
        pub first_token_time: f64,
        /// All of it.
        pub total_time: f64,
        /// When it began, in seconds since 1970.
        pub created: f64,
    }
}

/// What came with an answer beside its events.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Meta {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// How often the request was sent.
    pub attempts: u32,
    /// From the start of the request to the head of the answer, earlier attempts included.
    pub time_to_head: Duration,
    /// From the start of the request to the first event; `None` before it.
    pub time_to_first_event: Option<Duration>,
    /// What the user should know though all went well, such as that a model is retired.
    pub warnings: Vec<String>,
    /// Where people can look at the answer, where the provider has a page for it.
    pub web_url: Option<String>,
    /// What the model's program wrote while it worked, where the provider tells it: the last 64 KiB.
    pub logs: String,
}

impl Meta {
    /// Adds to the logs, and drops their beginning where they are too long.
    pub(crate) fn add_logs(&mut self, more: &str) {
        const KEPT: usize = 64 << 10;
        self.logs.push_str(more);
        let over = self.logs.len().saturating_sub(KEPT);
        let start = (over..over + 4).find(|&start| self.logs.is_char_boundary(start));
        self.logs.drain(..start.unwrap_or_default());
    }

    /// Returns the request's id at the provider, where a header names one.
    pub fn request_id(&self) -> Option<&str> {
        request_id(&self.headers)
    }

    /// Returns what the headers say of the rate limits.
    pub fn rate_limits(&self) -> RateLimits {
        RateLimits::from_headers(&self.headers)
    }
}

/// Reads a request's id from the headers that providers and their gateways use.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    ["x-request-id", "request-id", "inference-id", "cf-ray"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok())
}

/// What a service says of its rate limits, by resource and period.
///
/// Read from headers `x-ratelimit-{limit|remaining|reset}-{resource}[-{period}]` whatever the
/// resources and periods are: providers change them
/// (Cerebras has had `requests-day`, `tokens-minute` and un-suffixed ones).
/// `ratelimit-remaining` and its like, which name no resource, are of `requests`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimits {
    /// The limits, by the end of the header's name, such as `tokens-minute`.
    pub limits: BTreeMap<String, RateLimit>,
}

/// One rate limit; what the service did not tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many are allowed in a period.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// When the period begins anew.
    pub reset: Option<Duration>,
}

impl RateLimits {
    /// Reads the limits from an answer's headers.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut limits = BTreeMap::<String, RateLimit>::new();
        for (name, value) in headers {
            let name = name.as_str();
            let named = name.strip_prefix("x-ratelimit-");
            let named = named.and_then(|rest| rest.split_once('-'));
            let bare = name.strip_prefix("ratelimit-");
            let Some((what, resource)) = named.or(bare.map(|what| (what, "requests"))) else {
                continue;
            };
            let Ok(value) = value.to_str() else { continue };
            let count = || value.trim().parse().ok();
            match what {
                "limit" => limits.entry(resource.to_owned()).or_default().limit = count(),
                "remaining" => limits.entry(resource.to_owned()).or_default().remaining = count(),
                "reset" => limits.entry(resource.to_owned()).or_default().reset = seconds(value),
                _ => {}
            }
        }
        Self { limits }
    }

    /// Returns the limit of a resource and period, such as `tokens-minute`.
    pub fn get(&self, resource: &str) -> Option<&RateLimit> {
        self.limits.get(resource)
    }

    /// Returns true if the service told none.
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().trim_end_matches('s').parse().ok()?).ok()
}
