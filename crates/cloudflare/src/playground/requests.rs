//! Sending requests to the playground with its session.

use std::{
    borrow::Cow,
    fmt,
    future::{Future as _, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use inferstream_client::{Call, Judge, Redact, Refusal, RetryBudgets};
use inferstream_core::{
    BoxFuture, ChatRequest, Error, Phase, Result, RetryPolicy, Timeouts, Transport,
    protocol::{Decode, Ending, Events, Finish, Flow, Started},
    sse::Frame,
};
use inferstream_session::Warning;

use super::{
    blocking::blocking,
    error::{error_of_status, of_model},
    session::{Lease, Session, SessionData},
};
use crate::models::INFO;

/// Sends requests with the session, and updates the session from responses.
///
/// Cloning is cheap; clones share the session.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    settings: Arc<Settings>,
}

/// The settings that all requests to a playground share.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) transport: Arc<dyn Transport>,
    /// The URL before `/api` and `/agents`.
    pub(crate) base: String,
    pub(crate) headers: HeaderMap,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) budgets: RetryBudgets,
    pub(crate) session: Session,
    pub(crate) refresh: Option<Refresher>,
    /// Warnings from before the first request.
    pub(crate) warnings: Vec<Warning>,
}

/// The caller's function that gets a new session.
#[derive(Clone)]
pub(crate) struct Refresher(pub(crate) Arc<Refresh>);

pub(crate) type Refresh = dyn Fn() -> BoxFuture<'static, Result<SessionData>> + Send + Sync;

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

/// How long a request waits for the refresh of another one, before it starts its own. Longer than a
/// person needs for the page's check: only a future that is not polled any more takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// The maximum size of a list of models, in bytes.
pub(super) const MAX_LIST: usize = 4 << 20;

/// Returns the model of a request, with aliases resolved.
pub(super) fn model(request: &ChatRequest) -> &str {
    let model = request.model.as_deref().or(INFO.default_model());
    INFO.resolve(model.unwrap_or_default())
}

impl Requests {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Returns the base URL.
    pub(super) fn base(&self) -> &str {
        &self.settings.base
    }

    /// Returns the headers that the caller set for all requests.
    #[cfg(feature = "playground-agent")]
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.settings.headers
    }

    #[cfg(feature = "playground-agent")]
    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        &self.settings.transport
    }

    /// Returns the timeouts of a request.
    pub(super) fn timeouts(&self, asked: &ChatRequest) -> Timeouts {
        asked.timeouts.unwrap_or(self.settings.timeouts)
    }

    /// Sends a request with the session until a response has a success status or switches
    /// protocols. A session that is refused is discarded; if a new one can be obtained, the request
    /// is sent again with it.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
        asked: &ChatRequest,
        redact: &Redact,
    ) -> Result<(Started, Lease, Redact)> {
        let settings = &self.settings;
        let retry = asked.retry.unwrap_or(settings.retry);
        let (transport, budgets) = (Arc::clone(&settings.transport), settings.budgets.clone());
        let mut call = Call::new(transport, self.timeouts(asked), retry, budgets);
        call.redact = redact.clone();
        let mut warnings = settings.warnings.clone();
        warnings.extend(self.load().await);
        let mut lease = self.lease(request.uri().path(), &call).await?;
        let mut started = match self.send_with(&call, &lease, &request, asked).await {
            Err(error) if settings.refresh.is_some() && settings.session.forgets(&error) => {
                let earlier = error.attempts();
                lease = self.lease(request.uri().path(), &call).await?;
                let sent = self.send_with(&call, &lease, &request, asked).await;
                let count = |error: Error| {
                    let attempts = error.attempts() + earlier;
                    error.with_attempts(attempts)
                };
                let mut started = sent.map_err(count)?;
                started.meta.attempts += earlier;
                started
            }
            outcome => outcome?,
        };
        let warnings = warnings.iter().map(|warning| warning.as_str().to_owned());
        started.meta.warnings.extend(warnings);
        Ok((started, lease, self.with_cookies(redact)))
    }

    /// Sends a request with one lease of the session, with retries, and discards a session that is
    /// refused.
    async fn send_with(
        &self,
        call: &Call,
        lease: &Lease,
        request: &Request<Bytes>,
        asked: &ChatRequest,
    ) -> Result<Started> {
        let settings = &self.settings;
        let mut request = request.clone();
        let own = std::mem::replace(request.headers_mut(), lease.headers().clone());
        let headers = own.iter().chain(&settings.headers).chain(&asked.headers);
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let judge = SessionJudge {
            requests: self,
            lease,
            path: request.uri().path().to_owned(),
            method: request.method().clone(),
        };
        match call.send(request, &judge).await {
            Ok(started) => Ok(started),
            Err(error) => {
                self.judge(lease, &error).await;
                Err(error)
            }
        }
    }

    /// Adds the session's cookies to the secrets that errors must not show, because a response may
    /// have set some.
    fn with_cookies(&self, redact: &Redact) -> Redact {
        let settings = &self.settings;
        let secrets = settings.session.secrets(settings.transport.system_time());
        let add = |redact: Redact, secret: &String| redact.credential(secret);
        secrets.iter().fold(redact.clone(), add)
    }

    /// Returns the headers and cookies that the session adds to a request. Without a session, calls
    /// the refresh function if it is set, or returns the default headers.
    ///
    /// The refresh function counts towards the call's total timeout.
    async fn lease(&self, path: &str, call: &Call) -> Result<Lease> {
        let settings = &self.settings;
        let transport = &settings.transport;
        let calendar = transport.system_time();
        match &settings.refresh {
            None => Ok(settings.session.lease(path, calendar)),
            Some(Refresher(refresh)) => {
                let now = || transport.now();
                let get = || refresh();
                let patience = || transport.sleep(PATIENCE);
                let session = &settings.session;
                let leased = session.get_or_refresh_impatiently(path, calendar, now, patience, get);
                let Some(total) = call.timeouts.total else {
                    return leased.await;
                };
                let used = transport.now().saturating_sub(call.at);
                let mut sleep = transport.sleep(total.saturating_sub(used));
                let mut leased = pin!(leased);
                poll_fn(|cx| {
                    // Polled first: a request without time left must not start a refresh of its own.
                    match sleep.as_mut().poll(cx) {
                        Poll::Ready(()) => Poll::Ready(Err(Error::timeout(Phase::Total, total))),
                        Poll::Pending => leased.as_mut().poll(cx),
                    }
                })
                .await
            }
        }
    }

    /// Reads the session file, if there is one.
    async fn load(&self) -> Vec<Warning> {
        let load = |session: &Session, warnings: &mut Vec<Warning>| session.load(warnings);
        self.with_session(load).await
    }

    /// Discards the session if the error shows that it is not valid.
    async fn judge(&self, lease: &Lease, error: &Error) {
        let settings = &self.settings;
        if !settings.session.forgets(error) {
            return;
        }
        let (lease, now) = (lease.clone(), settings.transport.system_time());
        self.with_session(move |session, _| session.forget(&lease, now, &mut Vec::new()))
            .await;
    }

    /// Saves the session after a complete response.
    async fn save(&self, lease: Lease) -> Vec<Warning> {
        let now = self.settings.transport.system_time();
        self.with_session(move |session, warnings| session.save(&lease, now, warnings))
            .await
    }

    /// Runs work on the session, on a separate thread if it may access the file.
    async fn with_session(
        &self,
        work: impl FnOnce(&Session, &mut Vec<Warning>) + Send + 'static,
    ) -> Vec<Warning> {
        let this = self.clone();
        let work = move || {
            let mut warnings = Vec::new();
            work(&this.settings.session, &mut warnings);
            warnings
        };
        if self.settings.session.has_file() {
            blocking(work).await
        } else {
            work()
        }
    }
}

