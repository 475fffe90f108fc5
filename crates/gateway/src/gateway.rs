//! The gateway: its state, and its routes.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    Router,
    extract::{Request, State as Extract},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use inferstream::{Error, Hub, Result};
use tokio::sync::Semaphore;
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::{
    chat,
    config::Config,
    guard,
    kept::Kept,
    key::Keys,
    metrics::{CONTENT_TYPE, Metrics},
    models, page,
    phase::{Phase, Phases},
    record::{Observer, OnRecord, Record},
    refusal::Refusal,
    route::Routes,
};

/// An OpenAI-compatible gateway to the providers of a [`Hub`].
///
/// Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    current: RwLock<Arc<State>>,
    pub(crate) observer: Observer,
    pub(crate) phases: Phases,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) kept: Arc<Kept>,
}

/// A header of all responses, by which a client knows that a gateway of ours sent them.
const GATEWAY: HeaderName = HeaderName::from_static("x-inferstream-gateway");

/// What a configuration contains, in the form in which requests use it. A request keeps what it began
/// with.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) routes: Routes,
}

impl Shared {
    pub(crate) fn state(&self) -> Arc<State> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn new(hub: Hub, config: Config) -> Result<Self> {
        let keys = Keys::new(&config)?;
        let routes = Routes::new(hub, &config)?;
        for origin in &config.serve.cors {
            if HeaderValue::from_str(origin).is_err() || !origin.contains("://") {
                let message = format!(
                    "invalid origin `{origin}`: expected one such as `https://app.example.com`"
                );
                return Err(Error::config(message).with_setting("cors"));
            }
        }
        Ok(Self {
            config,
            keys,
            routes,
        })
    }
}

impl Gateway {
    /// Creates a gateway.
    ///
    /// # Errors
    ///
    /// `Config` if an alias names an unknown provider, a key cannot be read, an origin is invalid, or
    /// the file of kept responses cannot be used.
    ///
    /// # Blocking
    ///
    /// Reads the files of keys and of kept responses.
    pub fn new(hub: Hub, config: Config) -> Result<Self> {
        Self::with_observer(hub, config, None)
    }

    /// Creates a gateway that calls a function at the end of each chat request, for a log. The function
    /// must not block.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_log(
        hub: Hub,
        config: Config,
        log: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::with_observer(hub, config, Some(Arc::new(log)))
    }

    fn with_observer(hub: Hub, config: Config, on_record: Option<OnRecord>) -> Result<Self> {
        let most = config.serve.max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let metrics = Arc::new(Metrics::new());
        let state = State::new(hub, config)?;
        let kept = Kept::open(&state.config.serve.kept_responses, &metrics)?;
        let shared = Shared {
            current: RwLock::new(Arc::new(state)),
            kept: Arc::new(kept),
            observer: Observer { metrics, on_record },
            phases: Phases::default(),
            in_flight: Arc::new(Semaphore::new(most)),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Replaces the providers and the configuration, except the address, the origins of `cors`, the
    /// total number of responses in flight and the settings of kept responses. Requests in progress keep
    /// the old ones, and the limits of keys start again.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). After an error, nothing has changed.
    pub fn reload(&self, hub: Hub, config: Config) -> Result<()> {
        let state = State::new(hub, config);
        let is_ok = i64::from(state.is_ok());
        self.shared.observer.metrics.config_ok.set(is_ok);
        let state = Arc::new(state?);
        let current = self.shared.current.write();
        *current.unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// Reports that a new configuration could not be read, for the metric `inferstream_config_ok`.
    pub fn reload_failed(&self) {
        self.shared.observer.metrics.config_ok.set(0);
    }

    /// Checks that an address may be served: without keys, only a loopback address may be, unless the
    /// setting `allow_without_keys` is true.
    ///
    /// # Errors
    ///
    /// `Config` if the address may not be served.
    pub fn check_address(&self, address: SocketAddr) -> Result<()> {
        let state = self.shared.state();
        if address.ip().is_loopback()
            || !state.keys.is_empty()
            || state.config.serve.allow_without_keys
        {
            return Ok(());
        }
        let message = format!(
            "invalid address {address}: without keys, only loopback addresses are allowed; \
             add a key, or set `allow_without_keys`"
        );
        Err(Error::config(message).with_setting("listen"))
    }

    /// Returns the routes, to be served by [`serve`](crate::serve()), or as a part of another program's.
    ///
    /// The timeouts of connections are those of [`serve`](crate::serve()); another server has its own.
    pub fn router(&self) -> Router {
        let shared = &self.shared;
        let router = Router::new()
            .route("/", get(page::page))
            .route("/v1/chat/completions", post(chat::chat))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{*id}", get(models::one))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .fallback(unknown)
            .method_not_allowed_fallback(|| async {
                Refusal::method("unknown method: expected POST for chats and GET for all else")
            })
            .with_state(Arc::clone(shared))
            .layer(from_fn_with_state(Arc::clone(shared), check));
        let router = match cors(&shared.state().config.serve.cors) {
            None => router,
            Some(layer) => router.layer(layer),
        };
        router.layer(map_response(mark))
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Gateway")
            .field("config", &state.config)
            .finish_non_exhaustive()
    }
}

/// Lets the browser's pages of the listed origins read responses.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = origins.iter().filter_map(|origin| origin.parse().ok());
    let origins: Vec<HeaderValue> = origins.collect();
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request());
    Some(layer)
}

async fn check(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    let state = shared.state();
    let serve = &state.config.serve;
    match guard::check(request.headers(), serve, !state.keys.is_empty()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn mark(mut response: Response) -> Response {
    let version = HeaderValue::from_static("1");
    response.headers_mut().insert(GATEWAY, version);
    response
}

async fn ready(Extract(shared): Extract<Arc<Shared>>) -> Response {
    match shared.phases.current() {
        Phase::Serving => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn metrics(Extract(shared): Extract<Arc<Shared>>) -> Response {
    let text = shared.observer.metrics.encode();
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn unknown() -> Refusal {
    let message = "unknown path: expected POST /v1/chat/completions, GET /v1/models, \
                   GET /v1/models/{id}, GET /healthz, GET /readyz, GET /metrics or GET /";
    Refusal::not_found("unknown_path", message)
}
