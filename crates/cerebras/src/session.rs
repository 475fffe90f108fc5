//! Cookies in, the key of the session that they belong to out.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE, COOKIE},
};
use inferstream_client::{Redact, base_url, is_challenge, is_page};
use inferstream_core::{
    ApiKey, Body, BoxFuture, ChatRequest, Error, ErrorKind, ReplayStale, Result, RetryPolicy,
    Started, Timeouts, Transport, provider::Total,
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
    /// Counts the keys, so that a late refusal of an old one does not forget a new one.
    generation: u64,
    lease: Option<Lease>,
}

/// A key, as one request has it.
#[derive(Clone)]
struct Lease {
    key: ApiKey,
    generation: u64,
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
        let url = url.map_err(|_| Error::config("the session's URL is not one"))?;
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
            state: Mutex::new(State {
                jar,
                generation: 0,
                lease: None,
            }),
        })
    }

    /// Asks with the session's key; where that is refused, once more with a new one.
    ///
    /// The request's whole time is one for all of it.
    pub(crate) async fn ask<T>(
        &self,
        request: ChatRequest,
        ask: impl Fn(ApiKey, ChatRequest) -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let timeouts = request.timeouts.unwrap_or(self.timeouts);
        let request = request.timeouts(timeouts);
        let total = Total::begin(Some(&self.transport), &request);
        let ask = |key| {
            let mut request = request.clone();
            total.apply(&mut request);
            total.limit(ask(key, request))
        };
        let lease = total.limit(Box::pin(self.lease())).await?;
        let refusal = match ask(lease.key.clone()).await {
            Err(error) if is_refusal(&error) => error,
            outcome => return outcome,
        };
        self.forget(&lease);
        let renewed = total.limit(Box::pin(self.lease())).await;
        let renewed = renewed.map_err(|error| error.with_source(refusal.clone()))?;
        if renewed.key == lease.key {
            return Err(refusal);
        }
        let outcome = ask(renewed.key.clone()).await;
        if outcome.as_ref().is_err_and(is_refusal) {
            self.forget(&renewed);
        }
        outcome
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

    fn forget(&self, lease: &Lease) {
        let mut state = self.state();
        if state.generation == lease.generation {
            state.lease = None;
        }
    }

    async fn fetch(&self) -> Result<Lease> {
        let transport = &self.transport;
        let at = transport.now();
        let request = self.request(transport.system_time())?;
        let attempt = |_| {
            let sent = transport.send(request.clone());
            async {
                let response = sent.await.map_err(|error| self.explain(error))?;
                self.check(response).await
            }
        };
        let total = self.timeouts.total;
        let response = self.retry.run(&**transport, total, attempt).await?;
        let mut started = Started::new(Arc::clone(transport), at, self.timeouts, response);
        let body = started.document(MAX_BODY).await;
        let body = body.map_err(|error| self.explain(error))?;
        let (key, expires) = read(&started.meta.headers, &body, transport.system_time())?;
        let mut state = self.state();
        state.generation += 1;
        let lease = Lease {
            key,
            generation: state.generation,
            expires,
        };
        state.lease = Some(lease.clone());
        Ok(lease)
    }

    /// Makes the request: to the session's own host, with nothing but the cookies.
    fn request(&self, now: SystemTime) -> Result<Request<Bytes>> {
        let (host, https) = self.place();
        let cookie = self.state().jar.header(host, self.url.path(), https, now);
        let Some(cookie) = cookie else {
            return Err(sign_in(ErrorKind::Auth, "the cookies have expired"));
        };
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(COOKIE, cookie);
        request.extensions_mut().insert(self.timeouts);
        if self.retry.replay_stale {
            request.extensions_mut().insert(ReplayStale);
        }
        Ok(request)
    }

    /// Takes an answer's cookies, and makes an error of one that is not a success.
    async fn check(&self, response: Response<Body>) -> Result<Response<Body>> {
        let (host, https) = self.place();
        let now = self.transport.system_time();
        let headers = response.headers();
        let path = self.url.path();
        self.state().jar.absorb(host, path, https, headers, now);
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = body.read_error(&*self.transport, &self.timeouts).await;
        let told = Error::of_head(status, &head.headers, now);
        let error = match status {
            _ if is_challenge(&head.headers, &text(&body)) => challenge(),
            _ if status.is_redirection() => redirect(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let code = status.as_u16();
                sign_in(told.kind(), format!("the cookies are refused ({code})"))
            }
            _ => {
                let code = status.as_u16();
                make_key(told.kind(), format!("the session answers {code}"))
            }
        };
        // Neither headers nor body: they may hold cookies, or the key.
        Err(error
            .with_status(status)
            .with_retry_after(told.retry_after())
            .with_repeat(told.repeat()))
    }

    /// Takes the cookies out of a transport's error, and says what was asked.
    fn explain(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Redirect {
            return redirect();
        }
        let (host, https) = self.place();
        // All of them are alive in 1970, so that none is missing that was sent a while ago.
        let path = self.url.path();
        let line = self.state().jar.header(host, path, https, UNIX_EPOCH);
        let line = line.as_ref().and_then(|line| line.to_str().ok());
        let pairs = line.unwrap_or_default().split("; ");
        let values = pairs.filter_map(|pair| pair.split_once('='));
        let redact = values.fold(Redact::default(), |redact, (_, value)| {
            redact.credential(value)
        });
        let error = redact.transport_error(error, host);
        let error = error.context("cerebras's session");
        match error.status() {
            None => error,
            Some(status) => error.with_head(status, HeaderMap::new()),
        }
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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Returns true for what the key may be the reason of, as long as nothing of an answer came.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Auth | ErrorKind::Permission) && error.partial().is_none()
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
