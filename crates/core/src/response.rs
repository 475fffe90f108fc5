//! A complete or partial response.

use std::time::Duration;

use crate::{
    event::{ChatEvent, FinishReason},
    json::Json,
    message::{Message, Role, ToolCall},
    meta::Meta,
};

/// A response: complete from `chat` and `finish`, partial from `partial`.
///
/// Equality ignores [`meta`](Self::meta), because ids and times differ between requests.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ChatResponse {
    /// The provider's id of the response.
    pub id: Option<String>,
    /// The model's name as the provider reported it.
    pub model: Option<String>,
    /// The choices by index: one, unless the request asked for several; empty until content arrives.
    pub choices: Vec<Choice>,
    /// Token usage, if the provider reported it.
    pub usage: Option<Usage>,
    /// The service's timing, if the provider reported it.
    pub timing: Option<Timing>,
    /// How the stream ended; `None` until it does.
    pub end: Option<End>,
    /// The metadata: headers, request id, rate limits, times, warnings. It is not serialized.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub meta: Meta,
}

/// One of the choices of a response.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Choice {
    /// Its index.
    pub index: u32,
    /// The text.
    pub text: String,
    /// The model's reasoning, if the provider sends it.
    pub reasoning: String,
    /// The complete tool calls.
    pub tool_calls: Vec<ToolCall>,
    /// Log probabilities, one entry per fragment, in the provider's format.
    pub logprobs: Vec<Json>,
    /// Log probabilities of the reasoning.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Vec::is_empty")
    )]
    pub reasoning_logprobs: Vec<Json>,
    /// Why it ended; `None` until it does.
    pub finish_reason: Option<FinishReason>,
}

/// What showed that a stream is complete.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum End {
    /// The protocol's end marker, such as `[DONE]`.
    Marker,
    /// A finish reason for each choice, or a response that is one document.
    FinishReason,
}

impl ChatResponse {
    /// Returns the text.
    pub fn text(&self) -> &str {
        self.choice(0).map_or("", |choice| &choice.text)
    }

    /// Returns the model's reasoning.
    pub fn reasoning(&self) -> &str {
        self.choice(0).map_or("", |choice| &choice.reasoning)
    }

