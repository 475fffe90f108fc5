//! A request in, what the server does about it out.

use std::sync::PoisonError;

use http::{HeaderMap, Method, header::AUTHORIZATION, request::Parts};

use crate::{
    chat, models,
    reply::{Outcome, not_found, wrong_key},
    server::{Settings, Shared},
};

pub(crate) fn route(shared: &Shared, head: &Parts, body: &[u8]) -> Outcome {
    let path = head.uri.path();
    let authorized = is_authorized(&shared.settings, &head.headers);
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

/// Returns true if the request has the right key, or any where none was set.
fn is_authorized(settings: &Settings, headers: &HeaderMap) -> bool {
    let key = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .filter(|key| !key.is_empty());
    match (&settings.api_key, key) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(expected), Some(key)) => expected == key,
    }
}
