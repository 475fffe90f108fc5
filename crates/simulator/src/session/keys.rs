//! The keys of the Cerebras session endpoint, and its queue of responses.

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

/// The maximum number of keys kept; each response creates one.
const MAX_KEYS: usize = 10_000;

/// The response of the Cerebras session endpoint to a request with cookies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CerebrasSession {
    /// Status 403 with the page of a browser challenge.
    Challenge,
    /// `{}`: not signed in.
    Empty,
    /// A user with a key that the chat refuses with 401.
    ExpiredKey,
    /// Status 403.
    Forbidden,
    /// Status 200 with a sign-in page.
    Html,
    /// A user without a key.
    NoDemoKey,
    /// `null`: not signed in.
    Null,
    /// A user with a key, a new one for each request.
    #[default]
    SignedIn,
}

/// The queue of responses, and the keys issued.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) shared: Arc<Shared>,
    /// The attributes of a cookie.
    pub(super) attributes: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) next: VecDeque<CerebrasSession>,
    pub(super) given: u64,
    /// Each key and whether the chat accepts it.
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

    /// Returns whether a request's key is accepted; `None` if it was not issued here.
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
    /// Issues a new key.
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
