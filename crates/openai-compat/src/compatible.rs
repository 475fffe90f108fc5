//! Any compatible service: where it is, and how it differs, as data.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, uri::PathAndQuery};
use inferstream_client::{Setting, with_version};
use inferstream_core::{
    ApiKey, BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, Field, Model,
    Provider, ProviderInfo, Result, RetryPolicy, Timeouts, Transport, Unsupported, check_headers,
};

use crate::{
    chat::{Chat, Settings},
    dialect::Dialect,
    schema::SchemaRules,
};

/// What the generic door is: it knows no models and has no default.
const INFO: ProviderInfo = {
    let mut info = ProviderInfo::new(
        "openai-compat",
        "OpenAI-compatible service",
        "https://platform.openai.com/docs/api-reference/chat",
    );
    info.key_variable = Some("OPENAI_COMPAT_API_KEY");
    info
};

/// A client of any service that speaks the protocol: Ollama, llama.cpp, vLLM, LiteLLM, a gateway.
///
/// Cloning is cheap; clones share connections and the list of models.
///
/// ```no_run
/// # #[cfg(feature = "transport")]
/// # async fn example() -> inferstream_openai_compat::Result<()> {
/// use inferstream_openai_compat::Compatible;
///
/// let ollama = Compatible::new("http://localhost:11434/v1").default_model("llama3.2").build()?;
/// let answer = ollama.chat("Why is the sky blue?").await?;
/// println!("{}", answer.text());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Compatible {
    chat: Chat<Knobs>,
    default_model: Option<String>,
}

/// The settings of a [`Compatible`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CompatibleBuilder {
    base_url: Option<Setting>,
    api_key: Option<Setting>,
    default_model: Option<String>,
    models: Vec<Model>,
    transport: Option<Arc<dyn Transport>>,
    settings: Settings,
    knobs: Knobs,
}

/// How a service differs, as data.
#[derive(Clone, Debug)]
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
struct Knobs {
    path: String,
    max_tokens_field: String,
    reasoning_field: Option<String>,
    asks_for_usage: bool,
    ends_with_usage: bool,
    sends_empty_content: bool,
    unknown_fields: Vec<Field>,
    schema_rules: Option<SchemaRules>,
    needs_auth: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            path: "/chat/completions".to_owned(),
            max_tokens_field: "max_tokens".to_owned(),
            reasoning_field: None,
            asks_for_usage: true,
            ends_with_usage: false,
            sends_empty_content: false,
            unknown_fields: Vec::new(),
            schema_rules: None,
            needs_auth: false,
        }
    }
}

impl Compatible {
    /// Begins to set up a client for the service at this URL, without a key: no environment variable
    /// is read.
    ///
    /// The URL is what stands before `/chat/completions`; one without a path gets `/v1`. Those of the
    /// environment are taken by [`CompatibleBuilder::from_env`].
    #[expect(
        clippy::new_ret_no_self,
        reason = "the URL is the one setting that has no default"
    )]
    pub fn new(base_url: impl Into<String>) -> CompatibleBuilder {
        CompatibleBuilder::default().base_url(base_url)
    }

    /// Sends a request and waits for the head of its answer; the events come as the service sends
    /// them.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries; `Config` where the
    /// request names no model and there is no default; `ModelNotSupported` where the list of models is
    /// binding.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the stream, closes the connection.
    pub fn stream(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        self.chat.stream(self.named(request.into()))
    }

    /// Sends a request for a whole answer and waits for all of it.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream) and its events.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn chat(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatResponse>> {
        self.chat.chat(self.named(request.into()))
    }

    /// Asks for the models: `/models`.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        self.chat.models()
    }

    /// Returns the models known without asking: those last asked for, else those of the settings.
    pub fn known_models(&self) -> Vec<Model> {
        self.chat.known_models()
    }

    /// Returns what this is.
    pub fn info(&self) -> &ProviderInfo {
        self.chat.info()
    }

    /// Returns what the protocol can do; what the model can, nobody has told.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        self.chat.capabilities(model)
    }

    /// Returns what a request would have to do without at the service, whatever its policy
    /// ([`on_unsupported`](ChatRequest::on_unsupported)) then makes of that. Nothing is sent, no key is
    /// needed.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    pub fn check(&self, request: impl Into<ChatRequest>) -> Result<Vec<Unsupported>> {
        self.chat.check(&self.named(request.into()))
    }

    /// Gives a request without a model the default one.
    fn named(&self, mut request: ChatRequest) -> ChatRequest {
        if request.model.is_none() {
            request.model.clone_from(&self.default_model);
        }
        request
    }
}

