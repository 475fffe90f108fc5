//! The client that all providers share.

use std::{
    fmt,
    future::ready,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use inferstream_core::{
    ApiKey, BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind,
    Model, Provider, ProviderInfo, Result, Transport, Unsupported, protocol::is_credential,
    provider,
};

use crate::{
    budgets::RetryBudgets,
    builder::Settings,
    call::Call,
    credentials::{Credentials, Fixed, Missing},
    deadline::Deadline,
    redact::Redact,
    url::base_url,
};

/// Whether a response is requested as a stream or as one document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// A stream of events.
    Stream,
    /// One document that holds the complete response.
    Whole,
}

/// The protocol of a service, which a [`Client`] uses.
pub trait Protocol: fmt::Debug + Send + Sync + 'static {
    /// An encoded request, with what [`open`](Self::open) needs to decode the response.
    type Encoded: Clone + Send + Sync + 'static;

    /// Returns the description of the provider.
    fn info(&self) -> &ProviderInfo;

    /// Returns what the provider supports for a model.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// Returns the model of requests that do not name one: that of [`info`](Self::info) by default.
    fn default_model(&self) -> Option<&str> {
        self.info().default_model()
    }

    /// Checks a base URL when a client is created; by default all are valid.
    ///
    /// # Errors
    ///
    /// `Config` if the protocol cannot use the base URL.
    fn check_base(&self, base: &str) -> Result<()> {
        let _ = base;
        Ok(())
    }

    /// Returns true if the service lists its models without a key: false by default.
    fn lists_without_key(&self) -> bool {
        false
    }

    /// Encodes a request. Does no I/O.
    ///
    /// Also returns the texts of the request that are secret: [`Redact::new`] moves those of its
    /// messages, so that they are not held twice. The key is a secret in any case.
    ///
    /// # Errors
    ///
    /// `Unsupported`, `Config` or `TooLarge` for a request that must not be sent.
    fn encode(&self, request: ChatRequest, mode: Mode) -> Result<(Self::Encoded, Redact)>;

    /// Returns the settings that the encoded request had to drop.
    fn unsupported(encoded: Self::Encoded) -> Vec<Unsupported>;

    /// Sends an encoded request, and returns its response as a stream of events.
    ///
    /// # Errors
    ///
    /// Any error before the first event, after the retries.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, and cancels a job that the service runs for it.
    fn open(
        self: Arc<Self>,
        call: Call,
        encoded: Self::Encoded,
    ) -> BoxFuture<'static, Result<ChatStream>>;

    /// Returns true if the service keeps responses, so that [`resume`](Self::resume) can read them:
    /// false by default.
    fn resumes(&self) -> bool {
        false
    }

    /// Reads a response that the service keeps, from its beginning, by its id.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); `Unsupported` by default.
    fn resume(self: Arc<Self>, call: Call, id: String) -> BoxFuture<'static, Result<ChatStream>> {
        let _ = call;
        let message = format!(
            "{} does not keep responses: cannot resume `{id}`",
            self.info().id
        );
        Box::pin(ready(Err(Error::new(ErrorKind::Unsupported, message))))
    }

    /// Requests the model list of the service.
    ///
    /// # Errors
    ///
    /// As [`Call::send`]; `Protocol` if the response is not a model list.
    fn models(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Vec<Model>>>;
}

/// A client of a service that speaks a [`Protocol`].
///
/// Cloning is cheap; clones share connections, the key, the model list and the retry budgets.
#[derive(Debug)]
pub struct Client<P> {
    protocol: Arc<P>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    transport: Arc<dyn Transport>,
    budgets: RetryBudgets,
    base: Arc<str>,
    credentials: Arc<dyn Credentials>,
    known: Mutex<Option<Vec<Model>>>,
}

