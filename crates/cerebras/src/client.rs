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
use inferstream_session::Cookies;

use crate::{
    dialect::{BASE_URL, CerebrasDialect, INFO},
    session::Session,
};

/// A client of Cerebras Inference.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Cerebras {
    chat: Chat<CerebrasDialect>,
    api_key: Option<ApiKey>,
    /// Where a key comes from if none is set.
    session: Option<Arc<Session>>,
    needs_key: bool,
    public_models_url: String,
}

/// The settings of a [`Cerebras`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CerebrasBuilder {
    api_key: Option<Setting>,
    base_url: Option<Setting>,
    behind_gateway: bool,
    cookies: Option<Cookies>,
    session_url: Option<Setting>,
    transport: Option<Arc<dyn Transport>>,
    settings: Settings,
    gzip_from: Option<usize>,
}

impl Cerebras {
    /// Creates a client with the key in `CEREBRAS_API_KEY`, for the service at
    /// `CEREBRAS_BASE_URL` if that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key, unless the URL leads elsewhere; `Config` if the key or the URL cannot
    /// be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let client = CerebrasBuilder::from_env()?.build()?;
        client.check_key()?;
        Ok(client)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> CerebrasBuilder {
        CerebrasBuilder::default()
    }

    /// Sends a request and waits for the head of its answer; the events come as the service sends
    /// them.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries; `Auth` at once if
    /// there is no key. By cookies also what their session answers: `Auth`, `Permission` or
    /// `Redirect` where nobody is signed in, `Challenge` where its page wants to see a browser.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the stream, closes the connection.
    pub fn stream(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        let request = request.into();
        if let Some(session) = &self.session {
            let open = |request| self.ask(session, request, Chat::open_stream);
            return provider::stream(&INFO, self.chat.base_url(), request, open);
        }
        match self.check_key() {
            Ok(()) => self.chat.stream(request),
            Err(error) => provider::stream(&INFO, "", request, |_| ready(Err(error))),
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
        let request = request.into();
        if let Some(session) = &self.session {
            let open = |request| self.ask(session, request, Chat::open_chat);
            return provider::chat(&INFO, self.chat.base_url(), request, open);
        }
        match self.check_key() {
            Ok(()) => self.chat.chat(request),
            Err(error) => provider::chat(&INFO, "", request, |_| ready(Err(error))),
        }
    }

    /// Asks for the models: `/v1/models` with a key, that of cookies among them, else the public list.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        if let Some(session) = &self.session {
            let models = |chat: &Chat<_>, _| chat.models();
            return self.ask(session, ChatRequest::default(), models);
        }
        match (&self.api_key, self.needs_key) {
            (None, true) => self.public_models(),
            _ => self.chat.models(),
        }
    }

    /// Asks for the models that need no key to be seen: `/public/v1/models`.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn public_models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        self.chat.models_at(self.public_models_url.clone(), None)
    }

    /// Returns the models known without asking: those last asked for, else the built-in ones.
    pub fn known_models(&self) -> Vec<Model> {
        self.chat.known_models()
    }

    /// Returns what Cerebras is.
    pub fn info(&self) -> &ProviderInfo {
        self.chat.info()
    }

    /// Returns what Cerebras can do with a model.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        self.chat.capabilities(model)
    }

    /// Returns what a request would have to do without at Cerebras, whatever its policy
    /// ([`on_unsupported`](ChatRequest::on_unsupported)) then makes of that. Nothing is sent, no key is
    /// needed.
    ///
    /// ```
    /// # #[cfg(feature = "transport")]
    /// # fn main() -> inferstream_cerebras::Result<()> {
    /// use inferstream_cerebras::{Cerebras, ChatRequest, Json, ResponseFormat};
    ///
    /// let schema = r#"{"type":"object","properties":{"year":{"type":"integer","minimum":1888}}}"#;
    /// let format = ResponseFormat::json_schema("film", Json::from_text(schema)).strict(true);
    /// let request = ChatRequest::from("A film, please.").response_format(format);
    ///
    /// let cerebras = Cerebras::builder().api_key("any").build()?;
    /// let lacking = cerebras.check(request)?;
    /// assert_eq!(lacking[0].field, "response_format#/properties/year/minimum");
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "transport"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    pub fn check(&self, request: impl Into<ChatRequest>) -> Result<Vec<Unsupported>> {
        self.chat.check(&request.into())
    }

    /// Asks with the session's key, which is got first where there is none.
    fn ask<T: Send + 'static>(
        &self,
        session: &Arc<Session>,
        request: ChatRequest,
        ask: fn(&Chat<CerebrasDialect>, ChatRequest) -> BoxFuture<'static, Result<T>>,
    ) -> BoxFuture<'static, Result<T>> {
        let (chat, session) = (self.chat.clone(), Arc::clone(session));
        Box::pin(async move {
            let ask = |key, request| ask(&chat.with_key(key), request);
            session.ask(request, ask).await
        })
    }

    fn check_key(&self) -> Result<()> {
        match self.api_key {
            None if self.needs_key => Err(no_key()),
            _ => Ok(()),
        }
    }
}

