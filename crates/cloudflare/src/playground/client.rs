//! The playground's requests from settings to events: what its page does.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header::CONTENT_TYPE};
use inferstream_client::{Call, Dropped, Judge, Redact, Refusal};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, Model,
    Provider, ProviderInfo, Result, RetryPolicy, Timeouts, Transport, Unsupported,
    protocol::{Decode, Ending, Events, Finish, Flow, Started, read_stream},
    provider,
    sse::Frame,
};
use inferstream_session::Warning;
use serde_json::Value;

#[cfg(feature = "playground-agent")]
use super::agent;
use super::{
    blocking::blocking,
    decode::PlaygroundDecode,
    encode,
    error::{error_of_status, of_model},
    framer::PlaygroundFrames,
    session::{Lease, Session, SessionData},
};
use crate::models::INFO;

/// A client of the playground.
///
/// Cloning is cheap; clones share the session and the list of models.
#[derive(Clone, Debug)]
pub(crate) struct Playground {
    shared: Arc<Shared>,
}

/// What a playground is asked with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) carrier: Carrier,
    /// The URL before `/api` and `/agents`.
    pub(crate) base: String,
    pub(crate) headers: HeaderMap,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) session: Session,
    pub(crate) refresh: Option<Refresher>,
    /// What was to be said before the first request.
    pub(crate) warnings: Vec<Warning>,
}

/// What carries requests and answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Carrier {
    #[default]
    Http,
    /// A WebSocket.
    #[cfg(feature = "playground-agent")]
    Agent,
}

/// What gets a new session: the caller's.
#[derive(Clone)]
pub(crate) struct Refresher(pub(crate) Arc<Refresh>);

pub(crate) type Refresh = dyn Fn() -> BoxFuture<'static, Result<SessionData>> + Send + Sync;

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    known: Mutex<Option<Vec<Model>>>,
}

/// The most that a request's body may hold.
const MAX_BODY: usize = 16 << 20;

/// The most that a list of models may hold.
pub(super) const MAX_LIST: usize = 4 << 20;

/// Returns the model that a request is for.
pub(super) fn model(request: &ChatRequest) -> &str {
    let model = request.model.as_deref().or(INFO.default_model());
    INFO.resolve(model.unwrap_or_default())
}