impl<P> Clone for Client<P> {
    fn clone(&self) -> Self {
        Self {
            protocol: Arc::clone(&self.protocol),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P: Protocol> Client<P> {
    /// Creates a client for the service at a base URL.
    ///
    /// # Errors
    ///
    /// `Config` if the key, the base URL or a header is invalid, or the transport is missing.
    pub fn new(protocol: P, base: &str, settings: Settings) -> Result<Self> {
        let key = Fixed(settings.api_key()?);
        Self::with_credentials(protocol, base, settings, key)
    }

    /// Creates a client that gets its key from credentials. The key of the settings is ignored.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_credentials(
        protocol: P,
        base: &str,
        settings: Settings,
        credentials: impl Credentials,
    ) -> Result<Self> {
        let base = base_url(base).and_then(|base| {
            protocol.check_base(&base)?;
            Ok(base)
        });
        let base = base.map_err(|error| settings.explain_base(error))?;
        inferstream_core::protocol::check_headers(&settings.headers)?;
        let transport = settings.transport()?;
        Ok(Self {
            protocol: Arc::new(protocol),
            shared: Arc::new(Shared {
                settings,
                transport,
                budgets: RetryBudgets::default(),
                base: base.into(),
                credentials: Arc::new(credentials),
                known: Mutex::new(None),
            }),
        })
    }

    /// Creates a client for a service that needs a key. If none is set, the client is created
    /// anyway, and its calls fail with the error `missing` before anything is sent.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_required_key(
        protocol: P,
        base: &str,
        settings: Settings,
        missing: Error,
    ) -> Result<Self> {
        match settings.key {
            Some(_) => Self::new(protocol, base, settings),
            None => Self::with_credentials(protocol, base, settings, Missing(missing)),
        }
    }

    /// Returns the protocol.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Returns the protocol as a shared pointer.
    pub fn protocol_arc(&self) -> Arc<P> {
        Arc::clone(&self.protocol)
    }

    /// Returns the base URL, without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.shared.base
    }

