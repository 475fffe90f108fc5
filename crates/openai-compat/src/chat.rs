//! The protocol's requests from settings to events: what every compatible provider does.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use inferstream_client::{Redact, base_url};
use inferstream_core::{
    ApiKey, Body, BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    Model, ProviderInfo, ReplayStale, Replays, Result, RetryPolicy, Started, Timeouts, Transport,
    Unsupported, check_headers,
    provider::{self, LeftOut},
    read_stream,
    sse::Decoder,
};

use crate::{
    decode::ChatDecode,
    dialect::Dialect,
    encode,
    error::error_of_status,
    guard::{check_content_type, check_end, check_size},
    models,
};

/// A client of a compatible service.
///
/// Cloning is cheap, and clones share the list of models.
#[derive(Debug)]
pub struct Chat<D> {
    shared: Arc<Shared<D>>,
    /// The key in place of the settings' own.
    key: Option<ApiKey>,
}

#[derive(Debug)]
struct Shared<D> {
    dialect: D,
    transport: Arc<dyn Transport>,
    settings: Settings,
    base: String,
    known: Mutex<Option<Vec<Model>>>,
}

/// What a client is set up with.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The URL before `/chat/completions`, with its version: `https://api.cerebras.ai/v1`.
    pub base_url: String,
    /// The key, where the service wants one.
    pub api_key: Option<ApiKey>,
    /// Headers for every request.
    pub headers: HeaderMap,
    /// The limits of requests that bring none.
    pub timeouts: Timeouts,
    /// The retries of requests that bring none.
    pub retry: RetryPolicy,
    /// Whether a model that is not among [`Chat::known_models`] is refused before anything is sent.
    pub only_known_models: bool,
}

impl Settings {
    /// Creates settings for a service without a key.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            ..Self::default()
        }
    }
}

/// A request, ready to be sent as often as the policy says.
struct Call {
    request: Request<Bytes>,
    /// The model that the service is asked for, empty for none.
    model: String,
    redact: Redact,
    timeouts: Timeouts,
    retry: RetryPolicy,
}

impl<D> Clone for Chat<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            key: self.key.clone(),
        }
    }
}

impl<D: Dialect> Chat<D> {
    /// Creates a client.
    ///
    /// # Errors
    ///
    /// `Config` if the base URL is none that can be used, or a header is not the user's to set.
    pub fn new(dialect: D, transport: Arc<dyn Transport>, settings: Settings) -> Result<Self> {
        let base = base_url(&settings.base_url)?;
        check_end(&base, &dialect.path(""))?;
        check_headers(&settings.headers)?;
        let known = Mutex::new(None);
        let shared = Shared {
            dialect,
            transport,
            settings,
            base,
            known,
        };
        Ok(Self {
            shared: Arc::new(shared),
            key: None,
        })
    }

