//! The settings of one call, and the loop that sends its requests.

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

use crate::{budgets::RetryBudgets, redact::Redact};

/// The settings of one call of the user, which apply to every request that is sent for it: a chat may
/// need several, for example to get a key or to resume a stream.
#[derive(Clone)]
#[non_exhaustive]
pub struct Call {
    /// The transport.
    pub transport: Arc<dyn Transport>,
    /// The base URL, without a slash at its end.
    pub base: Arc<str>,
    /// Headers that are sent with every request.
    pub headers: HeaderMap,
    /// The API key that is sent with every request; `None` if the service needs none.
    pub key: Option<ApiKey>,
    /// The timeouts; [`Timeouts::total`] counts from [`at`](Self::at).
    pub timeouts: Timeouts,
    /// The retry policy.
    pub retry: RetryPolicy,
    /// The retry budgets of the client.
    pub budgets: RetryBudgets,
    /// The secrets that are removed from what the service sends.
    pub redact: Redact,
    /// The start of the call, by the clock of the transport.
    pub at: Duration,
}

/// A response whose status is not a success.
///
/// `Debug` shows neither the headers nor the body, because a service may repeat a key or a prompt in
/// them.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The first 64 KiB of its body.
    pub body: &'a Bytes,
    /// The current time, to compare with dates in the headers.
    pub now: SystemTime,
}

/// The service-specific part of [`Call::send`]: which responses are a success, and the errors of the
/// others.
///
/// A closure that returns the [`Error`] of a [`Refusal`] implements it.
pub trait Judge: Send + Sync {
    /// Returns the error of a response whose status is not a success.
    fn refusal(&self, refusal: Refusal<'_>) -> Error;

    /// Adds details to the error of a request that got no response; by default the error stays
    /// unchanged.
    ///
    /// Secrets have already been removed from the error.
    fn lost(&self, error: Error) -> Error {
        error
    }

    /// Observes the headers of every response, for example to store cookies; by default they are
    /// ignored.
    fn observe(&self, headers: &HeaderMap) {
        let _ = headers;
    }

    /// Returns true if a status is a success: 2xx by default.
    fn accepts(&self, status: StatusCode) -> bool {
        status.is_success()
    }

    /// Returns the secrets of the call: by default those that it began with. A judge that stores
    /// cookies adds their values.
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
    /// Creates a call that begins now, without base URL, headers, key and secrets.
    pub fn new(
        transport: Arc<dyn Transport>,
        timeouts: Timeouts,
        retry: RetryPolicy,
        budgets: RetryBudgets,
    ) -> Self {
        Self {
            at: transport.now(),
            transport,
            base: Arc::from(""),
            headers: HeaderMap::new(),
            key: None,
            timeouts,
            retry,
            budgets,
            redact: Redact::default(),
        }
    }

    /// Creates a request for a path below the base URL, with the call's headers and its key.
    ///
    /// # Errors
    ///
    /// `Config` if the path is not valid in a URL.
    pub fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>> {
        let url = format!("{}{path}", self.base).parse::<Uri>();
        let url = url.map_err(|_| {
            Error::config("invalid path of a request: expected a path that is valid in a URL")
        })?;
        Ok(self.request_to(method, url, body))
    }

    /// Creates a request for a URL, with the call's headers and its key. The content type is JSON,
    /// unless the body is empty.
    ///
    /// The key is sent to the host of this URL: use it only for hosts that may get the key.
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

    /// Sends a request, and sends it again as the retry policy allows, until a response has a success
    /// status.
    ///
    /// Each attempt has the call's timeouts. The body of an error is read for at most 2 s. Secrets are
    /// removed from errors and from the headers of the response.
    ///
    /// # Errors
    ///
    /// The error of the last attempt, with the number of attempts; `Timeout(Total)` if the total
    /// timeout of the call has elapsed.
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

    /// Adds to a request the extensions by which the transport gets the timeouts, the permission to
    /// replay it on a new connection, and a counter of such replays.
    pub fn prepare(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        let extensions = request.extensions_mut();
        extensions.insert(self.timeouts);
        if self.retry.replay_stale {
            extensions.insert(ReplayStale);
        }
        extensions.insert(Replays::default());
        request
    }

    /// Runs attempts until one succeeds or the policy ends, with the client's retry budget for the host
    /// of the prepared request, and returns the value with the number of
    /// attempts, including the replays that the transport counted in the prepared request.
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
        let budget = self.budgets.of(prepared.uri());
        let outcome = policy.run(&*self.transport, left, &budget, counted).await;
        match outcome {
            Ok(value) => Ok((value, attempts + replays.count())),
            Err(error) => Err(self.whole_total(replays.add_to(error))),
        }
    }

    /// Replaces the remaining time in a timeout by the configured total, which the user knows.
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
    /// The error of the transport, or the judge's error for a status that is not a success.
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

    /// Creates the error of a response whose status is not a success.
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

    /// Sends a request, and returns the complete body of the response, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `TooLarge` if the body exceeds the limit.
    pub async fn document(
        &self,
        request: Request<Bytes>,
        limit: usize,
        judge: &dyn Judge,
    ) -> Result<Bytes> {
        self.send(request, judge).await?.document(limit).await
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
