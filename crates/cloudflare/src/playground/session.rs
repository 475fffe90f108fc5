//! A session's file and an answer's cookies in, the headers of the next request out.

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
use inferstream_core::{Error, ErrorKind, Result};
use inferstream_session::{CacheFile, Jar, SingleFlight, Warning};

use super::data::IDENTITY;

pub use super::data::{DEFAULT_HEADERS, SessionData};

/// How long a failed refresh answers those who ask again.
const BACK_OFF: Duration = Duration::from_secs(30);

/// Headers that a session's file may name, but that are the connection's or the request's.
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

/// One session: what is in memory, else what its file holds, else the default headers.
///
/// A call takes a [`Lease`], gives it back with the answer's cookies, and, after a whole stream,
/// [saves](Self::save). What a call does with the lease of a session that was forgotten or replaced
/// since is ignored: a late failure cannot undo a newer session, a late success not revive an old one.
///
/// [`load`](Self::load), [`save`](Self::save) and [`forget`](Self::forget) use the file, and block
/// where there is one: an asynchronous caller gives them a thread that may. The rest does not.
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
    /// Counts the sessions, so that a lease knows its own.
    generation: u64,
    kept: Option<Kept>,
    /// True if the file holds what was forgotten, because it could not be deleted.
    avoids_file: bool,
}

struct Kept {
    /// As last read or written; its cookies are what the jar's changes are held against.
    data: SessionData,
    jar: Jar,
    source: Source,
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    File,
    /// Nothing but default headers, and what answers have added.
    Plain,
    Refresh,
}

/// What one call needs of a session. `Debug` shows no header.
#[derive(Clone)]
pub struct Lease {
    generation: u64,
    headers: HeaderMap,
}

impl Lease {
    /// Returns the session's headers, with its cookies.
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
    /// Creates a session with the host of this URL, in memory. `jar` is an empty one.
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

    /// Keeps it in a file too.
    #[must_use]
    pub fn file(mut self, file: CacheFile) -> Self {
        self.file = Some(file);
        self
    }

    /// Lets any error forget it, as in the original, not only those of [`forgets`](Self::forgets).
    #[must_use]
    pub fn forget_on_any_error(mut self) -> Self {
        self.forgets_always = true;
        self
    }

    /// Returns true if it is kept in a file, so that what is done with it may block.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Returns true if the session is to be forgotten after this error: 401, 403 and a challenge.
    pub fn forgets(&self, error: &Error) -> bool {
        let kinds = [ErrorKind::Auth, ErrorKind::Challenge, ErrorKind::Permission];
        self.forgets_always || kinds.contains(&error.kind())
    }

    /// Reads the file, if nothing is in memory. Blocks.
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

    /// Takes what a request to this path sends; where nothing is in memory, the default headers.
    pub fn lease(&self, path: &str, now: SystemTime) -> Lease {
        let mut state = self.state();
        if state.kept.is_none() {
            self.install(&mut state, SessionData::plain(), Source::Plain);
        }
        self.lease_of(&state, path, now)
    }

    /// Takes what a request to this path sends; where nothing is in memory, `refresh` gets it.
    ///
    /// Of many callers one refreshes, and the others wait for it. If it fails, all get its error,
    /// and so do those who ask within 30 s by `now`. If its future is dropped, another takes over
    /// with its own. Nothing here limits how long a refresh takes: it does so by itself.
    ///
    /// # Errors
    ///
    /// Those of `refresh`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the others waiting for the next refresh.
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
        self.refresh.run(current, now, refresh).await
    }

    /// Takes the cookies of an answer to a request of this path.
    pub fn absorb(&self, lease: &Lease, path: &str, headers: &HeaderMap, now: SystemTime) {
        if let Some(kept) = self.state().of(lease) {
            kept.jar.absorb(&self.host, path, self.https, headers, now);
        }
    }

    /// Writes the session to its file, after a whole stream. Blocks.
    ///
    /// What another process has changed there since stays, but for the cookies that changed here;
    /// where it has put another session there, that one is taken over.
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
                // What another answer has changed meanwhile is newer still.
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

    /// Forgets the session, in memory and in the file, unless it is another by now. Blocks.
    ///
    /// A session that another process has put into the file since stays there.
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

    /// Returns the cookies' values, which an error must not show.
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
            // A file may hold cookies alone.
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
    /// Returns the session, if it is still the lease's.
    fn of(&mut self, lease: &Lease) -> Option<&mut Kept> {
        let kept = self.kept.as_mut();
        kept.filter(|_| lease.generation == self.generation)
    }
}

impl Kept {
    /// Brings together what was read, what became of it here and what stands in the file by now.
    fn merge(&self, ours: &BTreeMap<String, String>, theirs: Option<SessionData>) -> SessionData {
        let base = &self.data;
        let mut merged = match theirs {
            Some(theirs) if self.source == Source::Refresh => {
                return base.clone().with_cookies(ours.clone()).with_other(theirs);
            }
            // The headers are a browser's: with others, it is another session.
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