    /// Returns the complete tool calls.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.choice(0).map_or(&[], |choice| &choice.tool_calls)
    }

    /// Returns why the response ended.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.choice(0)
            .and_then(|choice| choice.finish_reason.as_ref())
    }

    /// Returns the response as a message, to continue the conversation.
    pub fn message(&self) -> Message {
        let none = || Message::empty(Role::Assistant);
        self.choice(0).map_or_else(none, Choice::message)
    }

    /// Returns a choice by its index, for a request with [`n`](crate::ChatRequest::n); `None` if
    /// nothing of it arrived. The methods without an index use choice 0.
    ///
    /// ```
    /// # use inferstream_core::{ChatEvent, ChatResponse};
    /// # let mut response = ChatResponse::default();
    /// # response.add(&ChatEvent::text(0, "Blue."));
    /// # response.add(&ChatEvent::text(1, "Azure."));
    /// assert_eq!(response.text(), "Blue.");
    /// assert_eq!(response.choice(1).map(|choice| &*choice.text), Some("Azure."));
    /// assert!(response.choice(2).is_none());
    /// ```
    pub fn choice(&self, index: u32) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.index == index)
    }

    /// Returns the output tokens per second, of all choices together.
    ///
    /// The tokens are [`Usage::output_tokens`], which include reasoning. The time is the service's
    /// [`Timing::completion_time`] if it reports one, or else the time from
    /// [`Meta::time_to_first_event`] to [`Meta::time_to_end`], which includes the network, buffering
    /// gateways and slow callers.
    ///
    /// `None` if the service did not report the number of tokens, before the end, and if the response
    /// was not streamed ([`Meta::streamed`]): the time in which a document arrives is not the time in
    /// which it was generated.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use inferstream_core::{ChatResponse, Timing, Usage};
    /// # let mut response = ChatResponse::default();
    /// # let mut usage = Usage::default();
    /// # usage.output_tokens = Some(120);
    /// # response.usage = Some(usage);
    /// # response.meta.streamed = true;
    /// # response.meta.time_to_first_event = Some(Duration::from_millis(500));
    /// # response.meta.time_to_end = Some(Duration::from_millis(2_500));
    /// assert_eq!(response.usage.unwrap().output_tokens, Some(120));
    /// assert_eq!(response.meta.time_to_first_event, Some(Duration::from_millis(500)));
    /// assert_eq!(response.meta.time_to_end, Some(Duration::from_millis(2_500)));
    /// assert_eq!(response.tokens_per_second(), Some(60.0));
    ///
    /// // A time that the service reports takes precedence.
    /// let mut timing = Timing::default();
    /// timing.completion_time = Some(0.5);
    /// response.timing = Some(timing);
    /// assert_eq!(response.tokens_per_second(), Some(240.0));
    /// ```
    pub fn tokens_per_second(&self) -> Option<f64> {
        let tokens = self.usage?.output_tokens?;
        let told = self.timing.and_then(|timing| timing.completion_time);
        let told = told.filter(|seconds| 0.0 < *seconds && seconds.is_finite());
        let own = || {
            self.meta
                .time_streaming()
                .as_ref()
                .map(Duration::as_secs_f64)
        };
        // Counts of tokens are far below 2⁵².
        #[allow(clippy::cast_precision_loss)]
        let rate = tokens as f64 / told.or_else(own)?;
        // A duration of zero gives no rate.
        rate.is_finite().then_some(rate)
    }

    /// Adds an event.
    pub fn add(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text { choice, text } => self.choice_mut(*choice).text.push_str(text),
            ChatEvent::Reasoning { choice, text } => {
                self.choice_mut(*choice).reasoning.push_str(text);
            }
            ChatEvent::ToolCall { choice, call, .. } => {
                self.choice_mut(*choice).tool_calls.push(call.clone());
            }
            ChatEvent::Logprobs { choice, logprobs } => {
                self.choice_mut(*choice).logprobs.push(logprobs.clone());
            }
            ChatEvent::ReasoningLogprobs { choice, logprobs } => {
                let choice = self.choice_mut(*choice);
                choice.reasoning_logprobs.push(logprobs.clone());
            }
            ChatEvent::Usage { usage } => self.usage = Some(*usage),
            ChatEvent::Timing { timing } => self.timing = Some(*timing),
            ChatEvent::Finish { choice, reason } => {
                self.choice_mut(*choice).finish_reason = Some(reason.clone());
            }
            // Incomplete calls are not kept, but the choice has begun.
            ChatEvent::ToolCallStart { choice, .. } | ChatEvent::ToolCallDelta { choice, .. } => {
                self.choice_mut(*choice);
            }
            ChatEvent::Raw { .. } => {}
        }
    }

    fn choice_mut(&mut self, index: u32) -> &mut Choice {
        let place = match self
            .choices
            .binary_search_by_key(&index, |choice| choice.index)
        {
            Ok(place) => place,
            Err(place) => {
                // Most responses have one choice, and a vector would make room for four.
                self.choices.reserve_exact(1);
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

impl PartialEq for ChatResponse {
    fn eq(&self, other: &Self) -> bool {
        // Every field is named, so that a new one is not forgotten.
        let Self {
            id,
            model,
            choices,
            usage,
            timing,
            end,
            meta: _,
        } = self;
        *id == other.id
            && *model == other.model
            && *choices == other.choices
            && *usage == other.usage
            && *timing == other.timing
            && *end == other.end
    }
}

impl Choice {
    /// Returns this choice as a message, to continue the conversation from it.
    ///
    /// ```
    /// # use inferstream_core::{ChatEvent, ChatRequest, ChatResponse};
    /// # let mut response = ChatResponse::default();
    /// # response.add(&ChatEvent::text(0, "Blue."));
    /// # response.add(&ChatEvent::text(1, "Azure."));
    /// let request = ChatRequest::new("gpt-oss-120b").user("Which colour is the sky?");
    /// let request = match response.choice(1) {
    ///     Some(choice) => request.message(choice.message()).user("Since when?"),
    ///     None => request,
    /// };
    /// assert_eq!(request.messages[1].text(), "Azure.");
    /// ```
    pub fn message(&self) -> Message {
        let mut message = Message::empty(Role::Assistant);
        if !self.text.is_empty() {
            message = message.part(self.text.as_str());
        }
        if !self.reasoning.is_empty() {
            message = message.reasoning(self.reasoning.as_str());
        }
        message.tool_calls.clone_from(&self.tool_calls);
        message
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
    /// Token usage; counts that the service did not report are `None`, not zero.
    pub struct Usage {
        /// Tokens of the prompt, cached ones included.
        pub input_tokens: u64,
        /// Tokens of the response, reasoning included.
        pub output_tokens: u64,
        /// The sum, as the service reports it.
        pub total_tokens: u64,
        /// Tokens of the prompt that were read from the service's cache.
        pub cached_tokens: u64,
        /// Tokens of the reasoning.
        pub reasoning_tokens: u64,
        /// Tokens of a predicted output that were accepted.
        pub accepted_prediction_tokens: u64,
        /// Tokens of a predicted output that were rejected.
        pub rejected_prediction_tokens: u64,
    }
}

serde_optional! {
    /// The service's timing by its own clock, in seconds.
    pub struct Timing {
        /// The time in the queue.
        pub queue_time: f64,
        /// The time to process the prompt.
        pub prompt_time: f64,
        /// The time to generate the response.
        pub completion_time: f64,
        /// The time to the first token of the response.
        pub first_token_time: f64,
        /// The total time.
        pub total_time: f64,
        /// The start, in seconds since 1970.
        pub created: f64,
    }
}
