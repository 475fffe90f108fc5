//! Requests to the service in, answers with a head of success out.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use inferstream_client::{Redact, briefly};
use inferstream_core::{
    ApiKey, BoxFuture, Error, ErrorKind, Model, Phase, Repeat, ReplayStale, Replays, Result,
    RetryPolicy, Started, Timeouts, Transport, provider::Semaphore,
};

use crate::{
    error::{Purpose, error_of_status, maybe_made},
    host::Trust,
    inputs::Inputs,
    link::Link,
    target::Target,
    wire::Prediction,
};

/// What all requests of a client share.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) key: Option<ApiKey>,
    pub(crate) needs_key: bool,
    /// The URL before every path, without a slash at its end.
    pub(crate) base: String,
    pub(crate) trust: Trust,
    pub(crate) headers: HeaderMap,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) inputs: Vec<(String, Inputs)>,
    pub(crate) cancel_after: Option<HeaderValue>,
    pub(crate) cancel_on_drop: bool,
    /// The places for cancels in the background.
    pub(crate) cancels: Arc<Semaphore>,
    pub(crate) metrics: bool,
    pub(crate) known: Mutex<Option<Vec<Model>>>,
}

/// What holds for one call of the user's and all requests that it takes.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: RetryPolicy,
    pub(crate) redact: Redact,
    pub(crate) at: Duration,
}

/// The most that a document may hold: it repeats the input, which may be as long as a request, and
/// tells the output, which may be as long as an answer.
pub(crate) const MAX_DOCUMENT: usize = 32 << 20;

impl Api {
    /// Begins a call with the client's own limits.
    pub(crate) fn call(&self) -> Call {
        Call {
            timeouts: self.timeouts,
            retry: self.retry,
            redact: Redact::new(self.key.as_ref(), &inferstream_core::ChatRequest::default()),
            at: self.transport.now(),
        }
    }

    /// Returns the URL of a path below the base URL, whose parts are safe in a path.
    pub(crate) fn url(&self, path: &str) -> Result<Uri> {
        let url = format!("{}/{path}", self.base);
        url.parse()
            .map_err(|_| Error::config("the base URL and the path make no URL"))
    }

    /// Begins a request, with the key.
    pub(crate) fn request(&self, method: Method, url: Uri) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.bearer());
        }
        request
    }

    /// Makes a prediction: sent once, but where the service says that it was not worked on.
    /// Returns the answer and its whole document.
    pub(crate) async fn create(
        self: &Arc<Self>,
        call: &Call,
        target: &Target,
        headers: &HeaderMap,
        body: String,
    ) -> Result<(Started, Bytes)> {
        let mut request = self.request(Method::POST, self.url(&target.path())?);
        *request.body_mut() = Bytes::from(body);
        let own = request.headers_mut();
        own.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = &self.cancel_after {
            own.insert(CANCEL_AFTER, after.clone());
        }
        for (name, value) in headers {
            own.insert(name, value.clone());
        }
        // It would hold the head back until the model has said all.
        own.remove("prefer");
        request.extensions_mut().insert(call.timeouts);
        let policy = call.retry.retry_ambiguous(false);
        let mut attempts = 0;
        let attempt = |number| {
            attempts = number;
            Attempt::new(self, call, target, request.clone())
        };
        let made = policy.run(&*self.transport, call.timeouts.total, attempt);
        let (mut started, document) = made.await.map_err(|error| match error.kind() {
            _ if error.repeat() == Repeat::Safe => error,
            ErrorKind::Disconnected
            | ErrorKind::Protocol
            | ErrorKind::Server
            | ErrorKind::Timeout(_)
            | ErrorKind::TooLarge
            | ErrorKind::Truncated => maybe_made(error),
            _ => error,
        })?;
        started.meta.attempts = attempts;
        Ok((started, document))
    }

    /// Asks for a document, as often as the policy says.
    pub(crate) async fn get(&self, call: &Call, url: Uri) -> Result<Started> {
        let request = self.request(Method::GET, url);
        self.send(call, &call.retry, Purpose::Other, request).await
    }

    /// Sends a request by a policy until an answer has a head of success.
    pub(crate) async fn send(
        &self,
        call: &Call,
        policy: &RetryPolicy,
        purpose: Purpose<'_>,
        mut request: Request<Bytes>,
    ) -> Result<Started> {
        let transport = &*self.transport;
        request.extensions_mut().insert(call.timeouts);
        if call.retry.replay_stale {
            request.extensions_mut().insert(ReplayStale);
        }
        let replays = Replays::default();
        request.extensions_mut().insert(replays.clone());
        let mut attempts = 0;
        let attempt = |number| {
            attempts = number;
            self.send_once(call, purpose, request.clone())
        };
        let left = call.timeouts.total.map(|total| {
            let used = transport.now().saturating_sub(call.at);
            total.saturating_sub(used)
        });
        let sent = policy.run(transport, left, attempt).await;
        // The limit that ran out is the one on the whole, not what was left of it.
        let sent = sent.map_err(|error| match (error.kind(), call.timeouts.total) {
            (ErrorKind::Timeout(Phase::Total), Some(total)) => Error::timeout(Phase::Total, total)
                .with_repeat(Repeat::Never)
                .with_attempts(error.attempts()),
            _ => error,
        });
        let mut started = sent.map_err(|error| replays.add_to(error))?;
        started.meta.attempts = attempts + replays.count();
        Ok(started)
    }

    /// Sends a request once; an answer whose head is not one of success is an error.
    async fn send_once(
        &self,
        call: &Call,
        purpose: Purpose<'_>,
        request: Request<Bytes>,
    ) -> Result<Started> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = call.redact.transport_error(error, &host);
                return Err(repeat(purpose, error));
            }
        };
        if response.status().is_success() {
            let transport = Arc::clone(&self.transport);
            let mut started = Started::new(transport, call.at, call.timeouts, response);
            call.redact.headers(&mut started.meta.headers);
            return Ok(started);
        }
        let (head, body) = response.into_parts();
        let body = body.read_error(&*self.transport, &call.timeouts).await;
        let now = self.transport.system_time();
        Err(error_of_status(
            purpose,
            head.status,
            &head.headers,
            &body,
            now,
            &call.redact,
        ))
    }
}

