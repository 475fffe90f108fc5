//! One call of the user, and the loop that sends its requests.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use inferstream_core::{
    ApiKey, Body, Error, ErrorKind, Phase, Repeat, ReplayStale, Replays, Result, RetryPolicy,
    Timeouts, Transport, protocol::Started,
};

use crate::redact::Redact;

/// What applies to one call of the user, and to every request that it takes.
///
/// Cloning is cheap but for the secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct Call {
    /// What requests go through.
    pub transport: Arc<dyn Transport>,
    /// The base URL, without a slash at its end.
    pub base: Arc<str>,
    /// The headers of every request.
    pub headers: HeaderMap,
    /// The key of every request, where the service wants one.
    pub key: Option<ApiKey>,
    /// The timeouts; [`Timeouts::total`] counts from [`at`](Self::at).
    pub timeouts: Timeouts,
    /// When a request is sent again.
    pub retry: RetryPolicy,
    /// What must not be shown of what the service says.
    pub redact: Redact,
    /// When the call began, by the transport's clock.
    pub at: Duration,
}

/// A response whose status is not a success.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, of which at most 64 KiB are read.
    pub body: &'a Bytes,
    /// The time, for dates in the headers.
    pub now: SystemTime,
}

/// How the responses to a request are judged.
///
/// A closure that makes an [`Error`] of a [`Refusal`] is a judge.
pub trait Judge: Send + Sync {
    /// Returns the error of a response whose status is not a success.
    fn refusal(&self, refusal: Refusal<'_>) -> Error;

    /// Adds to the error of a request that got no response; by default it stays as it is.
    ///
    /// What the transport quotes has been redacted.
    fn lost(&self, error: Error) -> Error {
        error
    }

    /// Observes the headers of every response before it is judged; by default they are ignored.
    fn observe(&self, headers: &HeaderMap) {
        let _ = headers;
    }

    /// Returns true for a status that is a success; by default 2xx.
    fn accepts(&self, status: StatusCode) -> bool {
        status.is_success()
    }

    /// Returns the secrets of the call; by default those it began with. Those of cookies grow.
    fn secrets<'a>(&self, redact: &'a Redact) -> Cow<'a, Redact> {
        Cow::Borrowed(redact)
    }
}

impl<F: Fn(Refusal<'_>) -> Error + Send + Sync> Judge for F {
    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        self(refusal)
    }
}

impl Call {
    /// Begins a call: its time runs from now on.
    pub fn new(transport: Arc<dyn Transport>, timeouts: Timeouts, retry: RetryPolicy) -> Self {
        Self {
            at: transport.now(),
            transport,
            base: Arc::from(""),
            headers: HeaderMap::new(),
            key: None,
            timeouts,
            retry,
            redact: Redact::default(),
        }
    }

    /// Creates a request for a path below the base URL, with the call's headers and its key.
    ///
    /// # Errors
    ///
    /// `Config` if the base URL and the path are not a URL.
    pub fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>> {
        let url = format!("{}{path}", self.base).parse::<Uri>();
        let url = url.map_err(|_| {
            Error::config("invalid URL: the base URL and the path do not make a URL together")
        })?;
        Ok(self.request_to(method, url, body))
    }

    /// Creates a request for a URL, with the call's headers and its key. A body is JSON.
    pub fn request_to(&self, method: Method, url: Uri, body: Bytes) -> Request<Bytes> {
        let has_body = !body.is_empty();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.entry(ACCEPT).or_insert(json.clone());
        if has_body {
            headers.insert(CONTENT_TYPE, json);
        }
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.bearer());
        }
        request
    }

    /// Sends a request until a response has a success status or the retry policy ends.
    ///
    /// This is the only loop that sends requests: each attempt has the call's timeouts, an error's body
    /// is read for at most 2 s, and what the service says is redacted.
    ///
    /// # Errors
    ///
    /// The last attempt's error, with the number of attempts; `Timeout` of the phase `total` where
    /// the call's time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn send(&self, request: Request<Bytes>, judge: &dyn Judge) -> Result<Started> {
        let request = &self.prepare(request);
        let attempt = |_| self.attempt(request.clone(), judge);
        let (mut started, attempts) = self.run(&self.retry, request, attempt).await?;
        started.meta.attempts = attempts;
        Ok(started)
    }

    /// Adds to a request what the transport is to know of the call.
    pub fn prepare(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        let extensions = request.extensions_mut();
        extensions.insert(self.timeouts);
        if self.retry.replay_stale {
            extensions.insert(ReplayStale);
        }
        extensions.insert(Replays::default());
        request
    }

    /// Makes attempts as often as a policy says, and returns the outcome of the last one with their
    /// number, which counts the replays that the transport noted in the prepared request.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        policy: &RetryPolicy,
        prepared: &Request<Bytes>,
        mut attempt: impl FnMut(u32) -> F + Send,
    ) -> Result<(T, u32)> {
        let replays = prepared.extensions().get::<Replays>().cloned();
        let replays = replays.unwrap_or_default();
        let left = self.timeouts.total.map(|total| {
            let used = self.transport.now().saturating_sub(self.at);
            total.saturating_sub(used)
        });
        let mut attempts = 0;
        let counted = |number| {
            attempts = number;
            attempt(number)
        };
        let outcome = policy.run(&*self.transport, left, counted).await;
        match outcome {
            Ok(value) => Ok((value, attempts + replays.count())),
            Err(error) => Err(self.whole_total(replays.add_to(error))),
        }
    }

    /// Names the whole limit in an error of what was left of it.
    fn whole_total(&self, error: Error) -> Error {
        match (error.kind(), self.timeouts.total) {
            (ErrorKind::Timeout(Phase::Total), Some(total)) => Error::timeout(Phase::Total, total)
                .with_repeat(Repeat::Never)
                .with_attempts(error.attempts()),
            _ => error,
        }
    }

    /// Sends a prepared request once.
    ///
    /// # Errors
    ///
    /// What the transport reports, and what the judge makes of a status that is not a success.
    pub async fn attempt(&self, request: Request<Bytes>, judge: &dyn Judge) -> Result<Started> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => {
                let redact = judge.secrets(&self.redact);
                return Err(judge.lost(redact.transport_error(error, &host)));
            }
        };
        judge.observe(response.headers());
        if judge.accepts(response.status()) {
            let transport = Arc::clone(&self.transport);
            let mut started = Started::new(transport, self.at, self.timeouts, response);
            let redact = judge.secrets(&self.redact);
            redact.headers(&mut started.meta.headers);
            return Ok(started);
        }
        Err(self.judged(response, judge).await)
    }

    /// Makes the error of a response whose status is not a success.
    async fn judged(&self, response: Response<Body>, judge: &dyn Judge) -> Error {
        let transport = &*self.transport;
        let (head, body) = response.into_parts();
        let body = body.read_error(transport, &self.timeouts).await;
        let error = judge.refusal(Refusal {
            status: head.status,
            headers: &head.headers,
            body: &body,
            now: transport.system_time(),
        });
        judge.secrets(&self.redact).error(error)
    }

    /// Requests a document from a URL or a path, of at most so many bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `TooLarge` above the limit.
    pub async fn document(
        &self,
        request: Request<Bytes>,
        limit: usize,
        judge: &dyn Judge,
    ) -> Result<Bytes> {
        self.send(request, judge).await?.document(limit).await
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
