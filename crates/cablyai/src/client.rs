//! The client: settings in, a provider out.

use std::{future::ready, sync::Arc};

use http::{HeaderName, HeaderValue};
use inferstream_client::{Setting, same_host, with_version};
use inferstream_core::{
    ApiKey, BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    Model, Provider, ProviderInfo, Result, RetryPolicy, Timeouts, Transport, Unsupported,
    check_headers, provider,
};
use inferstream_openai_compat::{Chat, Settings};

use crate::dialect::{BASE_URL, CablyAiDialect, INFO, Preset};

/// A client of CablyAI, or of a service that answers in its place.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct CablyAi {
    chat: Chat<CablyAiDialect>,
    has_key: bool,
}

/// The settings of a [`CablyAi`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CablyAiBuilder {
    api_key: Option<Setting>,
    base_url: Option<Setting>,
    preset: Preset,
    transport: Option<Arc<dyn Transport>>,
    settings: Settings,
}

impl CablyAi {
    /// Creates a client with the key in `CABLYAI_API_KEY`, for the service at `CABLYAI_BASE_URL` if
    /// that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key, unless the URL leads elsewhere; `Config` if the key or the URL cannot
    /// be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let client = CablyAiBuilder::from_env()?.build()?;
        client.check_key()?;
        Ok(client)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> CablyAiBuilder {
        CablyAiBuilder::default()
    }

    /// Sends a request and waits for the head of its answer; the events come as the service sends
    /// them.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries; at once `Auth` if
    /// there is no key, and `Config` if the request names no model: there is no default.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the stream, closes the connection.
    pub fn stream(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        match self.check_key() {
            Ok(()) => self.chat.stream(request.into()),
            Err(error) => provider::stream(&INFO, "", request.into(), |_| ready(Err(error))),
        }
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
        match self.check_key() {
            Ok(()) => self.chat.chat(request.into()),
            Err(error) => provider::chat(&INFO, "", request.into(), |_| ready(Err(error))),
        }
    }

    /// Asks for the models.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        match self.check_key() {
            Ok(()) => self.chat.models(),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    /// Returns the models known without asking: those last asked for, else
    /// [`HISTORICAL_MODELS`](crate::HISTORICAL_MODELS).
    pub fn known_models(&self) -> Vec<Model> {
        self.chat.known_models()
    }

    /// Returns what CablyAI is.
    pub fn info(&self) -> &ProviderInfo {
        self.chat.info()
    }

    /// Returns what CablyAI can do with a model, as far as the protocol tells.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        self.chat.capabilities(model)
    }

    /// Returns what a request would have to do without at CablyAI, whatever its policy
    /// ([`on_unsupported`](ChatRequest::on_unsupported)) then makes of that. Nothing is sent, no key is
    /// needed.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    pub fn check(&self, request: impl Into<ChatRequest>) -> Result<Vec<Unsupported>> {
        self.chat.check(&request.into())
    }

    fn check_key(&self) -> Result<()> {
        if self.has_key || !self.chat.dialect().needs_key {
            return Ok(());
        }
        let login = INFO.login_url.unwrap_or(INFO.url);
        let message = format!("cablyai needs a key: set CABLYAI_API_KEY; keys were at {login}");
        Err(Error::new(ErrorKind::Auth, message))
    }
}

impl Provider for CablyAi {
    fn info(&self) -> &ProviderInfo {
        CablyAi::info(self)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        CablyAi::capabilities(self, model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        CablyAi::check(self, request.clone())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        CablyAi::stream(self, request)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        CablyAi::chat(self, request)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        CablyAi::models(self)
    }

    fn known_models(&self) -> Vec<Model> {
        CablyAi::known_models(self)
    }
}

impl CablyAiBuilder {
    /// Takes `CABLYAI_API_KEY` and `CABLYAI_BASE_URL` where they are set; what is set afterwards wins.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            api_key: Setting::from_env(&["CABLYAI_API_KEY"])?,
            base_url: Setting::from_env(&["CABLYAI_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets the key; white space around it is dropped.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Setting::new(key));
        self
    }

    /// Sets where the service is: `https://cablyai.com/v1`.
    ///
    /// A URL without a path gets `/v1`. A service elsewhere is asked without a key if none is set.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(Setting::new(url));
        self
    }

    /// Sets which headers go with every request: [`Preset::Browser`].
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Sets a header for every request, in place of the preset's where that has it.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.settings.headers.insert(name, value);
        self
    }

    /// Sets whether a model that is not among [`CablyAi::known_models`] is refused, with
    /// `ModelNotSupported`, before anything is sent: false.
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Sets what requests go through; with the feature `transport` there is a default.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
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

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a key, URL or header that cannot be used, or where there is no transport.
    pub fn build(self) -> Result<CablyAi> {
        let mut settings = self.settings;
        check_headers(&settings.headers)?;
        let own = std::mem::replace(&mut settings.headers, self.preset.headers());
        for (name, value) in &own {
            settings.headers.insert(name, value.clone());
        }
        settings.api_key = match self.api_key {
            None => None,
            Some(key) => Some(ApiKey::new(key.value()).map_err(|error| key.explain(error))?),
        };
        let has_key = settings.api_key.is_some();
        let url = self.base_url.unwrap_or_else(|| Setting::new(BASE_URL));
        settings.base_url = with_version(url.value());
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let needs_key = same_host(&settings.base_url, BASE_URL);
        let chat = Chat::new(CablyAiDialect { needs_key }, transport, settings);
        Ok(CablyAi {
            chat: chat.map_err(|error| url.explain(error))?,
            has_key,
        })
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
