//! A whole answer, or what came of it.

use std::time::Duration;

use crate::{
    event::{ChatEvent, FinishReason},
    json::Json,
    message::{Message, Role, ToolCall},
    meta::Meta,
};

/// An answer: whole from `chat` and `finish`, as far as it came from `partial`.
///
/// Two are equal that say the same, whatever their [`meta`](Self::meta): no request comes twice
/// with the same id or takes the same time.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct ChatResponse {
    /// The answer's id at the provider.
    pub id: Option<String>,
    /// The model that answered, by the provider's word.
    pub model: Option<String>,
    /// The answers by `choice`: one, unless the request asked for several; none before anything of
    /// it came, be it the beginning of a tool call.
    pub choices: Vec<Choice>,
    /// What was counted, where the provider told it.
    pub usage: Option<Usage>,
    /// How long the service took, where it told it.
    pub timing: Option<Timing>,
    /// How the stream ended; `None` while it has not.
    pub end: Option<End>,
    /// What came with it: headers, request id, rate limits, times, warnings. It is no part of the
    /// serde form: what is read from that has none.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub meta: Meta,
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
        self.choice(0).map_or("", |choice| &choice.text)
    }

    /// Returns the model's thoughts.
    pub fn reasoning(&self) -> &str {
        self.choice(0).map_or("", |choice| &choice.reasoning)
    }

    /// Returns the tool calls that are whole.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.choice(0).map_or(&[], |choice| &choice.tool_calls)
    }

    /// Returns why the answer ended where it did.
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        self.choice(0)
            .and_then(|choice| choice.finish_reason.as_ref())
    }

    /// Returns the answer as a message, to go on with the conversation.
    pub fn message(&self) -> Message {
        let none = || Message::empty(Role::Assistant);
        self.choice(0).map_or_else(none, Choice::message)
    }

    /// Returns one of several answers by its number, for a request with [`n`](crate::ChatRequest::n);
    /// `None` where nothing has come of it. The methods without a number are of choice 0.
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

    /// Returns how many tokens of output the service made in a second, all choices together.
    ///
    /// The tokens are [`Usage::output_tokens`], those of reasoning included. The time is the service's
    /// own where it tells one, [`Timing::completion_time`]; else it is ours, from the first event to
    /// the end: [`Meta::time_to_first_event`] to [`Meta::time_to_end`]. By ours the network counts too,
    /// a gateway that holds pieces back, and a caller who takes the events slowly.
    ///
    /// `None` where the service has not told how many tokens there are, and where nothing says how
    /// long they took: before the end, and where the answer did not come in pieces
    /// ([`Meta::streamed`]), since the time that a document takes to come says nothing of the time
    /// that it took to make.
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
    /// // The service knows better.
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
        // No time is no measure.
        rate.is_finite().then_some(rate)
    }

    /// Adds what an event says.
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
            // What is not whole is kept by nobody, but the choice has begun.
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
        // Each by its name, so that a further one is not forgotten.
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
    /// Returns this answer as a message, to go on with the conversation from it.
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
