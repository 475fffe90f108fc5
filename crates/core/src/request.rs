//! The construction and validation of requests.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    error::{Error, Result},
    json::Json,
    message::{Message, Part, Tool},
    retry::RetryPolicy,
    settings::ChatRequest,
    timeouts::Timeouts,
    trace::RecordContent,
    unsupported::OnUnsupported,
};

impl ChatRequest {
    /// Creates a request for a model, by its name at the provider or by an alias.
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

    /// Adds a user message.
    #[must_use]
    pub fn user(self, content: impl Into<Part>) -> Self {
        self.message(Message::user(content))
    }

    /// Adds an assistant message.
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

    /// Adds texts that end the response when the model generates one of them.
    #[must_use]
    pub fn stop<T: Into<String>>(mut self, stop: impl IntoIterator<Item = T>) -> Self {
        self.stop.extend(stop.into_iter().map(Into::into));
        self
    }

    /// Makes a token, by its number in the model's vocabulary, more or less likely: from -100 (never)
    /// to 100 (always).
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

    /// Sets a member of the body by its name on the wire. It replaces a setting of that name.
    ///
    /// A `&str` becomes a JSON string, and numbers and `bool` become JSON numbers and booleans.
    /// With the feature `json`, [`Json::new`] converts any value that serializes.
    #[must_use]
    pub fn extra(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// Sets a header for this request only. A header that usually carries a credential, by its name,
    /// is marked sensitive: its value is redacted in errors, and `Debug` does not show it.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        if is_credential(&name) {
            value.set_sensitive(true);
        }
        self.headers.insert(name, value);
        self
    }

    /// Sets whether each chunk is also returned as a `Raw` event. Off by default.
    #[must_use]
    pub fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// Sets whether the feature `tracing` records the messages of the request and its response. The
    /// default is [`RecordContent::Never`].
    #[must_use]
    pub fn record_content(mut self, content: RecordContent) -> Self {
        self.record_content = content;
        self
    }

    /// Sets how to handle settings that the provider does not support.
    #[must_use]
    pub fn on_unsupported(mut self, policy: OnUnsupported) -> Self {
        self.on_unsupported = Some(policy);
        self
    }

    /// Sets the timeouts for this request only.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }

    /// Sets the retry policy for this request only.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Checks the request for values that every provider refuses.
    ///
    /// # Errors
    ///
    /// Returns `Config` with the name of the setting if there are no messages, a number is not
    /// finite, the token limit or the number of choices is 0, or a header is one that the transport
    /// sets.
    pub fn validate(&self) -> Result<()> {
        let asks =
            |(name, _): &(String, Json)| matches!(name.as_str(), "messages" | "prompt" | "input");
        if self.messages.is_empty() && !self.extra.iter().any(asks) {
            return Err(
                Error::config("missing messages: expected at least one").with_setting("messages")
            );
        }
        if let Some(field) = self.not_finite() {
            return Err(
                Error::config(format!("invalid `{field}`: expected a finite number"))
                    .with_setting(field.name()),
            );
        }
        if self.top_logprobs.is_some() && self.logprobs == Some(false) {
            return Err(Error::config(
                "invalid `top_logprobs`: `logprobs` is false; remove one of the two",
            )
            .with_setting("top_logprobs"));
        }
        if self.max_tokens == Some(0) {
            return Err(Error::config("invalid `max_tokens` 0: expected at least 1")
                .with_setting("max_tokens"));
        }
        if self.n == Some(0) {
            return Err(Error::config("invalid `n` 0: expected at least 1").with_setting("n"));
        }
        check_headers(&self.headers)
    }
}

/// Returns true for headers that usually carry a credential: their name contains `auth`, `cookie`,
/// `key`, `secret` or `token`.
pub fn is_credential(name: &HeaderName) -> bool {
    let parts = ["auth", "cookie", "key", "secret", "token"];
    parts.iter().any(|part| name.as_str().contains(part))
}

/// Checks headers that a user set.
///
/// # Errors
///
/// Returns `Config` with the name of a header that the transport sets, or that has its own setting,
/// such as the key.
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
            "invalid header `{name}`: the client sets it; remove it"
        ))
        .with_setting("headers")),
    }
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
