//! Cookies in, the key of the session that they belong to out.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri,
    header::{CONTENT_TYPE, COOKIE},
};
use inferstream_client::{
    Call, Credentials, Judge, Redact, Refusal, base_url, is_challenge, is_page,
};
use inferstream_core::{
    ApiKey, BoxFuture, Error, ErrorKind, Result, RetryPolicy, Timeouts, Transport,
};
use inferstream_session::{Cookies, Jar, SingleFlight, read_time};
use serde_json::Value;

use crate::dialect::KEYS;

/// Where people sign in.
const SITE: &str = "https://inference.cerebras.ai";

/// Where the session is, below the site.
const PATH: &str = "/api/auth/session";

/// The most that the session's document may hold: a true one has less than 10 KiB.
const MAX_BODY: usize = 1 << 20;

/// The longest key: one that a browser could keep in a cookie. True ones have about 50 bytes.
const MAX_KEY: usize = 4096;

/// The parent domain that cookies may be for, beside the session's own host.
const DOMAIN: &str = "cerebras.ai";

/// How long a refusal answers those who ask again: the same cookies would be refused again.
const BACK_OFF: Duration = Duration::from_secs(30);

/// How long another's asking is waited for: several times what a healthy one takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session of the page's, and the key that it gave last.
pub(crate) struct Session {
    url: Uri,
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    retry: RetryPolicy,
    refresh: SingleFlight,
    state: Mutex<State>,
}

struct State {
    jar: Jar,
    lease: Option<Lease>,
}

/// A key, as one request has it.
#[derive(Clone)]
struct Lease {
    key: ApiKey,
    /// When the session ends, in seconds since 1970, if it says so.
    expires: Option<u64>,
}

impl Session {
    /// Creates the session of cookies at a site: `https://inference.cerebras.ai` by default.
    pub(crate) fn new(
        cookies: &Cookies,
        site: Option<&str>,
        transport: Arc<dyn Transport>,
        timeouts: Timeouts,
        retry: RetryPolicy,
    ) -> Result<Self> {
        let site = base_url(site.unwrap_or(SITE)).map_err(|error| error.context("the session"))?;
        let url = format!("{site}{PATH}").parse::<Uri>();
        let url = url.map_err(|_| {
            Error::config("the session's URL is not one").with_setting("session_url")
        })?;
        let jar = cookies.jar([DOMAIN], &url)?;
        let back_off = |error: &Error| {
            if error.is_retryable() {
                Duration::ZERO
            } else {
                BACK_OFF
            }
        };
        Ok(Self {
            url,
            transport,
            timeouts,
            retry,
            refresh: SingleFlight::new(back_off),
            state: Mutex::new(State { jar, lease: None }),
        })
    }

    /// Returns the key, which one of those who need it asks for.
    async fn lease(&self) -> Result<Lease> {
        let now = || self.transport.now();
        let kept = || self.kept(self.transport.system_time());
        let patience = || self.transport.sleep(PATIENCE);
        let fetch = || self.fetch();
        let refresh = &self.refresh;
        refresh.run_impatiently(kept, now, patience, fetch).await
    }

    fn kept(&self, now: SystemTime) -> Option<Lease> {
        let lease = self.state().lease.clone();
        lease.filter(|lease| !is_over(lease.expires, now))
    }

    async fn fetch(&self) -> Result<Lease> {
        let call = Call::new(Arc::clone(&self.transport), self.timeouts, self.retry);
        let mut request = call.request_to(Method::GET, self.url.clone(), Bytes::new());
        let cookie = self.cookie(self.transport.system_time())?;
        request.headers_mut().insert(COOKIE, cookie);
        let mut started = call.send(request, self).await?;
        let body = started.document(MAX_BODY).await;
        let body = body.map_err(|error| self.explain(error))?;
        let now = self.transport.system_time();
        let (key, expires) = read(&started.meta.headers, &body, now)?;
        let lease = Lease { key, expires };
        self.state().lease = Some(lease.clone());
        Ok(lease)
    }

    /// Returns the header of the cookies: they go to the session's own host, and nothing else does.
    fn cookie(&self, now: SystemTime) -> Result<HeaderValue> {
        let (host, https) = self.place();
        let cookie = self.state().jar.header(host, self.url.path(), https, now);
        cookie.ok_or_else(|| sign_in(ErrorKind::Auth, "the cookies have expired"))
    }

    /// Removes the cookies from an error of the network, and says what was asked.
    fn explain(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Redirect {
            return redirect();
        }
        let (host, _) = self.place();
        let error = self.redact().transport_error(error, host);
        let error = error.context("cerebras's session");
        match error.status() {
            None => error,
            Some(status) => error.with_head(status, HeaderMap::new()),
        }
    }

