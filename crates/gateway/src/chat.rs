//! The endpoint `POST /v1/chat/completions`.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    time::Instant,
};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::BodyExt as _;
use inferstream::{ChatEvent, ChatRequest, ChatResponse};
use inferstream_chat_json::{Identity, Incoming, random_id, write_response};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    config::Serve,
    gateway::{Shared, State as Current},
    kept::{self, Answer, Document, Fingerprint, Id},
    key::Key,
    limit::Permits,
    phase::Phase,
    record::Track,
    refusal::Refusal,
    request,
    response::{StreamBody, StreamSettings, Upstream},
    route::Route,
    trace::Parent,
};

/// Headers of responses beside those of HTTP.
const ANSWERED_BY: HeaderName = HeaderName::from_static("x-inferstream-model");
const WARNINGS: HeaderName = HeaderName::from_static("x-inferstream-warnings");
const REPLAYED: HeaderName = HeaderName::from_static("x-inferstream-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest value of the header with warnings.
const MAX_WARNINGS: usize = 2 << 10;

/// Handles a chat request.
///
/// Dropping the future, as the server does if the client is gone, drops the provider's stream, unless
/// the response will be kept.
pub(crate) async fn chat(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (id, parent) = (request_id(request.headers()), Parent::of(request.headers()));
    let header = HeaderValue::from_str(&id);
    let mut track = Track::begin(&shared.observer, id, parent);
    let span = track.span();
    let begun = span.within(begin(&shared, request, &mut track));
    let mut response = match begun.await {
        Ok(begun) => begun.respond(track).await,
        Err(refusal) => {
            track.refused(&refusal);
            refusal.into_response()
        }
    };
    if let Ok(id) = header {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Returns the client's id of a request, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    const MAX: usize = 128;
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    match given {
        Some(id) if !id.is_empty() && id.len() <= MAX => id.to_owned(),
        _ => format!("req_{}", random_id()),
    }
}

/// A request that was read and may be sent.
struct Begun {
    shared: Arc<Shared>,
    state: Arc<Current>,
    key: Option<Arc<Key>>,
    route: Route,
    incoming: Incoming,
    /// What identifies the request, if its response is to be kept.
    kept: Option<(Id, Fingerprint)>,
}

/// Reads a request.
async fn begin(
    shared: &Arc<Shared>,
    request: Request,
    track: &mut Track,
) -> Result<Begun, Refusal> {
    if shared.phases.current() != Phase::Serving {
        return Err(Refusal::draining());
    }
    let state = shared.state();
    let key = state.keys.find(request.headers())?;
    if let Some(key) = &key {
        track.key(&key.name);
    }
    let idempotency_key = kept::key(request.headers())?;
    let body = read_body(request, &state.config.serve).await?;
    let mut incoming = request::read(&body)?;
    let model = incoming.model.as_str();
    if key.as_ref().is_some_and(|key| !key.allows(model)) {
        let message = "the key is not allowed to use this model";
        return Err(Refusal::forbidden("model_not_allowed", message));
    }
    let route = state.routes.find(model)?;
    let known = Some(model).filter(|model| state.routes.is_known(model));
    track.route(&route.label, known, incoming.stream);
    let kept = match idempotency_key {
        Some(_) if incoming.stream => {
            let warning = "`Idempotency-Key` was ignored: the response is streamed";
            incoming.warnings.push(warning.to_owned());
            None
        }
        Some(idempotency_key) => {
            let id = Id {
                client: key.as_ref().map(|key| key.name.clone()),
                key: idempotency_key,
            };
            Some((id, Fingerprint::of(&body)))
        }
        None => None,
    };
    Ok(Begun {
        shared: Arc::clone(shared),
        state,
        key,
        route,
        incoming,
        kept,
    })
}

impl Begun {
    async fn respond(mut self, track: Track) -> Response {
        if self.incoming.stream {
            return self.stream(track).await;
        }
        match self.kept.take() {
            Some((id, fingerprint)) => self.respond_once(id, fingerprint, track).await,
            None => match self.whole(track).await {
                Ok(document) => respond_with(&document),
                Err(refusal) => refusal.into_response(),
            },
        }
    }

    /// Returns the kept response, waits for that of the same request in progress, or sends the request.
    ///
    /// A response that was kept costs no tokens and no request of the key's limits.
    async fn respond_once(self, id: Id, fingerprint: Fingerprint, mut track: Track) -> Response {
        let replay = match self.shared.kept.find(id, fingerprint) {
            Ok(Answer::Absent(leader)) => {
                let id = track.request_id().to_owned();
                let pending = leader.send(id, self.whole(track));
                return match kept::outcome(pending).await {
                    Ok(document) => respond_with(&document),
                    Err(refusal) => refusal.into_response(),
                };
            }
            Ok(Answer::Kept(document)) => Ok(document),
            Ok(Answer::Running(pending)) => match in_flight(&self.shared) {
                Ok(_permit) => kept::outcome(pending).await,
                Err(refusal) => Err(refusal),
            },
            Err(refusal) => Err(refusal),
        };
        match replay {
            Ok(document) => {
                track.replayed(document.model.as_deref());
                let mut response = respond_with(&document);
                let is_replay = HeaderValue::from_static("true");
                response.headers_mut().insert(REPLAYED, is_replay);
                response
            }
            Err(refusal) => {
                track.refused(&refusal);
                refusal.into_response()
            }
        }
    }

    /// Waits for a complete response.
    async fn whole(self, mut track: Track) -> Result<Document, Refusal> {
        let span = track.span();
        let document = span.within(self.send_whole(&mut track)).await;
        document.inspect_err(|refusal| track.refused(refusal))
    }

    async fn send_whole(mut self, track: &mut Track) -> Result<Document, Refusal> {
        let permits = self.admit().await?;
        self.prepare();
        let identity = Identity::new(self.incoming.model);
        let response = match ask(&self.shared, &self.route, self.incoming.request, track).await {
            Ok(response) => response,
            Err(refusal) => return Err(permits.refused(refusal)),
        };
        let json = write_response(&identity, &response)?;
        track.complete(Some(&response));
        permits.settle(track.tokens());
        Ok(Document {
            // Line breaks between the values of a service: a file has one response per line.
            json: json.replace(['\n', '\r'], " ").into(),
            warnings: warnings(&self.incoming.warnings, Some(&response)),
            model: response.model,
        })
    }

    /// Waits for the first event of a stream.
    async fn stream(self, mut track: Track) -> Response {
        let span = track.span();
        match span.within(self.send_stream(&mut track)).await {
            Ok(stream) => stream.into_response(track),
            Err(refusal) => {
                track.refused(&refusal);
                refusal.into_response()
            }
        }
    }

    async fn send_stream(mut self, track: &mut Track) -> Result<Stream, Refusal> {
        let permits = self.admit().await?;
        let choices = self.incoming.request.n.unwrap_or(1);
        self.prepare();
        let serve = &self.state.config.serve;
        let opening = self.route.provider.stream(self.incoming.request);
        let mut upstream = Upstream::Opening(opening);
        let first = match timeout(serve.head_wait, upstream.next()).await {
            Ok(Some(Err(error))) => {
                track.upstream_error(&error);
                return Err(permits.refused(Refusal::from(&error)));
            }
            Ok(None) => return Err(Refusal::truncated()),
            Ok(Some(Ok(event))) => Some(event),
            Err(_) => None,
        };
        Ok(Stream {
            identity: Identity::new(self.incoming.model),
            settings: StreamSettings {
                choices,
                include_usage: self.incoming.include_usage,
                keep_alive: serve.keep_alive,
                ended: self.shared.phases.reached(Phase::Ended),
            },
            upstream,
            first,
            permits,
            warnings: self.incoming.warnings,
        })
    }

    /// Waits until the limits allow the request.
    async fn admit(&self) -> Result<Permits, Refusal> {
        let mut permits = Permits::default();
        permits.add(in_flight(&self.shared)?);
        if let Some(key) = &self.key {
            let metrics = &self.shared.observer.metrics;
            let max_tokens = self.incoming.request.max_tokens;
            let mut admitted = pin!(key.limits.admit(max_tokens, &mut permits));
            let (began, mut has_waited) = (Instant::now(), false);
            let admitted = poll_fn(|cx| {
                let polled = admitted.as_mut().poll(cx);
                has_waited |= polled.is_pending();
                polled
            });
            let admitted = admitted.await;
            if has_waited {
                metrics.limit_wait.observe(began.elapsed().as_secs_f64());
            }
            admitted.inspect_err(|_| {
                metrics.limited.inc();
            })?;
        }
        Ok(permits)
    }

    /// Sets what is the gateway's to decide.
    fn prepare(&mut self) {
        let request = &mut self.incoming.request;
        request.model.clone_from(&self.route.model);
        request.retry = Some(self.route.retry);
        request.on_unsupported = self.state.config.serve.on_unsupported;
    }
}

fn in_flight(shared: &Shared) -> Result<OwnedSemaphorePermit, Refusal> {
    let permit = Arc::clone(&shared.in_flight).try_acquire_owned();
    permit.map_err(|_| Refusal::busy("too many responses in flight"))
}

/// A stream that has begun, or that has not failed within the time that its headers wait.
struct Stream {
    identity: Identity,
    settings: StreamSettings,
    upstream: Upstream,
    first: Option<ChatEvent>,
    permits: Permits,
    warnings: Vec<String>,
}

impl Stream {
    fn into_response(self, track: Track) -> Response {
        let mut headers = HeaderMap::new();
        let stream = HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, stream);
        let no_cache = HeaderValue::from_static("no-cache");
        headers.insert(header::CACHE_CONTROL, no_cache);
        // For nginx, which otherwise collects the response.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let partial = self.upstream.partial();
        let model = partial.and_then(|partial| partial.model.as_deref());
        describe(&mut headers, model, &warnings(&self.warnings, partial));
        let body = StreamBody::new(
            &self.identity,
            self.settings,
            self.upstream,
            self.first,
            track,
            self.permits,
        );
        (headers, Body::new(body)).into_response()
    }
}

fn respond_with(document: &Document) -> Response {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    describe(&mut headers, document.model.as_deref(), &document.warnings);
    (headers, document.json.clone()).into_response()
}

/// Waits for a complete response.
async fn ask(
    shared: &Shared,
    route: &Route,
    request: ChatRequest,
    track: &mut Track,
) -> Result<ChatResponse, Refusal> {
    tokio::select! {
        biased;
        response = route.provider.chat(request) => response.map_err(|error| {
            track.upstream_error(&error);
            Refusal::from(&error)
        }),
        () = shared.phases.reached(Phase::Ended) => Err(Refusal::draining()),
    }
}

/// Reads a request's body. One that is announced as too large is refused before it is read.
async fn read_body(request: Request, serve: &Serve) -> Result<Bytes, Refusal> {
    let limit = serve.max_body_bytes;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| u64::try_from(limit).unwrap_or(u64::MAX) < length) {
        return Err(Refusal::too_large(limit));
    }
    let mut body = request.into_body();
    let mut read = BytesMut::new();
    loop {
        let frame = timeout(serve.body_timeout, body.frame()).await;
        let frame = match frame.map_err(|_| Refusal::slow_body())? {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                let message = "reading the request body failed: the connection was lost";
                return Err(Refusal::invalid(None, message));
            }
        };
        if let Ok(data) = frame.into_data() {
            if limit < read.len() + data.len() {
                return Err(Refusal::too_large(limit));
            }
            read.extend_from_slice(&data);
        }
    }
}

/// Joins the warnings about a request and its response to the value of a header.
fn warnings(warnings: &[String], response: Option<&ChatResponse>) -> String {
    let more = response.map_or(&[][..], |response| &response.meta.warnings);
    let mut value = String::new();
    for warning in warnings.iter().chain(more) {
        if value.len() + warning.len() < MAX_WARNINGS {
            let separator = if value.is_empty() { "" } else { "; " };
            value.push_str(separator);
            for c in warning.chars() {
                // A header has visible ASCII only.
                let c = if matches!(c, ' '..='~') { c } else { '?' };
                value.push(c);
            }
        }
    }
    value
}

/// Adds headers about a response: the model that responds, and warnings.
fn describe(headers: &mut HeaderMap, model: Option<&str>, warnings: &str) {
    if let Some(Ok(model)) = model.map(HeaderValue::from_str) {
        headers.insert(ANSWERED_BY, model);
    }
    if !warnings.is_empty() {
        if let Ok(warnings) = HeaderValue::from_str(warnings) {
            headers.insert(WARNINGS, warnings);
        }
    }
}
