//! The settings of a request, each declared once.

use std::{collections::BTreeMap, fmt};

use http::HeaderMap;

use crate::{
    json::Json,
    message::{Message, ResponseFormat, Tool, ToolChoice},
    retry::RetryPolicy,
    timeouts::Timeouts,
    trace::RecordContent,
    unsupported::OnUnsupported,
};

/// Declares [`ChatRequest`] and [`Field`].
///
/// Each row is one setting: `Variant field: type`, then `set: type` if its setter is generated with
/// that parameter type, and `default: value` if that value is equivalent to an unset one.
macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $variant:ident $name:ident: $type:ty $(, set: $taken:ty)? $(, default: $default:expr)?;
    )*) => {
        /// A request to a model: the conversation and the settings.
        ///
        /// For a setting that is `None` or empty, the service's default applies.
        /// Plain text converts to a request for the provider's default model:
        ///
        /// ```
        /// use inferstream_core::ChatRequest;
        ///
        /// let short = ChatRequest::from("Why is the sky blue?");
        /// let long = ChatRequest::new("gpt-oss-120b")
        ///     .system("Answer in one sentence.")
        ///     .user("Why is the sky blue?")
        ///     .temperature(0.2)
        ///     .max_tokens(256)
        ///     .stop(["\n\n"])
        ///     .extra("prompt_cache_key", "sky");
        /// assert_eq!(short.model, None);
        /// assert_eq!(long.messages.len(), 2);
        /// ```
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(
            feature = "serde",
            derive(serde::Deserialize, serde::Serialize),
            serde(default)
        )]
        #[non_exhaustive]
        pub struct ChatRequest {
            /// The model, or the provider's default.
            pub model: Option<String>,
            /// The conversation, oldest first.
            pub messages: Vec<Message>,
            $(
                $(#[$doc])*
                pub $name: $type,
            )*
            /// How to handle settings that the provider does not support. `None` refuses the request
            /// for a setting that shapes the response, and drops with a warning what the response may
            /// do without, such as a limit within a schema.
            pub on_unsupported: Option<OnUnsupported>,
            /// Members of the body that this type does not know; they replace settings of the same name.
            pub extra: Vec<(String, Json)>,
            /// Headers for this request alone; they replace the client's.
            #[cfg_attr(feature = "serde", serde(skip))]
            pub headers: HeaderMap,
            /// Timeouts for this request alone.
            #[cfg_attr(feature = "serde", serde(skip))]
            pub timeouts: Option<Timeouts>,
            /// Retries for this request alone.
            #[cfg_attr(feature = "serde", serde(skip))]
            pub retry: Option<RetryPolicy>,
            /// Whether each chunk is also returned as a `Raw` event.
            pub raw: bool,
            /// Whether the feature `tracing` records the messages of the request and its response.
            #[cfg_attr(feature = "serde", serde(skip))]
            pub record_content: RecordContent,
        }

        impl ChatRequest {
            $(setter! {
                #[doc = concat!("Sets [`", stringify!($name), "`](field@Self::", stringify!($name), ").")]
                ///
                $(#[$doc])*
                $name $($taken)?
            })*

            /// Returns the settings that differ from the default; an `n` of 1, for example, does not.
            ///
            /// ```
            /// use inferstream_core::{ChatRequest, Field};
            ///
            /// let request = ChatRequest::from("Why is the sky blue?").seed(7).n(1).max_tokens(64);
            /// assert_eq!(request.settings().collect::<Vec<_>>(), [Field::MaxTokens, Field::Seed]);
            /// ```
            pub fn settings(&self) -> impl Iterator<Item = Field> + use<> {
                let settings = [$((
                    Field::$variant,
                    self.$name != <$type>::default() $(&& self.$name != Some($default))?,
                ),)*];
                settings.into_iter().filter_map(|(field, asks)| asks.then_some(field))
            }

            /// Returns a setting as JSON, if it is set and is a number, a string or a boolean.
            ///
            /// ```
            /// use inferstream_core::{ChatRequest, Field, Json};
            ///
            /// let request = ChatRequest::from("Why is the sky blue?").seed(7).stop(["\n"]);
            /// assert_eq!(request.value(Field::Seed), Some(Json::from(7)));
            /// assert_eq!(request.value(Field::Stop), None);
            /// ```
            pub fn value(&self, field: Field) -> Option<Json> {
                match field {
                    $(Field::$variant => self.$name.json(),)*
                }
            }

            /// Resets a setting to the service's default.
            pub fn unset(&mut self, field: Field) {
                match field {
                    $(Field::$variant => self.$name = <$type>::default(),)*
                }
            }

            /// Returns a setting that contains a number which is not finite, and so cannot be
            /// written as JSON.
            pub(crate) fn not_finite(&self) -> Option<Field> {
                let settings = [$((Field::$variant, self.$name.is_finite()),)*];
                settings.into_iter().find_map(|(field, is_finite)| (!is_finite).then_some(field))
            }
        }

        /// A setting of a [`ChatRequest`], which a service may or may not support.
        ///
        /// `model`, `messages`, `extra` and settings that stay in the client are not included.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum Field {
            $(
                $(#[$doc])*
                $variant,
            )*
        }

        impl Field {
            /// All settings, in the order in which requests list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name of the request's field, such as `max_tokens`.
            ///
            /// The chat protocol uses the same names, except `user` for `user_id`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($name),)*
                }
            }
        }
    };
}

