//! The keys that the session of Cerebras' page gives, and its answers that are still to come.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use http::{HeaderMap, header::AUTHORIZATION};

use crate::{
    dice::{OFFSET, hash},
    shared::Shared,
};

/// The most keys that are remembered: each answer gives one.
const MAX_KEYS: usize = 10_000;

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
    pub(super) shared: Arc<Shared>,
    /// What follows the value of a cookie.
    pub(super) attributes: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) next: VecDeque<CerebrasSession>,
    pub(super) given: u64,
    /// Each with whether the chat accepts it.
    keys: VecDeque<(String, bool)>,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, tls: bool, next: Vec<CerebrasSession>) -> Self {
        let state = State {
            next: next.into(),
            ..State::default()
        };
        Self {
            shared,
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives a new key.
    pub(super) fn key(&mut self, seed: u64, is_valid: bool) -> String {
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
