//! The routing of requests to services.

use std::sync::Arc;

use http::{Method, StatusCode, request::Parts};

use crate::{
    auth::is_authorized,
    chat::{
        self, Taste,
        refusal::{not_found, refuse, wrong_key},
    },
    gzip, models,
    outcome::Outcome,
    playground::{self, Playground},
    replicate::{self, Replicate},
    reply::Reply,
    session::{self, Session},
    shared::Shared,
    workers_ai,
};

/// The path prefixes of the services; all other paths belong to Cerebras.
const CEREBRAS_SESSION: &str = "/cerebras-session";
const CLOUDFLARE: &str = "/client/v4/";
const GATEWAY: &str = "/gateway/v1/";
const COMPATIBLE: &str = "/compatible/v1/";
const PLAYGROUND: &str = "/playground";
const REPLICATE: &str = "/replicate/v1/";

/// One of the two origins that the server listens on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Streams of predictions.
    Stream,
    /// Everything else.
    Main,
}

/// The services, each with its own state.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) shared: Arc<Shared>,
    pub(crate) playground: Playground,
    pub(crate) replicate: Replicate,
    pub(crate) session: Session,
    /// The origin of the streams, to which a fault may redirect.
    pub(crate) elsewhere: String,
}

pub(crate) async fn route(
    services: &Services,
    origin: Origin,
    head: &Parts,
    body: &[u8],
) -> Outcome {
    let shared = &*services.shared;
    let path = head.uri.path();
    if origin == Origin::Stream {
        return replicate::stream(&services.replicate, head);
    }
    if let Some(path) = path.strip_prefix(REPLICATE) {
        return replicate::answer(&services.replicate, head, path, body).await;
    }
    if let Some(path) = path.strip_prefix(CLOUDFLARE) {
        return workers_ai::answer(shared, head, path, body);
    }
    if let Some(path) = path.strip_prefix(GATEWAY) {
        return workers_ai::gateway(shared, head, path, body);
    }
    if let Some(path) = path.strip_prefix(CEREBRAS_SESSION) {
        return Outcome::Reply(session::answer(&services.session, head, path));
    }
    if let Some(path) = below_playground(path) {
        return playground::answer(&services.playground, head, path, body);
    }
    let given = services.session.judge(&head.headers);
    let authorized =
        given.unwrap_or_else(|| is_authorized(&shared.settings, &head.headers, &["Bearer "]));
    if let Some(path) = path.strip_prefix(COMPATIBLE) {
        // A local engine requires no key.
        let authorized = authorized || shared.settings.api_key.is_none();
        return compatible(shared, &head.method, path, authorized, body);
    }
    if head.method == Method::POST && path == "/v1/chat/completions" {
        let body = match gzip::decode(&head.headers, body) {
            Ok(body) => body,
            Err(refusal) => return Outcome::Reply(*refusal),
        };
        let mut script = shared.script();
        return chat::answer(
            &shared.settings,
            &mut script,
            authorized,
            Taste::Strict,
            &body,
        );
    }
    Outcome::Reply(match (&head.method, path) {
        (&Method::GET, "/public/v1/models") => models::list(),
        (&Method::GET, "/v1/models") if authorized => models::list(),
        (&Method::GET, "/v1/models") => wrong_key(),
        (&Method::GET, _) => match (
            path.strip_prefix("/public/v1/models/"),
            path.strip_prefix("/v1/models/"),
        ) {
            (Some(id), _) => models::public(id),
            (_, Some(id)) if authorized => models::one(id),
            (_, Some(_)) => wrong_key(),
            _ => not_found(),
        },
        _ => not_found(),
    })
}

/// Handles a request as an engine that accepts any model.
fn compatible(
    shared: &Shared,
    method: &Method,
    path: &str,
    authorized: bool,
    body: &[u8],
) -> Outcome {
    match (method, path) {
        (&Method::POST, "chat/completions") => {
            let mut script = shared.script();
            chat::answer(&shared.settings, &mut script, authorized, Taste::Any, body)
        }
        (&Method::GET, "models") if authorized => Outcome::Reply(models::list()),
        (&Method::GET, "models") => Outcome::Reply(wrong_key()),
        _ => Outcome::Reply(not_found()),
    }
}

/// Returns the error for a request whose body is too large to read.
pub(crate) fn too_large(origin: Origin, head: &Parts) -> Reply {
    let path = head.uri.path();
    if origin == Origin::Stream || path.starts_with(REPLICATE) {
        return replicate::too_large();
    }
    if path.starts_with(CLOUDFLARE) || path.starts_with(GATEWAY) {
        return workers_ai::too_large(path.starts_with(GATEWAY));
    }
    if below_playground(path).is_some() {
        return Reply::empty(StatusCode::PAYLOAD_TOO_LARGE);
    }
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request too large.", None)
}

/// Returns the path relative to the playground's.
fn below_playground(path: &str) -> Option<&str> {
    let path = path.strip_prefix(PLAYGROUND)?;
    match path {
        "" => Some(""),
        path => path.strip_prefix('/'),
    }
}