/// Encodes a request, and tells what it does without.
fn body(request: &ChatRequest) -> Result<(Bytes, Dropped)> {
    let (body, dropped) = encode::body(model(request), request)?;
    if MAX_BODY < body.len() {
        let length = body.len();
        let message = format!("the request is of {length} bytes; the limit is {MAX_BODY}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok((body, dropped))
}

impl Playground {
    pub(crate) fn new(settings: Settings) -> Self {
        let known = Mutex::new(None);
        Self {
            shared: Arc::new(Shared { settings, known }),
        }
    }

    /// Returns the URL before all paths.
    pub(super) fn base(&self) -> &str {
        &self.shared.settings.base
    }

    /// Returns the caller's headers for every request.
    #[cfg(feature = "playground-agent")]
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.shared.settings.headers
    }

    #[cfg(feature = "playground-agent")]
    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        &self.shared.settings.transport
    }

    /// Returns the limits of a request.
    pub(super) fn timeouts(&self, asked: &ChatRequest) -> Timeouts {
        asked.timeouts.unwrap_or(self.shared.settings.timeouts)
    }

    async fn list(&self) -> Result<Vec<Model>> {
        let url = format!("{}/api/models", self.base());
        let request = of_json(Method::GET, &url, Bytes::new())?;
        let asked = ChatRequest::default();
        let (mut started, ..) = self.send(request, &asked, &Redact::default()).await?;
        let body = started.document(MAX_LIST).await?;
        let broken = || Error::protocol("the playground sent something else than its models");
        let value = serde_json::from_slice::<Value>(&body).map_err(|_| broken())?;
        let list = value["models"].as_array().ok_or_else(broken)?;
        let names = list.iter().filter_map(|model| model["name"].as_str());
        Ok(names.map(Model::new).collect())
    }

    async fn open(&self, request: ChatRequest) -> Result<ChatStream> {
        request.validate()?;
        match self.shared.settings.carrier {
            Carrier::Http => self.post(request).await,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::open(self, request).await,
        }
    }

    async fn post(&self, request: ChatRequest) -> Result<ChatStream> {
        let (body, dropped) = body(&request)?;
        let redact = Redact::new(None, &request);
        let url = format!("{}/api/inference", self.base());
        let sent = self.send(of_json(Method::POST, &url, body)?, &request, &redact);
        let (mut started, lease, redact) = sent.await?;
        started.meta.warnings.extend(dropped.warnings());
        let decode = PlaygroundDecode::new(redact, request.raw);
        let decode = Kept::new(decode, self.clone(), lease);
        Ok(read_stream(started, PlaygroundFrames::default(), decode))
    }

    /// Sends a request with the session until an answer has a head of success, or switches protocols;
    /// a session that is refused is forgotten, and where another can be had the request is sent once
    /// more with that.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
        asked: &ChatRequest,
        redact: &Redact,
    ) -> Result<(Started, Lease, Redact)> {
        let settings = &self.shared.settings;
        let retry = asked.retry.unwrap_or(settings.retry);
        let mut call = Call::new(Arc::clone(&settings.transport), self.timeouts(asked), retry);
        call.redact = redact.clone();
        let mut warnings = settings.warnings.clone();
        warnings.extend(self.load().await);
        let mut lease = self.lease(request.uri().path()).await?;
        let mut started = match self.send_with(&call, &lease, &request, asked).await {
            Err(error) if settings.refresh.is_some() && settings.session.forgets(&error) => {
                let earlier = error.attempts();
                lease = self.lease(request.uri().path()).await?;
                let sent = self.send_with(&call, &lease, &request, asked).await;
                let count = |error: Error| {
                    let attempts = error.attempts() + earlier;
                    error.with_attempts(attempts)
                };
                let mut started = sent.map_err(count)?;
                started.meta.attempts += earlier;
                started
            }
            outcome => outcome?,
        };
        let warnings = warnings.iter().map(|warning| warning.as_str().to_owned());
        started.meta.warnings.extend(warnings);
        Ok((started, lease, self.with_cookies(redact)))
    }

    /// Sends a request with what a session gives it, by the policy; forgets one that is refused.
    async fn send_with(
        &self,
        call: &Call,
        lease: &Lease,
        request: &Request<Bytes>,
        asked: &ChatRequest,
    ) -> Result<Started> {
        let settings = &self.shared.settings;
        let mut request = request.clone();
        let own = std::mem::replace(request.headers_mut(), lease.headers().clone());
        let headers = own.iter().chain(&settings.headers).chain(&asked.headers);
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let judge = SessionJudge {
            playground: self,
            lease,
            path: request.uri().path().to_owned(),
            method: request.method().clone(),
        };
        match call.send(request, &judge).await {
            Ok(started) => Ok(started),
            Err(error) => {
                self.judge(lease, &error).await;
                Err(error)
            }
        }
    }

    /// Adds the session's cookies to what must not stand in an error: an answer may have set some.
    fn with_cookies(&self, redact: &Redact) -> Redact {
        let settings = &self.shared.settings;
        let secrets = settings.session.secrets(settings.transport.system_time());
        let add = |redact: Redact, secret: &String| redact.credential(secret);
        secrets.iter().fold(redact.clone(), add)
    }

    /// Takes what a request sends of the session; where there is none, a new one can be got or it is
    /// the default headers.
    async fn lease(&self, path: &str) -> Result<Lease> {
        let settings = &self.shared.settings;
        let transport = &settings.transport;
        let calendar = transport.system_time();
        match &settings.refresh {
            None => Ok(settings.session.lease(path, calendar)),
            Some(Refresher(refresh)) => {
                let now = || transport.now();
                let get = || refresh();
                let session = &settings.session;
                session.get_or_refresh(path, calendar, now, get).await
            }
        }
    }

    /// Reads the session's file, if there is one to read.
    async fn load(&self) -> Vec<Warning> {
        let load = |session: &Session, warnings: &mut Vec<Warning>| session.load(warnings);
        self.with_session(load).await
    }

    /// Forgets the session after an error that says it is of no use.
    async fn judge(&self, lease: &Lease, error: &Error) {
        let settings = &self.shared.settings;
        if !settings.session.forgets(error) {
            return;
        }
        let (lease, now) = (lease.clone(), settings.transport.system_time());
        self.with_session(move |session, _| session.forget(&lease, now, &mut Vec::new()))
            .await;
    }

    /// Writes the session down after a whole stream.
    async fn save(&self, lease: Lease) -> Vec<Warning> {
        let now = self.shared.settings.transport.system_time();
        self.with_session(move |session, warnings| session.save(&lease, now, warnings))
            .await
    }

    /// Does something with the session, on a thread of its own where it may wait for a disk.
    async fn with_session(
        &self,
        work: impl FnOnce(&Session, &mut Vec<Warning>) + Send + 'static,
    ) -> Vec<Warning> {
        let this = self.clone();
        let work = move || {
            let mut warnings = Vec::new();
            work(&this.shared.settings.session, &mut warnings);
            warnings
        };
        if self.shared.settings.session.has_file() {
            blocking(work).await
        } else {
            work()
        }
    }
}