    /// Returns a client that sends this key, and shares all else with this one: for a key that is
    /// not known at first, or not for ever.
    #[must_use]
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            key: Some(key),
        }
    }

    fn key(&self) -> Option<&ApiKey> {
        let own = self.shared.settings.api_key.as_ref();
        self.key.as_ref().or(own)
    }

    /// Returns where the service is: the base URL without its last slash.
    pub fn base_url(&self) -> &str {
        &self.shared.base
    }

    /// Returns the dialect.
    pub fn dialect(&self) -> &D {
        &self.shared.dialect
    }

    /// Returns what the provider is.
    pub fn info(&self) -> &ProviderInfo {
        self.shared.dialect.info()
    }

    /// Returns what the provider can do with a model.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        self.shared.dialect.capabilities(self.info().resolve(model))
    }

    /// Returns what a request would have to do without here. Nothing is sent.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent.
    pub fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        let (_, _, left_out) = self.call(request.clone(), true)?;
        Ok(left_out.into_list())
    }

    /// Sends a request and waits for the head of its answer; the events come as the service sends
    /// them.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let (this, base) = (self.clone(), &self.shared.base);
        let open = |request| async move { this.open(request, true).await };
        provider::stream(self.info(), base, request, open)
    }

    /// Sends a request for a whole answer and waits for all of it.
    ///
    /// # Errors
    ///
    /// As `stream` and its events.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let (this, base) = (self.clone(), &self.shared.base);
        let open = |request| async move { this.open(request, false).await };
        provider::chat(self.info(), base, request, open)
    }

    /// Opens an answer as [`stream`](Self::stream) does, within a call that has begun: for a client
    /// that needs something before, such as a key that it asks for.
    ///
    /// # Errors
    ///
    /// As `stream`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn open_stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        Box::pin(async move { this.open(request, true).await })
    }

    /// Opens a whole answer as [`chat`](Self::chat) does, within a call that has begun.
    ///
    /// # Errors
    ///
    /// As `chat`, but for those that its one event brings.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn open_chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        Box::pin(async move { this.open(request, false).await })
    }

    /// Asks the service for its models, with the key if there is one.
    ///
    /// # Errors
    ///
    /// As any request; `Protocol` if the answer is no list.
    pub fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        let url = format!("{}/models", self.shared.base);
        self.models_at(url, self.key().cloned())
    }

    /// As [`models`](Self::models), from another URL, or without the key.
    ///
    /// # Errors
    ///
    /// As `models`.
    pub fn models_at(
        &self,
        url: String,
        key: Option<ApiKey>,
    ) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        Box::pin(async move {
            let body = this.get(&url, key.as_ref()).await?;
            let list = models::decode(this.info().id, &String::from_utf8_lossy(&body))?;
            this.set_known_models(list.clone());
            Ok(list)
        })
    }

    /// Asks for a document of the service's, with the key: at most 4 MiB.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn document(&self, url: String) -> BoxFuture<'static, Result<Bytes>> {
        let this = self.clone();
        Box::pin(async move { this.get(&url, this.key()).await })
    }

    async fn get(&self, url: &str, key: Option<&ApiKey>) -> Result<Bytes> {
        let settings = &self.shared.settings;
        let call = Call {
            request: self.request(Method::GET, url, key, Bytes::new())?,
            model: String::new(),
            redact: self.redact(key, &ChatRequest::default()),
            timeouts: settings.timeouts,
            retry: settings.retry,
        };
        self.send(&call).await?.document(models::MAX_LIST).await
    }

    /// Keeps a list of models for [`known_models`](Self::known_models).
    pub fn set_known_models(&self, list: Vec<Model>) {
        let known = &self.shared.known;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
    }

    /// Returns the models known without asking: those last asked for, else the built-in ones.
    pub fn known_models(&self) -> Vec<Model> {
        let known = self
            .shared
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        known.unwrap_or_else(|| self.info().models.iter().copied().map(Model::new).collect())
    }

    async fn open(&self, request: ChatRequest, stream: bool) -> Result<ChatStream> {
        let (call, request, left_out) = self.call(request, stream)?;
        let mut started = self.send(&call).await?;
        started.meta.warnings = left_out.warnings();
        check_content_type(self.info().id, &started)?;
        if let Some(successor) = self.info().successor(&call.model) {
            let model = &call.model;
            started
                .meta
                .warnings
                .push(format!("the model `{model}` is retired; use `{successor}`"));
        }
        let decode = ChatDecode::new(self.info().id)
            .ends_with_usage(self.dialect().ends_with_usage())
            .choices(encode::choices(self.dialect(), &request))
            .raw(request.raw)
            .redact(call.redact)
            .plain_text(is_of_type(&started, b"text/plain"));
        let decode = self.dialect().decode(decode, &request);
        // "data: [DONE]" is the marker; some services forget the field's name.
        let decoder = Decoder::default().marker("[DONE]").error_lines();
        let framer = decoder.or_document(&started.meta.headers);
        Ok(read_stream(started, framer, decode))
    }

    /// Makes a call of a request, and returns the request as the model takes it, and what that lacks.
    fn call(&self, mut request: ChatRequest, stream: bool) -> Result<(Call, ChatRequest, LeftOut)> {
        request.validate()?;
        let settings = &self.shared.settings;
        let info = self.info();
        let Some(model) = request.model.as_deref().or(info.default_model) else {
            let message = format!(
                "the request names no model, and {} has no default: name one",
                info.id
            );
            return Err(Error::config(message));
        };
        let model = info.resolve(model).to_owned();
        if model.trim().is_empty() {
            return Err(Error::config("the model's name is empty"));
        }
        if settings.only_known_models {
            self.check_model(&model)?;
        }
        let redact = self.redact(self.key(), &request);
        let dialect = self.dialect();
        let mut left_out = LeftOut::new(info.id, request.on_unsupported);
        encode::yield_to_extra(dialect, &mut request);
        let reason = "unknown to the service";
        left_out.keep(&mut request, reason, |field| dialect.knows_field(field));
        dialect.adapt(&model, &mut request, &mut left_out)?;
        if let Some(rules) = dialect.schema_rules(&model) {
            rules.adapt(&mut request, &mut left_out)?;
        }
        left_out.settle()?;
        let body = encode::body(dialect, &model, &request, stream)?;
        check_size(&body)?;
        let compressed = dialect.compress(&body);
        let encoding = compressed.as_ref().map(|(_, encoding)| encoding.clone());
        let body = compressed.map_or(body, |(body, _)| body);
        let url = format!("{}{}", self.shared.base, dialect.path(&model));
        let mut http = self.request(Method::POST, &url, self.key(), body)?;
        let headers = http.headers_mut();
        let accept = if stream {
            "text/event-stream"
        } else {
            "application/json"
        };
        if !settings.headers.contains_key(ACCEPT) {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(encoding.map(|encoding| (CONTENT_ENCODING, encoding)));
        for (name, value) in &request.headers {
            headers.insert(name, value.clone());
        }
        let mut timeouts = request.timeouts.unwrap_or(settings.timeouts);
        if !stream {
            // The head of a whole answer comes once its text is made.
            timeouts.head = match (timeouts.head, timeouts.first_event) {
                (Some(head), Some(first_event)) => Some(head.max(first_event)),
                _ => None,
            };
        }
        let call = Call {
            request: http,
            model,
            redact,
            timeouts,
            retry: request.retry.unwrap_or(settings.retry),
        };
        Ok((call, request, left_out))
    }

    /// Refuses a model that nobody has told of.
    fn check_model(&self, model: &str) -> Result<()> {
        let known = self.known_models();
        if known.iter().any(|known| known.id == model) {
            return Ok(());
        }
        let (name, count) = (self.info().id, known.len());
        let message = format!(
            "{name} is not known to have the model `{model}`: it is none of {count}; ask for its models, \
             or let the list not be binding"
        );
        Err(Error::new(ErrorKind::ModelNotSupported, message))
    }

    /// Collects what must not stand in an error: the key, the prompt, and headers that are marked as
    /// sensitive.
    fn redact(&self, key: Option<&ApiKey>, request: &ChatRequest) -> Redact {
        let headers = [&self.shared.settings.headers, &request.headers];
        let secrets = headers.into_iter().flat_map(HeaderMap::values);
        let secrets = secrets.filter(|value| value.is_sensitive());
        let redact = Redact::new(key, request);
        secrets
            .filter_map(|value| value.to_str().ok())
            .fold(redact, |redact, value| {
                redact.credential(value.strip_prefix("Bearer ").unwrap_or(value))
            })
    }

    fn request(
        &self,
        method: Method,
        url: &str,
        key: Option<&ApiKey>,
        body: Bytes,
    ) -> Result<Request<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url
            .parse()
            .map_err(|_| Error::config("the URL is not one"))?;
        *request.headers_mut() = self.shared.settings.headers.clone();
        let headers = request.headers_mut();
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, key.bearer());
        }
        Ok(request)
    }

    /// Sends a request by its policy until an answer has a head of success.
    async fn send(&self, call: &Call) -> Result<Started> {
        let shared = &self.shared;
        let transport = &shared.transport;
        let at = transport.now();
        let mut request = call.request.clone();
        request.extensions_mut().insert(call.timeouts);
        if call.retry.replay_stale {
            request.extensions_mut().insert(ReplayStale);
        }
        let replays = Replays::default();
        request.extensions_mut().insert(replays.clone());
        let mut attempts = 0;
        let attempt = |number| {
            attempts = number;
            let sent = transport.send(request.clone());
            async move {
                let host = call.request.uri().host().unwrap_or_default();
                let sent = sent.await;
                let sent = sent.map_err(|error| call.redact.transport_error(error, host));
                self.check_status(sent?, call).await
            }
        };
        let response = call
            .retry
            .run(&**transport, call.timeouts.total, attempt)
            .await
            .map_err(|error| replays.add_to(error))?;
        let mut started = Started::new(Arc::clone(transport), at, call.timeouts, response);
        call.redact.headers(&mut started.meta.headers);
        started.meta.attempts = attempts + replays.count();
        Ok(started)
    }

    async fn check_status(&self, response: Response<Body>, call: &Call) -> Result<Response<Body>> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let transport = &*self.shared.transport;
        let (head, body) = response.into_parts();
        let body = body.read_error(transport, &call.timeouts).await;
        let now = transport.system_time();
        let error = error_of_status(
            self.info(),
            &call.model,
            status,
            &head.headers,
            &body,
            now,
            &call.redact,
        );
        Err(call.redact.error(self.dialect().refine(error)))
    }
}

/// Returns true if an answer says that it is of a content type.
fn is_of_type(started: &Started, name: &[u8]) -> bool {
    let value = started.meta.headers.get(CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(name))
}