    /// Returns the values of the cookies as secrets.
    fn redact(&self) -> Redact {
        let (host, https) = self.place();
        // All of them are alive in 1970, so that none is missing that was sent a while ago.
        let path = self.url.path();
        let line = self.state().jar.header(host, path, https, UNIX_EPOCH);
        let line = line.as_ref().and_then(|line| line.to_str().ok());
        let pairs = line.unwrap_or_default().split("; ");
        let values = pairs.filter_map(|pair| pair.split_once('='));
        values.fold(Redact::default(), |redact, (_, value)| {
            redact.credential(value)
        })
    }

    /// Returns the session's host, and whether the way there is TLS.
    fn place(&self) -> (&str, bool) {
        let host = self.url.host().unwrap_or_default();
        (host, self.url.scheme_str() == Some("https"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials for Session {
    fn key(&self) -> BoxFuture<'_, Result<Option<ApiKey>>> {
        Box::pin(async move { Ok(Some(self.lease().await?.key)) })
    }

    fn renews(&self, refused: &ApiKey) -> bool {
        let mut state = self.state();
        // A late refusal of an old key does not forget a new one.
        let is_it = |lease: &Lease| lease.key.expose() == refused.expose();
        if state.lease.as_ref().is_some_and(is_it) {
            state.lease = None;
        }
        true
    }
}

impl Judge for Session {
    fn observe(&self, headers: &HeaderMap) {
        let (host, https) = self.place();
        let now = self.transport.system_time();
        let path = self.url.path();
        self.state().jar.absorb(host, path, https, headers, now);
    }

    fn lost(&self, error: Error) -> Error {
        self.explain(error)
    }

    fn secrets<'a>(&self, _: &'a Redact) -> Cow<'a, Redact> {
        Cow::Owned(self.redact())
    }

    // Neither headers nor body: they may hold cookies, or the key.
    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        let Refusal {
            status,
            headers,
            body,
            now,
            ..
        } = refusal;
        let told = Error::of_head(status, headers, now);
        let code = status.as_u16();
        let error = match status {
            _ if is_challenge(headers, &text(body)) => challenge(),
            _ if status.is_redirection() => redirect(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                sign_in(told.kind(), format!("the cookies are refused ({code})"))
            }
            _ => make_key(told.kind(), format!("the session answers {code}")),
        };
        error
            .with_status(status)
            .with_retry_after(told.retry_after())
            .with_repeat(told.repeat())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Reads the key, and when the session ends.
fn read(headers: &HeaderMap, body: &Bytes, now: SystemTime) -> Result<(ApiKey, Option<u64>)> {
    if is_challenge(headers, &text(body)) {
        return Err(challenge());
    }
    if is_html(headers) || is_page(&text(body)) {
        let what = "the session is a page of HTML";
        return Err(make_key(ErrorKind::Protocol, what));
    }
    let broken = |what| make_key(ErrorKind::Protocol, format!("the session {what}"));
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let session = serde_json::from_slice::<Value>(body).map_err(|_| broken("is no JSON"))?;
    let (Value::Null | Value::Object(_)) = session else {
        return Err(broken("is no JSON object"));
    };
    let expires = session["expires"].as_str().and_then(read_time);
    let key = match &session["user"] {
        Value::Null => {
            return Err(sign_in(
                ErrorKind::Auth,
                "the cookies are of nobody who is signed in",
            ));
        }
        Value::Object(user) => user.get("demoApiKey").unwrap_or(&Value::Null),
        _ => return Err(broken("has a user that is no object")),
    };
    if is_over(expires, now) {
        return Err(sign_in(ErrorKind::Auth, "the session has expired"));
    }
    match key {
        Value::Null => {}
        Value::String(key) if key.trim().is_empty() => {}
        Value::String(key) if MAX_KEY < key.len() => return Err(broken("has a key that is none")),
        Value::String(key) => {
            let key = ApiKey::new(key.as_str());
            return Ok((key.map_err(|_| broken("has a key that is none"))?, expires));
        }
        _ => return Err(broken("has a key that is no text")),
    }
    Err(make_key(ErrorKind::Auth, "the account has no demo key"))
}

fn is_over(expires: Option<u64>, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    expires.is_some_and(|end| end <= now.as_secs())
}

/// Returns true if the content type is that of a page.
fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    kind.starts_with(b"text/html")
}

fn text(body: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// Says what is wrong with the cookies, and what to do.
fn sign_in(kind: ErrorKind, what: impl fmt::Display) -> Error {
    let message = format!("{what}: sign in at {SITE} and export the cookies again");
    Error::new(kind, message).context("cerebras")
}

/// Says why cookies are of no use, and what to do.
fn make_key(kind: ErrorKind, what: impl fmt::Display) -> Error {
    let message = format!("{what}: make a key at {KEYS}");
    Error::new(kind, message).context("cerebras")
}

fn challenge() -> Error {
    make_key(
        ErrorKind::Challenge,
        "the session is behind a page that wants to see a browser",
    )
}

fn redirect() -> Error {
    sign_in(
        ErrorKind::Redirect,
        "the session is a redirect, which is not followed",
    )
}
