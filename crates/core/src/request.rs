//! What is asked.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    error::{Error, Result},
    json::Json,
    message::{Message, Part, ResponseFormat, Tool, ToolChoice},
    retry::RetryPolicy,
    timeouts::Timeouts,
    unsupported::OnUnsupported,
};

/// A question to a model: the conversation so far and how to answer.
///
/// Every setting that is `None` or empty is left to the service.
/// Plain text is a request to the provider's default model:
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
    /// How freely to choose words, 0 to 2 at most providers.
    pub temperature: Option<f64>,
    /// The share of likely words to choose from, 0 to 1.
    pub top_p: Option<f64>,
    /// The most tokens to answer with, those of reasoning included.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// The seed of the choice of words.
    pub seed: Option<i64>,
    /// How many answers to give: the events' `choice` tells them apart.
    pub n: Option<u32>,
    /// How much to shun words by how often they came, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// How much to shun words that came at all, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// What makes tokens more or less likely, by their number in the model's vocabulary: -100, which
    /// is never, to 100, which is always.
    pub logit_bias: BTreeMap<u32, f64>,
    /// Whether to tell how likely the words of the answer were.
    pub logprobs: Option<bool>,
    /// How many other words to tell of at each place, 0 to 20; asks for `logprobs` too.
    pub top_logprobs: Option<u32>,
    /// How hard to think: the provider's word, such as `low`.
    pub reasoning_effort: Option<String>,
    /// How to give the thoughts: the provider's word, such as `parsed` or `hidden`.
    pub reasoning_format: Option<String>,
    /// What the answer is likely to be, such as a file that is to be changed in one place: what it
    /// takes over comes faster.
    pub prediction: Option<String>,
    /// How soon, and at what price: the provider's word, such as `flex`.
    pub service_tier: Option<String>,
    /// The tools that the model may ask for.
    pub tools: Vec<Tool>,
    /// Which of them it may or must ask for.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may ask for several at once.
    pub parallel_tool_calls: Option<bool>,
    /// What form the answer must have.
    pub response_format: Option<ResponseFormat>,
    /// Who asks, for the service's own records.
    pub user_id: Option<String>,
    /// What becomes of a setting that the provider lacks. Where nothing is said, one that shapes the
    /// answer is refused, and what the answer may do without, such as a limit within a schema, is
    /// left out with a warning.
    pub on_unsupported: Option<OnUnsupported>,
    /// Members of the body that this type does not know; they win over those it does.
    pub extra: Vec<(String, Json)>,
    /// Headers for this request alone; they win over the client's.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub headers: HeaderMap,
    /// Limits for this request alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub timeouts: Option<Timeouts>,
    /// Retries for this request alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub retry: Option<RetryPolicy>,
    /// Whether each chunk is given as a `Raw` event too.
    pub raw: bool,
}

impl ChatRequest {
    /// Creates a request to a model, by the provider's name for it or an alias.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// Adds a system message.
    #[must_use]
    pub fn system(self, content: impl Into<Part>) -> Self {
        self.message(Message::system(content))
    }

    /// Adds a user's message.
    #[must_use]
    pub fn user(self, content: impl Into<Part>) -> Self {
        self.message(Message::user(content))
    }

    /// Adds a message of the model.
    #[must_use]
    pub fn assistant(self, content: impl Into<Part>) -> Self {
        self.message(Message::assistant(content))
    }

