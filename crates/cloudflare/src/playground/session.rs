//! The session of the playground: its headers and cookies, in memory and in a file.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{ACCEPT_ENCODING, COOKIE},
};
use inferstream_core::{BoxFuture, Error, ErrorKind, Result};
use inferstream_session::{CacheFile, Jar, SingleFlight, Warning};

use super::data::IDENTITY;

pub use super::data::{DEFAULT_HEADERS, SessionData};

/// How long a failed refresh is reported to further callers before it is tried again.
const BACK_OFF: Duration = Duration::from_secs(30);

/// Headers that belong to the connection or the request, and are ignored in a session file.
const FOREIGN_HEADERS: [&str; 15] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A session of the playground: the one in memory, else that of its file, else the default headers.
///
/// A call takes a [`Lease`], passes it back with the cookies of the response, and
/// [saves](Self::save) the session after a complete stream. If the session was discarded or
/// replaced in the meantime, the lease has no effect, so a late failure does not discard a newer
/// session, and a late success does not restore an old one.
///
/// [`load`](Self::load), [`save`](Self::save) and [`forget`](Self::forget) access the file, and
/// block if there is one. From asynchronous code, call them on a thread that may block. All other
/// methods do not block.
pub struct Session {
    host: String,
    https: bool,
    jar: Jar,
    file: Option<CacheFile>,
    forgets_always: bool,
    state: Mutex<State>,
    refresh: SingleFlight,
}

#[derive(Default)]
struct State {
    /// The number of the current session, by which leases are matched to sessions.
    generation: u64,
    kept: Option<Kept>,
    /// Whether the file still contains a discarded session, because it could not be deleted.
    avoids_file: bool,
}

struct Kept {
    /// The session as it was last read or written; the changes to the cookies are computed against
    /// it.
    data: SessionData,
    jar: Jar,
    source: Source,
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    File,
    /// Only the default headers, and cookies that responses have set.
    Plain,
    Refresh,
}

/// The part of a session that one call needs. `Debug` shows no headers.
#[derive(Clone)]
pub struct Lease {
    generation: u64,
    headers: HeaderMap,
}

impl Lease {
    /// Returns the session's headers, including its cookies.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Creates a session in memory for the host of this URL. `jar` is empty, and configured.
    pub fn new(url: &Uri, jar: Jar) -> Self {
        Self {
            host: url.host().unwrap_or_default().to_owned(),
            https: url.scheme_str() == Some("https"),
            jar,
            file: None,
            forgets_always: false,
            state: Mutex::default(),
            refresh: SingleFlight::new(|_| BACK_OFF),
        }
    }

    /// Keeps the session in a file, too.
    #[must_use]
    pub fn file(mut self, file: CacheFile) -> Self {
        self.file = Some(file);
        self
    }

    /// Discards the session after any error, as gpt4free does, not only after those of
    /// [`forgets`](Self::forgets).
    #[must_use]
    pub fn forget_on_any_error(mut self) -> Self {
        self.forgets_always = true;
        self
    }

    /// Returns true if the session is kept in a file, so that operations on it may block.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns true if the session must be discarded after this error: by default, after 401, 403
    /// and browser challenges.
    pub fn forgets(&self, error: &Error) -> bool {
        let kinds = [ErrorKind::Auth, ErrorKind::Challenge, ErrorKind::Permission];
        self.forgets_always || kinds.contains(&error.kind())
    }

    /// Reads the file if there is no session in memory. Blocks.
    pub fn load(&self, warnings: &mut Vec<Warning>) {
        let (generation, is_wanted) = {
            let state = self.state();
            let is_wanted = state.kept.is_none() && !state.avoids_file;
            (state.generation, is_wanted)
        };
        let Some(file) = self.file.as_ref().filter(|_| is_wanted) else {
            return;
        };
        let read = file.read(
            |bytes| {
                let mut warnings = Vec::new();
                SessionData::from_json(bytes, &mut warnings).map(|data| (data, warnings))
            },
            warnings,
        );
        if let Some((data, ignored)) = read {
            warnings.extend(ignored);
            let mut state = self.state();
            if state.generation == generation {
                self.install(&mut state, data, Source::File);
            }
        }
    }