impl Provider for Cerebras {
    fn info(&self) -> &ProviderInfo {
        Cerebras::info(self)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        Cerebras::capabilities(self, model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        Cerebras::check(self, request.clone())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        Cerebras::stream(self, request)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        Cerebras::chat(self, request)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        Cerebras::models(self)
    }

    fn known_models(&self) -> Vec<Model> {
        Cerebras::known_models(self)
    }
}

impl CerebrasBuilder {
    /// Takes `CEREBRAS_API_KEY` and `CEREBRAS_BASE_URL` where they are set; what is set afterwards
    /// wins.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            api_key: Setting::from_env(&["CEREBRAS_API_KEY"])?,
            base_url: Setting::from_env(&["CEREBRAS_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets the key; white space around it is dropped.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(Setting::new(key));
        self
    }

    /// Sets where the service is: `https://api.cerebras.ai/v1`.
    ///
    /// A URL without a path gets `/v1`, as the official SDKs have it. A service at another host, such
    /// as an engine on this machine, is asked without a key if none is set. It gets the token limit as
    /// `max_tokens`, which every compatible one knows, and JSON schemas unchanged. Where that host is a
    /// gateway to Cerebras, add [`behind_gateway`](Self::behind_gateway).
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(Setting::new(url));
        self
    }

    /// Says that the service at the base URL is Cerebras behind a gateway or proxy of another host:
    /// false by default.
    ///
    /// Requests are then checked and encoded as for Cerebras itself: JSON schemas are adapted to what
    /// it accepts, and the token limit is sent as `max_completion_tokens`. A key remains optional,
    /// because the gateway may add its own. At Cerebras' own host this changes nothing.
    ///
    /// ```
    /// use inferstream_cerebras::Cerebras;
    ///
    /// let builder = Cerebras::builder()
    ///     .base_url("https://gateway.example.com/cerebras/v1")
    ///     .behind_gateway();
    /// # drop(builder);
    /// ```
    pub fn behind_gateway(mut self) -> Self {
        self.behind_gateway = true;
        self
    }

    /// Gets the key by the cookies of a browser that is signed in: unofficial.
    ///
    /// The first request asks the page's session for the account's demo key, which is kept in memory
    /// until it is refused or the session ends, and then asked for once more; clones share it. A
    /// refusal of the cookies answers all who ask within 30 s. The cookies go to the session's host
    /// alone, and the key to the [base URL](Self::base_url). A request's whole limit holds for both.
    ///
    /// A key that is set wins, and the session is never asked. Whether the service still answers is
    /// unknown.
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Sets where the page of the session is, for tests: `https://inference.cerebras.ai`. What is asked
    /// is `/api/auth/session` below it.
    ///
    /// Cookies that name no host go there, and those of other hosts do not.
    pub fn session_url(mut self, url: impl Into<String>) -> Self {
        self.session_url = Some(Setting::new(url));
        self
    }

    /// Sets from how many bytes on a request is sent compressed by gzip, where that makes it smaller:
    /// never by default.
    ///
    /// It saves time where a large prompt goes over a slow line. Compressing takes a few milliseconds
    /// for each megabyte, in the task that asks. The service takes it at its own address, by its
    /// documentation of November 2026; another may not.
    ///
    /// ```
    /// use inferstream_cerebras::Cerebras;
    ///
    /// let builder = Cerebras::builder().gzip_from(64 << 10);
    /// # drop(builder);
    /// ```
    #[cfg(feature = "gzip")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
    pub fn gzip_from(mut self, bytes: usize) -> Self {
        self.gzip_from = Some(bytes);
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

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a key, URL or header that cannot be used, for cookies of which none is for the
    /// session, or where there is no transport.
    pub fn build(self) -> Result<Cerebras> {
        let api_key = match self.api_key {
            None => None,
            Some(key) => Some(ApiKey::new(key.value()).map_err(|error| key.explain(error))?),
        };
        let url = self.base_url.unwrap_or_else(|| Setting::new(BASE_URL));
        let base_url = with_version(url.value());
        let mut settings = self.settings;
        check_headers(&settings.headers)?;
        settings.api_key.clone_from(&api_key);
        settings.base_url.clone_from(&base_url);
        let transport = match self.transport {
            Some(transport) => transport,
            None => default_transport()?,
        };
        let session = match self.cookies.filter(|_| api_key.is_none()) {
            None => None,
            Some(cookies) => Some(Arc::new(Session::new(
                &cookies,
                self.session_url.as_ref().map(Setting::value),
                Arc::clone(&transport),
                settings.timeouts,
                settings.retry,
            )?)),
        };
        let elsewhere = !same_host(&base_url, BASE_URL);
        let mut dialect = CerebrasDialect::new(elsewhere && !self.behind_gateway);
        dialect.gzip_from = self.gzip_from;
        dialect.by_session = session.is_some();
        let chat = Chat::new(dialect, transport, settings);
        Ok(Cerebras {
            chat: chat.map_err(|error| url.explain(error))?,
            api_key,
            session,
            needs_key: !elsewhere,
            public_models_url: public_models_url(&base_url),
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

fn no_key() -> Error {
    let login = INFO.login_url.unwrap_or(INFO.url);
    let message = format!("cerebras needs a key: set CEREBRAS_API_KEY; keys are at {login}");
    Error::new(ErrorKind::Auth, message)
}

/// Puts `/public` before the version: `https://api.cerebras.ai/public/v1/models`.
fn public_models_url(base_url: &str) -> String {
    let base_url = base_url.trim_end_matches('/');
    match base_url.strip_suffix("/v1") {
        Some(root) => format!("{root}/public/v1/models"),
        None => format!("{base_url}/public/v1/models"),
    }
}
