//! The Cerebras session endpoint.

mod keys;

use http::{
    Method, StatusCode,
    header::{COOKIE, SET_COOKIE},
    request::Parts,
};
use serde_json::json;

pub use self::keys::CerebrasSession;
pub(crate) use self::keys::Session;
use crate::{
    chat::refusal::not_found,
    page::{self, HTML},
    reply::Reply,
};

/// The path relative to the page's.
const PATH: &str = "/api/auth/session";

/// Handles a request to the page.
pub(crate) fn answer(session: &Session, head: &Parts, path: &str) -> Reply {
    if head.method != Method::GET || path != PATH {
        return not_found();
    }
    let shared = &session.shared;
    shared.counter.add(|counts| &mut counts.sessions);
    let seed = shared.settings.seed;
    let mut state = session.state();
    if !head.headers.contains_key(COOKIE) {
        return document("{}");
    }
    let next = state.next.pop_front().unwrap_or_default();
    let user = |key: Option<&str>| {
        let mut user = json!({"name": "Simulated", "email": "simulated@example.com"});
        if let Some(key) = key {
            user["demoApiKey"] = key.into();
        }
        document(&json!({"user": user, "expires": "2999-12-31T23:59:59.999Z"}).to_string())
    };
    let reply = match next {
        CerebrasSession::Challenge => page::challenge("sim"),
        CerebrasSession::Empty => document("{}"),
        CerebrasSession::ExpiredKey => {
            let key = state.key(seed, false);
            user(Some(&key))
        }
        CerebrasSession::Forbidden => Reply::text(StatusCode::FORBIDDEN, "text/plain", "Forbidden"),
        CerebrasSession::Html => {
            let page = "<!DOCTYPE html>\n<html><title>Sign in</title></html>\n";
            Reply::text(StatusCode::OK, HTML, page)
        }
        CerebrasSession::NoDemoKey => user(None),
        CerebrasSession::Null => document("null"),
        CerebrasSession::SignedIn => {
            let key = state.key(seed, true);
            let (given, attributes) = (state.given, session.attributes);
            let cookie = format!("session-token=simulated-session-{given}; {attributes}");
            user(Some(&key)).header(SET_COOKIE, &cookie)
        }
    };
    drop(state);
    reply
}

fn document(json: &str) -> Reply {
    Reply::json(StatusCode::OK, json.to_owned())
}