    /// Returns the headers for a request to this path: those of the session in memory, or the
    /// default ones.
    pub fn lease(&self, path: &str, now: SystemTime) -> Lease {
        let mut state = self.state();
        if state.kept.is_none() {
            self.install(&mut state, SessionData::plain(), Source::Plain);
        }
        self.lease_of(&state, path, now)
    }

    /// Returns the headers for a request to this path, and calls `refresh` if there is no session
    /// in memory.
    ///
    /// Concurrent callers share one call of `refresh`. If it fails, all of them get its error, and
    /// so do callers in the next 30 s, as measured by `now`. If the future that runs it is dropped,
    /// another caller starts its own. The duration is not limited here; `refresh` must have its own
    /// timeout.
    ///
    /// # Errors
    ///
    /// Returns the errors of `refresh`.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped while it refreshes, one of the waiting callers refreshes instead.
    pub async fn get_or_refresh<F>(
        &self,
        path: &str,
        calendar: SystemTime,
        now: impl Fn() -> Duration,
        refresh: impl FnOnce() -> F,
    ) -> Result<Lease>
    where
        F: Future<Output = Result<SessionData>>,
    {
        let for_ever = || -> BoxFuture<'static, ()> { Box::pin(std::future::pending()) };
        self.get_or_refresh_impatiently(path, calendar, now, for_ever, refresh)
            .await
    }

    /// As [`get_or_refresh`](Self::get_or_refresh), but a caller that has waited for `patience`
    /// starts a refresh of its own, so that a future that is not polled any more cannot block the
    /// others.
    pub(super) async fn get_or_refresh_impatiently<F>(
        &self,
        path: &str,
        calendar: SystemTime,
        now: impl Fn() -> Duration,
        patience: impl Fn() -> BoxFuture<'static, ()>,
        refresh: impl FnOnce() -> F,
    ) -> Result<Lease>
    where
        F: Future<Output = Result<SessionData>>,
    {
        let current = || {
            let state = self.state();
            let is_there = state
                .kept
                .as_ref()
                .is_some_and(|kept| kept.source != Source::Plain);
            is_there.then(|| self.lease_of(&state, path, calendar))
        };
        let refresh = async || {
            let data = refresh().await?;
            let mut state = self.state();
            self.install(&mut state, data, Source::Refresh);
            Ok(self.lease_of(&state, path, calendar))
        };
        let single = &self.refresh;
        single
            .run_impatiently(current, now, patience, refresh)
            .await
    }

    /// Stores the cookies of the response to a request of this path.
    pub fn absorb(&self, lease: &Lease, path: &str, headers: &HeaderMap, now: SystemTime) {
        if let Some(kept) = self.state().of(lease) {
            kept.jar.absorb(&self.host, path, self.https, headers, now);
        }
    }

    /// Writes the session to its file after a complete response. Blocks.
    ///
    /// Changes that another process made to the file are preserved, except for cookies that changed
    /// here. If the file now contains a different session, that one replaces this one.
    pub fn save(&self, lease: &Lease, now: SystemTime, warnings: &mut Vec<Warning>) {
        let Some(file) = &self.file else {
            if let Some(kept) = self.state().of(lease) {
                kept.source = Source::File;
            }
            return;
        };
        let mut written = None;
        let change = |theirs| {
            let mut state = self.state();
            let kept = state.of(lease)?;
            let ours = kept.jar.pairs(&self.host, now);
            let merged = kept.merge(&ours, theirs);
            let bytes = merged.to_json();
            written = Some((ours, merged));
            Some(bytes)
        };
        let is_kept = file.update(parse, change, warnings);
        let mut state = self.state();
        let Some(kept) = state.of(lease) else {
            return;
        };
        kept.source = Source::File;
        if let (true, Some((ours, merged))) = (is_kept, written) {
            let latest = kept.jar.pairs(&self.host, now);
            for name in ours.keys().chain(merged.cookies.keys()) {
                let (old, new) = (ours.get(name), merged.cookies.get(name));
                // Cookies that another response changed in the meantime are newer, and kept.
                if old != new && latest.get(name) == old {
                    kept.jar.discard(&self.host, name);
                    let new = new.map(|new| (&**name, &**new));
                    kept.jar.restore(&self.host, new);
                }
            }
            kept.data = merged;
            state.avoids_file = false;
        }
    }