    /// Adds a message.
    #[must_use]
    pub fn message(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// Adds messages.
    #[must_use]
    pub fn messages(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// Adds texts that end the answer.
    #[must_use]
    pub fn stop<T: Into<String>>(mut self, stop: impl IntoIterator<Item = T>) -> Self {
        self.stop.extend(stop.into_iter().map(Into::into));
        self
    }

    /// Makes a token more or less likely, by its number in the model's vocabulary: -100, which is
    /// never, to 100, which is always.
    #[must_use]
    pub fn logit_bias(mut self, token: u32, bias: f64) -> Self {
        self.logit_bias.insert(token, bias);
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Sets a member of the body by its name on the wire; it wins over what this type says.
    ///
    /// A `&str` is a JSON string; numbers and `bool` are themselves; with the feature `json`
    /// anything can be made a [`Json`].
    #[must_use]
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Sets a header for this request alone.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets whether each chunk is given as a `Raw` event too: off by default.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Checks what no provider can accept.
    ///
    /// # Errors
    ///
    /// `Config` that names the setting: no messages, a number that JSON cannot say, no tokens, a
    /// header that is the transport's.
    pub fn validate(&self) -> Result<()> {
        let asks =
            |(name, _): &(String, Json)| matches!(name.as_str(), "messages" | "prompt" | "input");
        if self.messages.is_empty() && !self.extra.iter().any(asks) {
            return Err(Error::config("the request has no messages"));
        }
        let numbers = [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ];
        for (name, number) in numbers {
            if number.is_some_and(|number| !number.is_finite()) {
                return Err(Error::config(format!("`{name}` is not a finite number")));
            }
        }
        if !self.logit_bias.values().all(|bias| bias.is_finite()) {
            return Err(Error::config(
                "`logit_bias` has what is not a finite number",
            ));
        }
        if self.top_logprobs.is_some() && self.logprobs == Some(false) {
            return Err(Error::config(
                "`top_logprobs` asks for what `logprobs` forbids: leave one of them out",
            ));
        }
        if self.max_tokens == Some(0) {
            return Err(Error::config("`max_tokens` is 0: no answer fits"));
        }
        if self.n == Some(0) {
            return Err(Error::config("`n` is 0: no answer is asked for"));
        }
        check_headers(&self.headers)
    }
}

/// Checks headers that a user gave.
///
/// # Errors
///
/// `Config` that names the header, where it is one that the transport or the key's own setting
/// writes.
pub fn check_headers(headers: &HeaderMap) -> Result<()> {
    use http::header;
    const OURS: [HeaderName; 6] = [
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TRANSFER_ENCODING,
    ];
    match OURS.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => Err(Error::config(format!(
            "the header `{name}` cannot be set by hand; leave it out"
        ))),
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl ChatRequest {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = Some($name.into());
                    self
                }
            )*
        }
    };
}

setters! {
    /// Sets how freely to choose words, 0 to 2 at most providers.
    temperature: f64;
    /// Sets the share of likely words to choose from, 0 to 1.
    top_p: f64;
    /// Sets the most tokens to answer with, those of reasoning included.
    max_tokens: u64;
    /// Sets the seed of the choice of words.
    seed: i64;
    /// Sets how many answers to give.
    n: u32;
    /// Sets how much to shun words by how often they came, -2 to 2.
    frequency_penalty: f64;
    /// Sets how much to shun words that came at all, -2 to 2.
    presence_penalty: f64;
    /// Sets whether to tell how likely the words were.
    logprobs: bool;
    /// Sets how many other words to tell of at each place, 0 to 20; asks for `logprobs` too.
    top_logprobs: u32;
    /// Sets how hard to think.
    reasoning_effort: impl Into<String>;
    /// Sets how to give the thoughts: the provider's word, such as `parsed` or `hidden`.
    reasoning_format: impl Into<String>;
    /// Sets what the answer is likely to be.
    prediction: impl Into<String>;
    /// Sets how soon, and at what price: the provider's word, such as `flex`.
    service_tier: impl Into<String>;
    /// Sets which tools may or must be asked for.
    tool_choice: ToolChoice;
    /// Sets whether several tools may be asked for at once.
    parallel_tool_calls: bool;
    /// Sets what form the answer must have.
    response_format: ResponseFormat;
    /// Sets what becomes of a setting that the provider lacks.
    on_unsupported: OnUnsupported;
    /// Sets who asks.
    user_id: impl Into<String>;
    /// Sets the limits for this request alone.
    timeouts: Timeouts;
    /// Sets the retries for this request alone.
    retry: RetryPolicy;
}

impl From<&str> for ChatRequest {
    fn from(prompt: &str) -> Self {
        Self::default().user(prompt)
    }
}

impl From<String> for ChatRequest {
    fn from(prompt: String) -> Self {
        Self::default().user(prompt)
    }
}

impl From<&String> for ChatRequest {
    fn from(prompt: &String) -> Self {
        Self::default().user(prompt.as_str())
    }
}

impl From<Vec<Message>> for ChatRequest {
    fn from(messages: Vec<Message>) -> Self {
        Self {
            messages,
            ..Self::default()
        }
    }
}
