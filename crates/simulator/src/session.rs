//! A request for the session of Cerebras' page in, what it says of a key out; and the keys' lives.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    request::Parts,
};
use serde_json::json;

use crate::{
    dice::{OFFSET, hash},
    page::{self, HTML},
    reply::{Reply, not_found},
    server::Shared,
};

/// The most keys that are remembered: each answer gives one.
const MAX_KEYS: usize = 10_000;

/// The path below the page's.
const PATH: &str = "/api/auth/session";

/// What the session of Cerebras' page answers to a request with cookies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CerebrasSession {
    /// Status 403, and the page of a browser challenge.
    Challenge,
    /// `{}`: nobody is signed in.
    Empty,
    /// A key that the chat refuses with 401.
    ExpiredKey,
    /// Status 403.
    Forbidden,
    /// Status 200, and a page that asks people to sign in.
    Html,
    /// A user without a key.
    NoDemoKey,
    /// `null`: nobody is signed in.
    Null,
    /// A user with a key, a new one each time.
    #[default]
    SignedIn,
}

/// The answers that are still to come, and the keys that were given.
#[derive(Debug)]
pub(crate) struct Session {
    seed: u64,
    /// What follows the value of a cookie.
    attributes: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: VecDeque<CerebrasSession>,
    given: u64,
    /// Each with whether the chat accepts it.
    keys: VecDeque<(String, bool)>,
}

impl Session {
    pub(crate) fn new(seed: u64, tls: bool, next: Vec<CerebrasSession>) -> Self {
        let state = State {
            next: next.into(),
            ..State::default()
        };
        Self {
            seed,
            attributes: if tls {
                "Path=/; HttpOnly; Secure; SameSite=Lax"
            } else {
                "Path=/; HttpOnly; SameSite=Lax"
            },
            state: Mutex::new(state),
        }
    }

    /// Returns whether a request's key is accepted; `None` if it was not given here.
    pub(crate) fn judge(&self, headers: &HeaderMap) -> Option<bool> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let key = value.strip_prefix("Bearer ")?;
        let state = self.state();
        let given = state.keys.iter().find(|(given, _)| given == key);
        given.map(|(_, is_valid)| *is_valid)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives a new key.
    fn key(&mut self, seed: u64, is_valid: bool) -> String {
        self.given += 1;
        let seed = hash(&seed.to_le_bytes(), OFFSET);
        let mut rng = Rng::with_seed(hash(&self.given.to_le_bytes(), seed));
        let key = format!("demo-{:032x}", rng.u128(..));
        if self.keys.len() == MAX_KEYS {
            self.keys.pop_front();
        }
        self.keys.push_back((key.clone(), is_valid));
        key
    }
}

/// Answers what is asked of the page.
pub(crate) fn answer(shared: &Shared, head: &Parts, path: &str) -> Reply {
    if head.method != Method::GET || path != PATH {
        return not_found();
    }
    shared.counter.add(|counts| &mut counts.sessions);
    let session = &shared.session;
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
            let key = state.key(session.seed, false);
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
            let key = state.key(session.seed, true);
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