    /// Checks that a required key is set. Sends nothing.
    ///
    /// # Errors
    ///
    /// `Auth` if the key is missing.
    pub fn check_key(&self) -> Result<()> {
        self.shared
            .credentials
            .missing()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Begins a call with the client's key and settings, for documents such as an account's state.
    ///
    /// # Errors
    ///
    /// `Auth` if a required key is missing; any error of the credentials that obtain one.
    pub async fn call(&self) -> Result<Call> {
        let call = self.keyless_call();
        let key = self.shared.credentials.key().await?;
        Ok(with_key(call, key))
    }

    /// Begins a call with the client's settings and without a key, for documents that need none.
    pub fn keyless_call(&self) -> Call {
        self.begin(&ChatRequest::default())
    }

    /// Begins a call for a request, without the key and the texts of the request.
    fn begin(&self, request: &ChatRequest) -> Call {
        let shared = &self.shared;
        let settings = &shared.settings;
        let timeouts = request.timeouts.or(settings.timeouts).unwrap_or_default();
        let retry = request.retry.unwrap_or(settings.retry);
        let (transport, budgets) = (Arc::clone(&shared.transport), shared.budgets.clone());
        let mut call = Call::new(transport, timeouts, retry, budgets);
        let headers = [&settings.headers, &request.headers];
        let secrets = headers.into_iter().flat_map(HeaderMap::iter);
        let secrets = secrets.filter(|(name, value)| value.is_sensitive() || is_credential(name));
        call.redact = secrets
            .filter_map(|(_, value)| value.to_str().ok())
            .fold(Redact::default(), |redact, value| {
                redact.credential(value.strip_prefix("Bearer ").unwrap_or(value))
            });
        call.base = Arc::clone(&shared.base);
        call.headers = settings.headers.clone();
        call
    }

    /// Runs `work` with a key. If the service refuses the key and the credentials can renew it, runs
    /// `work` again with the new key. The total timeout of the call includes everything.
    async fn keyed<T>(
        &self,
        call: &Call,
        work: impl Fn(Call) -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let credentials = &self.shared.credentials;
        let deadline = Deadline::of(&call.transport, call.timeouts);
        let work = |key| deadline.limit(work(with_key(call.clone(), key)));
        let key = deadline.limit(credentials.key()).await?;
        let refusal = match (work(key.clone()).await, &key) {
            (Err(error), Some(key)) if is_refusal(&error) && credentials.renews(key) => error,
            (outcome, _) => return outcome,
        };
        let renewed = deadline.limit(credentials.key()).await;
        let renewed = renewed.map_err(|error| error.with_source(refusal.clone()))?;
        let is_old = |new: &ApiKey| key.as_ref().is_some_and(|old| old.expose() == new.expose());
        let Some(renewed) = renewed.filter(|new| !is_old(new)) else {
            return Err(refusal);
        };
        let outcome = work(Some(renewed.clone())).await;
        if outcome.as_ref().is_err_and(is_refusal) {
            // The renewed key was refused too. The next call must not begin with it.
            let _ = credentials.renews(&renewed);
        }
        outcome
    }

    /// Sets the default model of a request without a model.
    fn named(&self, mut request: ChatRequest) -> ChatRequest {
        if request.model.is_none() {
            request.model = self.protocol.default_model().map(str::to_owned);
        }
        request
    }

    fn encode(&self, request: ChatRequest, mode: Mode) -> Result<(P::Encoded, Redact)> {
        request.validate()?;
        if self.shared.settings.only_known_models {
            self.check_model(&request)?;
        }
        self.protocol.encode(request, mode)
    }

    /// Refuses a model that is not among the known ones.
    fn check_model(&self, request: &ChatRequest) -> Result<()> {
        let info = self.info();
        let Some(model) = request.model.as_deref() else {
            return Ok(());
        };
        let (known, model) = (self.known_models(), info.resolve(model));
        if known.iter().any(|known| known.id == model) {
            return Ok(());
        }
        let message = format!(
            "unknown model `{model}` for {} ({} known): call `models()` to refresh the list, or turn off \
             `only_known_models`",
            info.id,
            known.len()
        );
        Err(Error::new(ErrorKind::ModelNotSupported, message).with_setting("model"))
    }

    async fn open(self, request: ChatRequest, mode: Mode) -> Result<ChatStream> {
        let (call, encoded) = self.prepare(request, mode)?;
        let open = |call| Arc::clone(&self.protocol).open(call, encoded.clone());
        self.keyed(&call, open).await
    }

    /// Begins a call for a request, and encodes the request.
    fn prepare(&self, request: ChatRequest, mode: Mode) -> Result<(Call, P::Encoded)> {
        self.check_key()?;
        let mut call = self.begin(&request);
        let (encoded, redact) = self.encode(request, mode)?;
        call.redact = redact.and(call.redact);
        Ok((call, encoded))
    }

    /// Sets the models that [`known_models`](Provider::known_models) returns, until the next model
    /// list is requested.
    pub fn set_known_models(&self, list: Vec<Model>) {
        let known = &self.shared.known;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(list);
    }
}

impl<P: Protocol> Provider for Client<P> {
    fn info(&self) -> &ProviderInfo {
        self.protocol.info()
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.protocol.capabilities(self.info().resolve(model))
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        self.encode(self.named(request.clone()), Mode::Stream)
            .map(|(encoded, _)| P::unsupported(encoded))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let open = |request| this.open(request, Mode::Stream);
        provider::stream(self.info(), self.base_url(), self.named(request), open)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        let open = |request| this.open(request, Mode::Whole);
        provider::chat(self.info(), self.base_url(), self.named(request), open)
    }

    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        if !self.protocol.resumes() {
            return None;
        }
        let (this, id) = (self.clone(), id.to_owned());
        Some(Box::pin(async move {
            let call = this.call().await?;
            this.protocol.resume(call, id).await
        }))
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        Box::pin(async move {
            let models = |call| Arc::clone(&this.protocol).models(call);
            let call = this.keyless_call();
            let list = if this.check_key().is_err() && this.protocol.lists_without_key() {
                models(call).await?
            } else {
                this.keyed(&call, models).await?
            };
            this.set_known_models(list.clone());
            Ok(list)
        })
    }

    fn known_models(&self) -> Vec<Model> {
        let known = &self.shared.known;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| self.info().models.iter().copied().map(Model::new).collect())
    }
}

fn with_key(mut call: Call, key: Option<ApiKey>) -> Call {
    if let Some(key) = &key {
        call.redact = call.redact.credential(key.expose());
    }
    call.key = key;
    call
}

/// Returns true for an error that an invalid key may have caused, if no part of a response came before.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Auth | ErrorKind::Permission) && error.partial().is_none()
}