/// One attempt to make a prediction. It goes on for a while though nobody waits for it any longer, so
/// that what it makes can be canceled: only the answer tells the id to do that by.
struct Attempt {
    api: Arc<Api>,
    call: Call,
    begun: bool,
    /// `None` once it has an outcome.
    made: Option<BoxFuture<'static, Result<(Started, Bytes)>>>,
}

impl Attempt {
    fn new(api: &Arc<Api>, call: &Call, target: &Target, request: Request<Bytes>) -> Self {
        let made = {
            let (api, call, target) = (Arc::clone(api), call.clone(), target.clone());
            async move {
                let sent = api.send_once(&call, Purpose::Create(&target), request);
                let mut started = sent.await?;
                let document = started.document(MAX_DOCUMENT).await;
                // Whatever the error is, the request was worked on.
                let document = document.map_err(|error| error.with_repeat(Repeat::Ambiguous))?;
                Ok((started, document))
            }
        };
        Self {
            api: Arc::clone(api),
            call: call.clone(),
            begun: false,
            made: Some(Box::pin(made)),
        }
    }
}

impl Future for Attempt {
    type Output = Result<(Started, Bytes)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.begun = true;
        let Some(made) = &mut self.made else {
            return Poll::Pending;
        };
        let outcome = ready!(made.as_mut().poll(cx));
        self.made = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let made = self.made.take().filter(|_| self.begun);
        let Some(made) = made.filter(|_| self.api.cancel_on_drop) else {
            return;
        };
        let (api, call) = (Arc::clone(&self.api), self.call.clone());
        let transport = Arc::clone(&api.transport);
        self.api.transport.detach(Box::pin(async move {
            if let Ok(Ok((_, document))) = briefly(&*transport, made).await {
                let text = String::from_utf8_lossy(&document);
                let prediction = Prediction::parse(&text).filter(|made| !made.status.is_terminal());
                let link = prediction.map(|made| Link::new(&api, call, &made));
                if let Some(Ok((link, _))) = link {
                    link.cancel_briefly().await;
                }
            }
        }));
    }
}

const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");

/// Says of a transport's error whether the request may be sent again: what reads may be, whatever
/// became of it.
fn repeat(purpose: Purpose<'_>, error: Error) -> Error {
    match (purpose, error.repeat()) {
        (Purpose::Create(_), _) => error,
        (_, Repeat::Ambiguous) => error.with_repeat(Repeat::Safe),
        _ => error,
    }
}

/// Makes the error of an answer that names no prediction, though one was made.
pub(crate) fn nameless(started: &Started, document: &Bytes) -> Error {
    let kept = document.len().min(KEPT);
    let error = Error::protocol("replicate's answer names no prediction")
        .with_head(started.meta.status, started.meta.headers.clone())
        .with_attempts(started.meta.attempts)
        // Not a slice, which would keep all of the document.
        .with_body(&Bytes::copy_from_slice(&document[..kept]));
    maybe_made(error)
}

/// How much of a document an error keeps.
const KEPT: usize = 64 << 10;