impl Provider for Compatible {
    fn info(&self) -> &ProviderInfo {
        Compatible::info(self)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        Compatible::capabilities(self, model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        Compatible::check(self, request.clone())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        Compatible::stream(self, request)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        Compatible::chat(self, request)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        Compatible::models(self)
    }

    fn known_models(&self) -> Vec<Model> {
        Compatible::known_models(self)
    }
}

impl CompatibleBuilder {
    /// Takes `OPENAI_COMPAT_BASE_URL` and `OPENAI_COMPAT_API_KEY` where they are set; what is set
    /// afterwards wins.
    ///
    /// `OPENAI_API_KEY` is not read: it is the key of one service, and this may be any.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            base_url: Setting::from_env(&["OPENAI_COMPAT_BASE_URL"])?,
            api_key: Setting::from_env(&["OPENAI_COMPAT_API_KEY"])?,
            ..Self::default()
        })
    }

    /// Returns true if it is set where the service is: without it there is nothing to build.
    pub fn has_base_url(&self) -> bool {
        self.base_url.is_some()
    }

    /// Sets where the service is: what stands before `/chat/completions`. A URL without a path gets
    /// `/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(Setting::new(url));
        self
    }

    /// Sets the key; white space around it is dropped. Without one no `authorization` is sent.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Setting::new(key));
        self
    }

    /// Sets the model of requests that name none; there is no other default.
    pub fn default_model(mut self, model: impl Into<String>) -> Self {
        self.default_model = Some(model.into());
        self
    }

    /// Sets the models that are known before the service is asked for them.
    pub fn known_models<T: Into<String>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = models.into_iter().map(Model::new).collect();
        self
    }

    /// Sets whether a model that is not among the known ones is refused before anything is sent:
    /// false.
    ///
    /// The known ones are those that [`Compatible::models`] last gave, else those of
    /// [`known_models`](Self::known_models).
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Sets what requests go through; with the feature `transport` there is a default.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets a header for every request.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.settings.headers.insert(name, value);
        self
    }

    /// Sets the limits of requests that bring none.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// Sets the retries of requests that bring none.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.settings.retry = retry;
        self
    }

    /// Sets the path below the base URL that is asked: `/chat/completions`. It may have a query.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.knobs.path = path.into();
        self
    }

    /// Sets the name of the field that limits the answer's tokens: `max_tokens`. OpenAI's reasoning
    /// models know `max_completion_tokens` alone.
    pub fn max_tokens_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.max_tokens_field = field.into();
        self
    }

    /// Sets the name under which a message of the model carries its reasoning back, such as
    /// `reasoning_content`; by default it is left out.
    pub fn reasoning_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.reasoning_field = Some(field.into());
        self
    }

    /// Sets whether a stream is asked for its usage (`stream_options.include_usage`): true. Old
    /// services refuse the field.
    pub fn asks_for_usage(mut self, asks: bool) -> Self {
        self.knobs.asks_for_usage = asks;
        self
    }

    /// Sets whether the chunk with the finish reason has the usage too, so that the stream ends there:
    /// false.
    pub fn ends_with_usage(mut self, ends: bool) -> Self {
        self.knobs.ends_with_usage = ends;
        self
    }

    /// Sets whether a message that only calls tools has an empty content in place of none: false.
    pub fn sends_empty_content(mut self, sends: bool) -> Self {
        self.knobs.sends_empty_content = sends;
        self
    }

    /// Sets what the service takes of JSON Schema: all of it by default.
    pub fn schema_rules(mut self, rules: SchemaRules) -> Self {
        self.knobs.schema_rules = Some(rules);
        self
    }

    /// Sets the settings that the service does not know, such as [`Field::Seed`]. A request with one is
    /// handled by its [`on_unsupported`](inferstream_core::ChatRequest::on_unsupported): by default it
    /// is refused.
    pub fn unknown_fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.knobs.unknown_fields = fields.into_iter().collect();
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a key, URL, path or header that cannot be used, or where there is no transport.
    pub fn build(self) -> Result<Compatible> {
        let Self {
            base_url,
            api_key,
            default_model,
            models,
            transport,
            mut settings,
            mut knobs,
        } = self;
        let Some(base_url) = base_url else {
            return Err(Error::config(
                "openai-compat needs to know where the service is: set OPENAI_COMPAT_BASE_URL, such as to \
                 http://localhost:11434/v1",
            ));
        };
        if !knobs.path.starts_with('/') {
            return Err(Error::config("the path must begin with `/`"));
        }
        // A fragment would be left out unsaid.
        if knobs.path.contains('#') || knobs.path.parse::<PathAndQuery>().is_err() {
            return Err(Error::config(
                "the path has a character that cannot stand in a URL's path or query",
            ));
        }
        check_headers(&settings.headers)?;
        settings.api_key = match api_key {
            None => None,
            Some(key) => Some(ApiKey::new(key.value()).map_err(|error| key.explain(error))?),
        };
        knobs.needs_auth = settings.api_key.is_some();
        settings.base_url = with_version(base_url.value());
        let transport = match transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let chat = Chat::new(knobs, transport, settings);
        let chat = chat.map_err(|error| base_url.explain(error))?;
        if !models.is_empty() {
            chat.set_known_models(models);
        }
        Ok(Compatible {
            chat,
            default_model,
        })
    }
}

impl Dialect for Knobs {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = self.needs_auth;
        capabilities.supports_images = true;
        capabilities
    }

    fn path(&self, _: &str) -> String {
        self.path.clone()
    }

    fn sends_empty_content(&self) -> bool {
        self.sends_empty_content
    }

    fn max_tokens_field(&self) -> &str {
        &self.max_tokens_field
    }

    fn reasoning_field(&self) -> Option<&str> {
        self.reasoning_field.as_deref()
    }

    fn asks_for_usage(&self) -> bool {
        self.asks_for_usage
    }

    fn ends_with_usage(&self) -> bool {
        self.ends_with_usage
    }

    fn schema_rules(&self, _: &str) -> Option<&SchemaRules> {
        self.schema_rules.as_ref()
    }

    fn knows_field(&self, field: Field) -> bool {
        !self.unknown_fields.contains(&field)
    }
}

#[cfg(feature = "transport")]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(inferstream_transport::HttpTransport::new()?))
}

#[cfg(not(feature = "transport"))]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Err(Error::config(
        "there is no transport: set one, or turn on the feature `transport`",
    ))
}