impl Provider for Playground {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = false;
        capabilities
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        request.validate()?;
        let dropped = match self.shared.settings.carrier {
            Carrier::Http => body(request)?.1,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::check(self, request)?,
        };
        Ok(dropped.into_list())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::stream(&INFO, self.base(), request, open)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::chat(&INFO, self.base(), request, open)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        Box::pin(async move {
            let models = match this.shared.settings.carrier {
                Carrier::Http => this.list().await?,
                #[cfg(feature = "playground-agent")]
                Carrier::Agent => agent::models(&this).await?,
            };
            let known = &this.shared.known;
            *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(models.clone());
            Ok(models)
        })
    }

    fn known_models(&self) -> Vec<Model> {
        let known = &self.shared.known;
        let known = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| INFO.models.iter().copied().map(Model::new).collect())
    }
}

/// Makes a request whose body is JSON.
fn of_json(method: Method, url: &str, body: Bytes) -> Result<Request<Bytes>> {
    let uri = url.parse::<Uri>();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.map_err(|_| Error::config("the URL is not one"))?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    Ok(request)
}

/// A decoder that keeps the session after a whole stream.
#[derive(Debug)]
pub(super) struct Kept<D> {
    decode: D,
    playground: Playground,
    lease: Lease,
}

impl<D> Kept<D> {
    pub(super) fn new(decode: D, playground: Playground, lease: Lease) -> Self {
        Self {
            decode,
            playground,
            lease,
        }
    }

    /// Lets the session go after an error inside an answer that says it is of no use.
    fn judge<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            let (playground, lease, error) =
                (self.playground.clone(), self.lease.clone(), error.clone());
            let transport = Arc::clone(&playground.shared.settings.transport);
            transport.detach(Box::pin(async move {
                playground.judge(&lease, &error).await;
            }));
        }
        outcome
    }
}

impl<D: Decode> Decode for Kept<D> {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let outcome = self.decode.decode(frame, events);
        self.judge(outcome)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let outcome = self.decode.finish(ending, events);
        let Ok(Finish::Whole(end)) = outcome else {
            return self.judge(outcome);
        };
        let (playground, lease) = (self.playground.clone(), self.lease.clone());
        let saved = async move {
            let warnings = playground.save(lease).await;
            let text = |warning: &Warning| warning.as_str().to_owned();
            warnings.iter().map(text).collect()
        };
        Ok(Finish::WholeAfter(end, Box::pin(saved)))
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.decode.cancel()
    }
}

/// Judges the responses to a request that was sent with a session.
struct SessionJudge<'a> {
    playground: &'a Playground,
    lease: &'a Lease,
    path: String,
    method: Method,
}

impl Judge for SessionJudge<'_> {
    fn accepts(&self, status: StatusCode) -> bool {
        status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
    }

    fn observe(&self, headers: &HeaderMap) {
        let settings = &self.playground.shared.settings;
        let now = settings.transport.system_time();
        let session = &settings.session;
        session.absorb(self.lease, &self.path, headers, now);
    }

    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        of_model(error_of_status(&refusal), &self.method, refusal.body)
    }

    fn secrets<'a>(&self, redact: &'a Redact) -> Cow<'a, Redact> {
        Cow::Owned(self.playground.with_cookies(redact))
    }
}