    /// Discards the session, in memory and in the file, unless it was replaced in the meantime.
    /// Blocks.
    ///
    /// A session that another process wrote to the file in the meantime is kept there.
    pub fn forget(&self, lease: &Lease, now: SystemTime, warnings: &mut Vec<Warning>) {
        let known = {
            let mut state = self.state();
            let Some(kept) = state.of(lease) else {
                return;
            };
            let known = [kept.data.cookies.clone(), kept.jar.pairs(&self.host, now)];
            state.kept = None;
            state.generation += 1;
            known
        };
        if let Some(file) = &self.file {
            let is_meant = |data: &SessionData| known.contains(&data.cookies);
            let is_gone = file.remove(parse, is_meant, warnings);
            self.state().avoids_file = !is_gone;
        }
    }

    /// Returns the values of the cookies, which errors must not show.
    pub fn secrets(&self, now: SystemTime) -> Vec<String> {
        let state = self.state();
        let kept = state.kept.iter();
        kept.flat_map(|kept| kept.jar.pairs(&self.host, now).into_values())
            .collect()
    }

    fn install(&self, state: &mut State, data: SessionData, source: Source) {
        let mut jar = self.jar.clone();
        let cookies = data.cookies.iter();
        jar.restore(&self.host, cookies.map(|(name, value)| (&**name, &**value)));
        state.generation += 1;
        state.kept = Some(Kept { data, jar, source });
    }

    fn lease_of(&self, state: &State, path: &str, now: SystemTime) -> Lease {
        let mut headers = HeaderMap::new();
        if let Some(kept) = &state.kept {
            // A session file may contain cookies without headers.
            let given = &kept.data.headers;
            let defaults = DEFAULT_HEADERS.iter().filter(|_| given.is_empty());
            let given = given.iter().map(|(name, value)| (&**name, &**value));
            for (name, value) in given.chain(defaults.copied()) {
                let name = HeaderName::try_from(name);
                let (Ok(name), Ok(mut value)) = (name, HeaderValue::try_from(value)) else {
                    continue;
                };
                if !FOREIGN_HEADERS.contains(&name.as_str()) && !value.is_empty() {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
            }
            if let Some(cookies) = kept.jar.header(&self.host, path, self.https, now) {
                headers.insert(COOKIE, cookies);
            }
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(IDENTITY));
        Lease {
            generation: state.generation,
            headers,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("host", &self.host)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl State {
    /// Returns the session if the lease still belongs to it.
    fn of(&mut self, lease: &Lease) -> Option<&mut Kept> {
        let kept = self.kept.as_mut();
        kept.filter(|_| lease.generation == self.generation)
    }
}

impl Kept {
    /// Merges the session as it was read, its changes in memory, and the current contents of the
    /// file.
    fn merge(&self, ours: &BTreeMap<String, String>, theirs: Option<SessionData>) -> SessionData {
        let base = &self.data;
        let mut merged = match theirs {
            Some(theirs) if self.source == Source::Refresh => {
                return base.clone().with_cookies(ours.clone()).with_other(theirs);
            }
            // The headers identify the browser, so other headers mean a different session.
            Some(theirs) if theirs.headers != base.headers => return theirs,
            Some(theirs) => theirs,
            None => return base.clone().with_cookies(ours.clone()),
        };
        for name in base.cookies.keys().chain(ours.keys()) {
            let new = ours.get(name);
            if base.cookies.get(name) != new {
                merged.cookies.remove(name);
                let new = new.map(|value| (name.clone(), value.clone()));
                merged.cookies.extend(new);
            }
        }
        merged
    }
}

fn parse(bytes: &[u8]) -> Option<SessionData> {
    SessionData::from_json(bytes, &mut Vec::new())
}
