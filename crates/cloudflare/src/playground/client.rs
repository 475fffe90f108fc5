//! The playground's requests from settings to events: what its page does.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header::CONTENT_TYPE,
};
use inferstream_client::{Redact, is_challenge, is_page};
use inferstream_core::{
    Body, BoxFuture, ChatRequest, ChatResponse, ChatStream, Decode, End, Ending, Error, ErrorKind,
    Events, Finish, Flow, Model, Repeat, ReplayStale, Replays, Result, RetryPolicy, Started,
    Timeouts, Transport, Unsupported,
    provider::{self, LeftOut},
    read_stream,
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
    let model = request.model.as_deref().or(INFO.default_model);
    INFO.resolve(model.unwrap_or_default())
}

/// Encodes a request, and tells what it does without.
fn body(request: &ChatRequest) -> Result<(Bytes, LeftOut)> {
    let (body, left_out) = encode::body(model(request), request)?;
    if MAX_BODY < body.len() {
        let length = body.len();
        let message = format!("the request is of {length} bytes; the limit is {MAX_BODY}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    Ok((body, left_out))
}

impl Playground {
    pub(crate) fn new(settings: Settings) -> Self {
        let known = Mutex::new(None);
        Self {
            shared: Arc::new(Shared { settings, known }),
        }
    }

    pub(crate) fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::stream(&INFO, self.base(), request, open)
    }

    pub(crate) fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::chat(&INFO, self.base(), request, open)
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

    pub(crate) fn known_models(&self) -> Option<Vec<Model>> {
        let known = &self.shared.known;
        known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn models(&self) -> Result<Vec<Model>> {
        let models = match self.shared.settings.carrier {
            Carrier::Http => self.list().await?,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::models(self).await?,
        };
        let known = &self.shared.known;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(models.clone());
        Ok(models)
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

    /// Returns what a request would have to do without.
    pub(crate) fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        request.validate()?;
        let left_out = match self.shared.settings.carrier {
            Carrier::Http => body(request)?.1,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::check(self, request)?,
        };
        Ok(left_out.into_list())
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
        let (body, left_out) = body(&request)?;
        let redact = Redact::new(None, &request);
        let url = format!("{}/api/inference", self.base());
        let sent = self.send(of_json(Method::POST, &url, body)?, &request, &redact);
        let (mut started, lease, redact) = sent.await?;
        started.meta.warnings.extend(left_out.warnings());
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
        let at = settings.transport.now();
        let mut warnings = settings.warnings.clone();
        warnings.extend(self.load().await);
        let mut lease = self.lease(request.uri().path()).await?;
        let mut earlier = 0;
        let (sent, redact) = match self.send_with(&lease, &request, asked, redact).await {
            Err(error) if settings.refresh.is_some() && settings.session.forgets(&error) => {
                earlier = error.attempts();
                lease = self.lease(request.uri().path()).await?;
                let sent = self.send_with(&lease, &request, asked, redact).await;
                sent.map_err(|error| error.clone().with_attempts(error.attempts() + earlier))?
            }
            outcome => outcome?,
        };
        let (response, attempts) = sent;
        let transport = Arc::clone(&settings.transport);
        let mut started = Started::new(transport, at, self.timeouts(asked), response);
        redact.headers(&mut started.meta.headers);
        started.meta.attempts = earlier + attempts;
        let warnings = warnings.iter().map(|warning| warning.as_str().to_owned());
        started.meta.warnings.extend(warnings);
        Ok((started, lease, redact))
    }

    /// Sends a request with what a session gives it, by the policy; forgets one that is refused.
    async fn send_with(
        &self,
        lease: &Lease,
        request: &Request<Bytes>,
        asked: &ChatRequest,
        redact: &Redact,
    ) -> Result<((Response<Body>, u32), Redact)> {
        let settings = &self.shared.settings;
        let transport = &settings.transport;
        let session = &settings.session;
        let mut request = request.clone();
        let own = std::mem::replace(request.headers_mut(), lease.headers().clone());
        let headers = own.iter().chain(&settings.headers).chain(&asked.headers);
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let timeouts = self.timeouts(asked);
        let retry = asked.retry.unwrap_or(settings.retry);
        request.extensions_mut().insert(timeouts);
        if retry.replay_stale {
            request.extensions_mut().insert(ReplayStale);
        }
        let replays = Replays::default();
        request.extensions_mut().insert(replays.clone());
        let mut attempts = 0;
        let attempt = |number| {
            attempts = number;
            let sent = transport.send(request.clone());
            let (request, redact, timeouts) = (&request, &redact, &timeouts);
            async move {
                let sent = sent.await;
                let host = request.uri().host().unwrap_or_default();
                let response =
                    sent.map_err(|error| self.with_cookies(redact).transport_error(error, host))?;
                let now = transport.system_time();
                session.absorb(lease, request.uri().path(), response.headers(), now);
                let redact = self.with_cookies(redact);
                let status = response.status();
                if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Ok(response);
                }
                let (head, body) = response.into_parts();
                let body = body.read_error(&**transport, timeouts).await;
                let error = error_of_status(head.status, &head.headers, &body, now);
                Err(redact.error(of_model(error, request.method(), &body)))
            }
        };
        match retry.run(&**transport, timeouts.total, attempt).await {
            Ok(response) => Ok((
                (response, attempts + replays.count()),
                self.with_cookies(redact),
            )),
            Err(error) => {
                self.judge(lease, &error).await;
                Err(replays.add_to(error))
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

/// What went wrong while a session was written down.
type Warnings = Arc<Mutex<Vec<Warning>>>;

/// A decoder that keeps the session after a whole stream.
#[derive(Debug)]
pub(super) struct Kept<D> {
    decode: D,
    playground: Playground,
    lease: Lease,
    /// How the stream ended and with which events, once its session is being written down, and what
    /// went wrong with that.
    ended: Option<(End, Events, Warnings)>,
}

impl<D> Kept<D> {
    pub(super) fn new(decode: D, playground: Playground, lease: Lease) -> Self {
        Self {
            decode,
            playground,
            lease,
            ended: None,
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
        if let Some((end, last, warnings)) = self.ended.take() {
            *events = last;
            let warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
            let told = warnings.iter().map(|warning| warning.as_str().to_owned());
            events.warnings.extend(told);
            return Ok(Finish::Whole(end));
        }
        let outcome = self.decode.finish(ending, events);
        let Ok(Finish::Whole(end)) = outcome else {
            return self.judge(outcome);
        };
        // Only then is it known to be whole: the input may have ended inside an event.
        let last = std::mem::take(events);
        // The answer is whole; its end waits for the file, but not for long.
        let warnings = Arc::new(Mutex::new(Vec::new()));
        self.ended = Some((end, last, Arc::clone(&warnings)));
        let (playground, lease) = (self.playground.clone(), self.lease.clone());
        let saved = async move {
            let told = playground.save(lease).await;
            *warnings.lock().unwrap_or_else(PoisonError::into_inner) = told;
            Ok(Body::from(""))
        };
        Ok(Finish::Late(Duration::ZERO, Box::pin(saved)))
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.decode.cancel()
    }
}

/// Makes an error of an answer whose status is not a success.
fn error_of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &Bytes,
    now: std::time::SystemTime,
) -> Error {
    let error = Error::of_head(status, headers, now);
    let text = String::from_utf8_lossy(body);
    let reason = status.canonical_reason().unwrap_or_default();
    let message = format!("the playground answered {} {reason}", status.as_str());
    let (kind, message) = if is_challenge(headers, &text) {
        let hint = "with a page that wants to see a browser: it needs a session of one";
        (ErrorKind::Challenge, format!("{message} {hint}"))
    } else if is_page(&text) {
        (error.kind(), format!("{message} with a page of HTML"))
    } else {
        (error.kind(), message)
    };
    let repeat = match kind {
        ErrorKind::Challenge => Repeat::Never,
        _ => error.repeat(),
    };
    Error::new(kind, message)
        .with_head(status, headers.clone())
        .with_retry_after(error.retry_after())
        .with_repeat(repeat)
        .with_body(body)
}

/// Says what a refusal without words means where a model was asked for.
fn of_model(error: Error, method: &Method, body: &Bytes) -> Error {
    let is_silent = error.status() == Some(StatusCode::BAD_REQUEST) && body.is_empty();
    if *method != Method::POST || !is_silent || error.kind() == ErrorKind::Challenge {
        return error;
    }
    error
        .with_kind(ErrorKind::NotFound)
        .map_message(|message| format!("{message}: it has no such model"))
        .with_repeat(Repeat::Never)
}