/// A decoder that saves the session after a complete response.
#[derive(Debug)]
pub(super) struct Kept<D> {
    decode: D,
    requests: Requests,
    lease: Lease,
}

impl<D> Kept<D> {
    pub(super) fn new(decode: D, requests: Requests, lease: Lease) -> Self {
        Self {
            decode,
            requests,
            lease,
        }
    }

    /// Discards the session, in the background, after an error inside a response that shows that it
    /// is not valid.
    fn judge<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            let (requests, lease, error) =
                (self.requests.clone(), self.lease.clone(), error.clone());
            let transport = Arc::clone(&requests.settings.transport);
            transport.detach(Box::pin(async move {
                requests.judge(&lease, &error).await;
            }));
        }
        outcome
    }
}

impl<D: Decode> Decode for Kept<D> {
    fn decode(&mut self, frame: Frame<'_>, events: &mut Events) -> Result<Flow> {
        let outcome = self.decode.decode(frame, events);
        self.judge(outcome)
    }

    fn finish(&mut self, ending: Ending<'_>, events: &mut Events) -> Result<Finish> {
        let outcome = self.decode.finish(ending, events);
        let Ok(Finish::Whole(end)) = outcome else {
            return self.judge(outcome);
        };
        let (requests, lease) = (self.requests.clone(), self.lease.clone());
        let saved = async move {
            let warnings = requests.save(lease).await;
            let text = |warning: &Warning| warning.as_str().to_owned();
            warnings.iter().map(text).collect()
        };
        Ok(Finish::WholeAfter(end, Box::pin(saved)))
    }

    fn release(&mut self, events: &mut Events) {
        self.decode.release(events);
    }

    fn cancel(&mut self) -> BoxFuture<'static, Result<()>> {
        self.decode.cancel()
    }
}

/// Classifies the responses to a request that was sent with a session.
struct SessionJudge<'a> {
    requests: &'a Requests,
    lease: &'a Lease,
    path: String,
    method: Method,
}

impl Judge for SessionJudge<'_> {
    fn accepts(&self, status: StatusCode) -> bool {
        status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS
    }

    fn observe(&self, headers: &HeaderMap) {
        let settings = &self.requests.settings;
        let now = settings.transport.system_time();
        let session = &settings.session;
        session.absorb(self.lease, &self.path, headers, now);
    }

    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        of_model(error_of_status(&refusal), &self.method, refusal.body)
    }

    fn secrets<'a>(&self, redact: &'a Redact) -> Cow<'a, Redact> {
        Cow::Owned(self.requests.with_cookies(redact))
    }
}