/// Generates the setter, if there is one.
macro_rules! setter {
    ($(#[$doc:meta])* $name:ident) => {};
    ($(#[$doc:meta])* $name:ident $taken:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(mut self, $name: $taken) -> Self {
            self.$name = Some($name.into());
            self
        }
    };
}

settings! {
    /// Token limit of the response, reasoning included.
    MaxTokens max_tokens: Option<u64>, set: u64;
    /// Sampling temperature, from 0 to 2 with most services.
    Temperature temperature: Option<f64>, set: f64;
    /// Share of the probability to sample from (nucleus sampling), from 0 to 1.
    TopP top_p: Option<f64>, set: f64;
    /// Number of most likely tokens to sample from.
    TopK top_k: Option<u32>, set: u32;
    /// Texts that end the response and are not part of it.
    Stop stop: Vec<String>;
    /// Sampling seed.
    Seed seed: Option<i64>, set: i64;
    /// Number of choices; the `choice` of an event is the index of its choice.
    N n: Option<u32>, set: u32, default: 1;
    /// Frequency penalty, from -2 to 2: the more often a token occurred, the less likely it is.
    FrequencyPenalty frequency_penalty: Option<f64>, set: f64;
    /// Presence penalty, from -2 to 2: a token is less likely if it occurred at all.
    PresencePenalty presence_penalty: Option<f64>, set: f64;
    /// Bias of tokens, by their number in the model's vocabulary, from -100 (never) to 100 (always).
    LogitBias logit_bias: BTreeMap<u32, f64>;
    /// Whether to return log probabilities.
    Logprobs logprobs: Option<bool>, set: bool, default: false;
    /// Number of alternative tokens to return with log probabilities at each position, from 0 to 20;
    /// implies `logprobs`.
    TopLogprobs top_logprobs: Option<u32>, set: u32;
    /// Reasoning effort, in the provider's term, such as `low`.
    ReasoningEffort reasoning_effort: Option<String>, set: impl Into<String>;
    /// Format of the reasoning, in the provider's term, such as `parsed` or `hidden`.
    ReasoningFormat reasoning_format: Option<String>, set: impl Into<String>;
    /// Predicted output, such as a file of which little changes. Parts that match it are returned
    /// faster.
    Prediction prediction: Option<String>, set: impl Into<String>;
    /// Service tier, in the provider's term, such as `flex`.
    ServiceTier service_tier: Option<String>, set: impl Into<String>;
    /// Tools that the model may call.
    Tools tools: Vec<Tool>;
    /// Which tools the model may or must call.
    ToolChoice tool_choice: Option<ToolChoice>, set: ToolChoice, default: ToolChoice::Auto;
    /// Whether the model may call several tools at once.
    ParallelToolCalls parallel_tool_calls: Option<bool>, set: bool;
    /// Format of the response.
    ResponseFormat response_format: Option<ResponseFormat>, set: ResponseFormat, default: ResponseFormat::Text;
    /// Identifier of the end user, for the service's own records.
    UserId user_id: Option<String>, set: impl Into<String>;
}

impl ChatRequest {
    /// Returns true if [`extra`](Self::extra) has a member of this name.
    ///
    /// ```
    /// # use inferstream_core::ChatRequest;
    /// let request = ChatRequest::from("Why is the sky blue?").extra("lora", "sky");
    /// assert!(request.has_extra("lora"));
    /// ```
    pub fn has_extra(&self, name: &str) -> bool {
        self.extra.iter().any(|(known, _)| known == name)
    }

    /// Removes the settings that a member of [`extra`](Self::extra) replaces, so that they are not
    /// checked for support: the member is sent instead. `name` returns a setting's name on the
    /// wire, which depends on the provider.
    ///
    /// ```
    /// # use inferstream_core::{ChatRequest, Field};
    /// let mut request = ChatRequest::from("Why is the sky blue?").seed(7).n(2);
    /// request = request.extra("seed", 8);
    /// request.yield_to_extra(Field::name);
    /// assert_eq!(request.settings().collect::<Vec<_>>(), [Field::N]);
    /// ```
    pub fn yield_to_extra<'a>(&mut self, name: impl Fn(Field) -> &'a str) {
        for field in self.settings() {
            if self.has_extra(name(field)) {
                self.unset(field);
            }
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a setting.
trait Value {
    /// Returns the value as JSON, if it is set and is a number, a string or a boolean.
    fn json(&self) -> Option<Json> {
        None
    }

    /// Returns false for a number that JSON cannot express.
    fn is_finite(&self) -> bool {
        true
    }
}

impl<T: Value> Value for Option<T> {
    fn json(&self) -> Option<Json> {
        self.as_ref().and_then(T::json)
    }

    fn is_finite(&self) -> bool {
        self.as_ref().is_none_or(T::is_finite)
    }
}

macro_rules! exact {
    ($($type:ty)*) => {
        $(impl Value for $type {
            fn json(&self) -> Option<Json> {
                Some(Json::from(*self))
            }
        })*
    };
}

exact!(bool i64 u32 u64);

impl Value for f64 {
    fn json(&self) -> Option<Json> {
        Some(Json::from(*self))
    }

    fn is_finite(&self) -> bool {
        f64::is_finite(*self)
    }
}

impl Value for String {
    fn json(&self) -> Option<Json> {
        Some(Json::from(self.as_str()))
    }
}

impl Value for BTreeMap<u32, f64> {
    fn is_finite(&self) -> bool {
        self.values().all(Value::is_finite)
    }
}

impl<T> Value for Vec<T> {}

impl Value for ResponseFormat {}

impl Value for ToolChoice {}
