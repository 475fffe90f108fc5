//! The playground's cookies.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use http::{HeaderMap, header::COOKIE};

use crate::dice::{OFFSET, hash};

/// The maximum number of valid cookies of each kind.
///
/// Each response sets one; a server that runs for days must not grow without limit.
const MAX_COOKIES: usize = 10_000;

/// The valid cookies.
#[derive(Debug)]
pub(crate) struct Sessions {
    seed: u64,
    /// The attributes of a cookie.
    attributes: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    given: u64,
    clearances: VecDeque<String>,
    tickets: VecDeque<String>,
}

/// The cookies of a request that are checked.
#[derive(Debug, Default)]
pub(super) struct Cookies {
    /// `cf_clearance`, set by the script of a challenge.
    clearance: String,
    /// `__cf_bm`, set by a response.
    ticket: String,
}

impl Sessions {
    pub(crate) fn new(seed: u64, tls: bool) -> Self {
        Self {
            seed,
            // Clients do not send `Secure` cookies over plain HTTP.
            attributes: if tls {
                "Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=None"
            } else {
                "Path=/; Max-Age=1800; HttpOnly"
            },
            state: Mutex::default(),
        }
    }

    /// Creates a `cf_clearance` and returns its value.
    pub(super) fn clearance(&self) -> String {
        let mut state = self.state();
        let value = state.value(self.seed);
        keep(&mut state.clearances, value.clone());
        value
    }

    /// Creates a `__cf_bm` and returns it as a `Set-Cookie` value.
    pub(super) fn ticket(&self) -> String {
        let mut state = self.state();
        let value = state.value(self.seed);
        let cookie = format!("__cf_bm={value}; {}", self.attributes);
        keep(&mut state.tickets, value);
        cookie
    }

    /// Makes these cookies invalid.
    pub(super) fn expire(&self, cookies: &Cookies) {
        let mut state = self.state();
        state.clearances.retain(|value| *value != cookies.clearance);
        state.tickets.retain(|value| *value != cookies.ticket);
    }

    /// Returns true if both cookies are valid.
    pub(super) fn is_valid(&self, cookies: &Cookies) -> bool {
        let state = self.state();
        state.clearances.contains(&cookies.clearance) && state.tickets.contains(&cookies.ticket)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn value(&mut self, seed: u64) -> String {
        self.given += 1;
        let seed = hash(&seed.to_le_bytes(), OFFSET);
        let mut rng = Rng::with_seed(hash(&self.given.to_le_bytes(), seed));
        format!("sim-{:032x}", rng.u128(..))
    }
}

impl Cookies {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut cookies = Self::default();
        let lines = headers.get_all(COOKIE).into_iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        for pair in lines.flat_map(|line| line.split(';')) {
            match pair.trim().split_once('=') {
                Some(("__cf_bm", value)) => value.clone_into(&mut cookies.ticket),
                Some(("cf_clearance", value)) => value.clone_into(&mut cookies.clearance),
                _ => {}
            }
        }
        cookies
    }
}

fn keep(values: &mut VecDeque<String>, value: String) {
    if values.len() == MAX_COOKIES {
        values.pop_front();
    }
    values.push_back(value);
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::COOKIE};

    use super::Cookies;

    #[track_caller]
    fn check(lines: &[&'static str], clearance: &str, ticket: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        let cookies = Cookies::read(&headers);
        assert_eq!((&*cookies.clearance, &*cookies.ticket), (clearance, ticket));
    }

    #[test]
    fn cookies_may_come_in_several_lines() {
        check(&["cf_clearance=a; __cf_bm=b"], "a", "b");
        check(&["a=b;__cf_bm=b", "cf_clearance=a=="], "a==", "b");
        check(&["cf_clearance", "x__cf_bm=b"], "", "");
        check(&[], "", "");
    }
}
