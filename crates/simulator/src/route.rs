//! A request in, what the server does about it out.

use std::sync::PoisonError;

use http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION, request::Parts};

use crate::{
    chat, models, replicate,
    reply::{Outcome, Reply, not_found, refuse, wrong_key},
    server::{Origin, Settings, Shared},
};

/// What the paths of Replicate's API begin with; the other services own the rest.
const REPLICATE: &str = "/replicate/v1/";

pub(crate) async fn route(shared: &Shared, origin: Origin, head: &Parts, body: &[u8]) -> Outcome {
    let path = head.uri.path();
    if origin == Origin::Stream {
        return replicate::stream(shared, head);
    }
    if let Some(path) = path.strip_prefix(REPLICATE) {
        return replicate::answer(shared, head, path, body).await;
    }
    let authorized = is_authorized(&shared.settings, &head.headers, &["Bearer "]);
    if head.method == Method::POST && path == "/v1/chat/completions" {
        let mut script = shared.script.lock().unwrap_or_else(PoisonError::into_inner);
        return chat::answer(&shared.settings, &mut script, authorized, body);
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

/// Refuses a request whose body was not read.
pub(crate) fn too_large(origin: Origin, head: &Parts) -> Reply {
    if origin == Origin::Stream || head.uri.path().starts_with(REPLICATE) {
        return replicate::too_large();
    }
    refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request too large.", None)
}

/// Returns true if the request has the right key, or any where none was set.
pub(crate) fn is_authorized(settings: &Settings, headers: &HeaderMap, schemes: &[&str]) -> bool {
    let key = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| schemes.iter().find_map(|scheme| value.strip_prefix(scheme)))
        .filter(|key| !key.is_empty());
    match (&settings.api_key, key) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(expected), Some(key)) => expected == key,
    }
}
