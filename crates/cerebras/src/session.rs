//! Credentials that exchange the cookies of a signed-in browser for a key.

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
    Call, Credentials, Judge, Redact, Refusal, RetryBudgets, base_url, error_of_head, is_challenge,
    is_page,
};
use inferstream_core::{
    ApiKey, BoxFuture, Error, ErrorKind, Result, RetryPolicy, Timeouts, Transport,
};
use inferstream_session::{Cookies, Jar, SingleFlight, read_time};
use serde_json::Value;

use crate::dialect::KEYS;

/// The page on which users sign in.
const SITE: &str = "https://inference.cerebras.ai";

/// The path of the session endpoint.
const PATH: &str = "/api/auth/session";

/// The largest session document, in bytes; a real one has less than 10 KiB.
const MAX_BODY: usize = 1 << 20;

/// The longest key, in bytes: a browser's limit for a cookie. Real keys have about 50 bytes.
const MAX_KEY: usize = 4096;

/// The parent domain that cookies may name, in addition to the host of the session.
const DOMAIN: &str = "cerebras.ai";

/// How long calls fail after the cookies were refused, because the same cookies would be refused again.
const BACK_OFF: Duration = Duration::from_secs(30);

/// How long to wait for another caller's request for the key: several times what it usually takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session of the page, with the key that it returned last.
pub(crate) struct Session {
    url: Uri,
    transport: Arc<dyn Transport>,
    timeouts: Timeouts,
    retry: RetryPolicy,
    budgets: RetryBudgets,
    refresh: SingleFlight,
    state: Mutex<State>,
}

struct State {
    jar: Jar,
    lease: Option<Lease>,
}

/// A key with its expiry.
#[derive(Clone)]
struct Lease {
    key: ApiKey,
    /// The end of the session, in seconds since 1970, if known.
    expires: Option<u64>,
}

impl Session {
    /// Creates a session of cookies at a site, by default `https://inference.cerebras.ai`.
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
            Error::config("invalid URL of the session: expected an http or https URL")
                .with_setting("session_url")
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
            budgets: RetryBudgets::default(),
            refresh: SingleFlight::new(back_off),
            state: Mutex::new(State { jar, lease: None }),
        })
    }

    /// Returns the key. Concurrent callers share one request for it.
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
        let (transport, budgets) = (Arc::clone(&self.transport), self.budgets.clone());
        let call = Call::new(transport, self.timeouts, self.retry, budgets);
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

    /// Returns the `Cookie` header, which is sent only to the host of the session.
    fn cookie(&self, now: SystemTime) -> Result<HeaderValue> {
        let (host, https) = self.place();
        let cookie = self.state().jar.header(host, self.url.path(), https, now);
        cookie.ok_or_else(|| sign_in(ErrorKind::Auth, "the cookies have expired"))
    }

    /// Removes the cookies from an error of the transport, and adds that the session was requested.
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
        // In 1970 no cookie has expired, so the list has all cookies that may have been sent.
        let path = self.url.path();
        let line = self.state().jar.header(host, path, https, UNIX_EPOCH);
        let line = line.as_ref().and_then(|line| line.to_str().ok());
        let pairs = line.unwrap_or_default().split("; ");
        let values = pairs.filter_map(|pair| pair.split_once('='));
        values.fold(Redact::default(), |redact, (_, value)| {
            redact.credential(value)
        })
    }

    /// Returns the host of the session, and whether it is reached over TLS.
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
        // A late refusal of an old key must not discard a newer one.
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

    // The error has neither headers nor body, because they may contain cookies or the key.
    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        let Refusal {
            status,
            headers,
            body,
            now,
            ..
        } = refusal;
        let told = error_of_head(status, headers, now);
        let code = status.as_u16();
        let error = match status {
            _ if is_challenge(headers, &text(body)) => challenge(),
            _ if status.is_redirection() => redirect(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                sign_in(told.kind(), format!("the cookies were refused ({code})"))
            }
            _ => make_key(told.kind(), format!("the session endpoint returned {code}")),
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

/// Reads the key and the end of the session.
fn read(headers: &HeaderMap, body: &Bytes, now: SystemTime) -> Result<(ApiKey, Option<u64>)> {
    if is_challenge(headers, &text(body)) {
        return Err(challenge());
    }
    if is_html(headers) || is_page(&text(body)) {
        let what = "the session endpoint returned an HTML page";
        return Err(make_key(ErrorKind::Protocol, what));
    }
    let broken = |what| {
        make_key(
            ErrorKind::Protocol,
            format!("invalid session: expected {what}"),
        )
    };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let session = serde_json::from_slice::<Value>(body).map_err(|_| broken("JSON"))?;
    let (Value::Null | Value::Object(_)) = session else {
        return Err(broken("a JSON object"));
    };
    let expires = session["expires"].as_str().and_then(read_time);
    let key = match &session["user"] {
        Value::Null => {
            return Err(sign_in(
                ErrorKind::Auth,
                "the session of the cookies is not signed in",
            ));
        }
        Value::Object(user) => user.get("demoApiKey").unwrap_or(&Value::Null),
        _ => return Err(broken("an object as its user")),
    };
    if is_over(expires, now) {
        return Err(sign_in(ErrorKind::Auth, "the session has expired"));
    }
    match key {
        Value::Null => {}
        Value::String(key) if key.trim().is_empty() => {}
        Value::String(key) if MAX_KEY < key.len() => {
            return Err(broken("a key that is valid in a header"));
        }
        Value::String(key) => {
            let key = ApiKey::new(key.as_str());
            return Ok((
                key.map_err(|_| broken("a key that is valid in a header"))?,
                expires,
            ));
        }
        _ => return Err(broken("a string as its key")),
    }
    Err(make_key(ErrorKind::Auth, "the account has no demo key"))
}

fn is_over(expires: Option<u64>, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    expires.is_some_and(|end| end <= now.as_secs())
}

/// Returns true if the content type is HTML.
fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.unwrap_or_default().to_ascii_lowercase();
    kind.starts_with(b"text/html")
}

fn text(body: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(body)
}

/// Creates an error that new cookies can fix.
fn sign_in(kind: ErrorKind, what: impl fmt::Display) -> Error {
    let message = format!("{what}: sign in at {SITE} and export the cookies again");
    Error::new(kind, message).context("cerebras")
}

/// Creates an error that only an API key can fix.
fn make_key(kind: ErrorKind, what: impl fmt::Display) -> Error {
    let message = format!("{what}: create a key at {KEYS}");
    Error::new(kind, message).context("cerebras")
}

fn challenge() -> Error {
    make_key(
        ErrorKind::Challenge,
        "the session endpoint returned a browser challenge",
    )
}

fn redirect() -> Error {
    sign_in(
        ErrorKind::Redirect,
        "the session endpoint returned a redirect, which is not followed",
    )
}
