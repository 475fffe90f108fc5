//! The endpoint `POST /v1/chat/completions`.

use std::sync::Arc;

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
use tokio::time::timeout;

use crate::{
    config::Serve,
    gateway::{Shared, State as Current},
    limit::Permits,
    phase::Phase,
    record::Track,
    refusal::Refusal,
    request,
    response::{StreamBody, StreamSettings, Upstream},
    route::Route,
};

/// Headers of responses beside those of HTTP.
const ANSWERED_BY: HeaderName = HeaderName::from_static("x-inferstream-model");
const WARNINGS: HeaderName = HeaderName::from_static("x-inferstream-warnings");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest value of the header with warnings.
const MAX_WARNINGS: usize = 2 << 10;

/// Handles a chat request.
///
/// Dropping the future, as the server does if the client is gone, drops the provider's stream.
pub(crate) async fn chat(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let mut track = Track::begin(&shared.observer, request_id(request.headers()));
    let id = HeaderValue::from_str(track.request_id());
    let mut response = match respond(&shared, request, &mut track).await {
        Ok(Answer::Whole(response)) => response,
        Ok(Answer::Stream(stream)) => stream.into_response(track),
        Err(refusal) => {
            track.refused(&refusal);
            refusal.into_response()
        }
    };
    if let Ok(id) = id {
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

enum Answer {
    Whole(Response),
    Stream(Box<Stream>),
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
        describe(&mut headers, self.upstream.partial(), self.warnings);
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

async fn respond(
    shared: &Arc<Shared>,
    request: Request,
    track: &mut Track,
) -> Result<Answer, Refusal> {
    if shared.phases.current() != Phase::Serving {
        return Err(Refusal::draining());
    }
    let state = shared.state();
    let key = state.keys.find(request.headers())?;
    if let Some(key) = &key {
        track.key(&key.name);
    }
    let body = read_body(request, &state.config.serve).await?;
    let incoming = request::read(&body)?;
    drop(body);
    let (model, stream) = (incoming.model.as_str(), incoming.stream);
    if key.as_ref().is_some_and(|key| !key.allows(model)) {
        let message = "the key is not allowed to use this model";
        return Err(Refusal::forbidden("model_not_allowed", message));
    }
    let route = state.routes.find(model)?;
    let known = Some(model).filter(|model| state.routes.is_known(model));
    track.route(&route.label, known, stream);
    let mut permits = Permits::default();
    match Arc::clone(&shared.in_flight).try_acquire_owned() {
        Ok(permit) => permits.add(permit),
        Err(_) => return Err(Refusal::busy("too many responses in flight")),
    }
    if let Some(key) = &key {
        let admitted = key.limits.admit(incoming.request.max_tokens, &mut permits);
        admitted.await.inspect_err(|_| {
            shared.observer.metrics.limited.inc();
        })?;
    }
    let Incoming {
        model,
        mut request,
        include_usage,
        warnings,
        ..
    } = incoming;
    let choices = request.n.unwrap_or(1);
    prepare(&mut request, &route, &state);
    let identity = Identity::new(model);
    if !stream {
        let response = match ask(shared, &route, request, track).await {
            Ok(response) => response,
            Err(refusal) => return Err(permits.refused(refusal)),
        };
        let document = write_response(&identity, &response)?;
        track.complete(Some(&response));
        permits.settle(track.tokens());
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        describe(&mut headers, Some(&response), warnings);
        return Ok(Answer::Whole((headers, document).into_response()));
    }
    let mut upstream = Upstream::Opening(route.provider.stream(request));
    let first = match timeout(state.config.serve.head_wait, upstream.next()).await {
        Ok(Some(Err(error))) => {
            track.upstream_error(&error);
            return Err(permits.refused(Refusal::from(&error)));
        }
        Ok(None) => return Err(Refusal::truncated()),
        Ok(Some(Ok(event))) => Some(event),
        Err(_) => None,
    };
    Ok(Answer::Stream(Box::new(Stream {
        identity,
        settings: StreamSettings {
            choices,
            include_usage,
            keep_alive: state.config.serve.keep_alive,
            ended: shared.phases.reached(Phase::Ended),
        },
        upstream,
        first,
        permits,
        warnings,
    })))
}

/// Sets what is the gateway's to decide.
fn prepare(request: &mut ChatRequest, route: &Route, state: &Current) {
    request.model.clone_from(&route.model);
    request.retry = Some(route.retry);
    request.on_unsupported = state.config.serve.on_unsupported;
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

/// Adds headers about a response: the model that responds, and warnings.
fn describe(headers: &mut HeaderMap, response: Option<&ChatResponse>, mut warnings: Vec<String>) {
    if let Some(response) = response {
        let model = response.model.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(model)) = model {
            headers.insert(ANSWERED_BY, model);
        }
        warnings.extend(response.meta.warnings.iter().cloned());
    }
    let mut value = String::new();
    for warning in warnings {
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
    if !value.is_empty() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(WARNINGS, value);
        }
    }
}
