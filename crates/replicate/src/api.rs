//! Requests to the service in, answers with a head of success out.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use inferstream_client::{Call, Judge, Redact, Refusal, briefly};
use inferstream_core::{
    BoxFuture, Error, ErrorKind, Repeat, Result, protocol::Started, provider::Semaphore,
};

use crate::{
    error::{Purpose, error_of_status, maybe_made},
    inputs::Inputs,
    model_ref::ModelRef,
    prediction::PredictionHandle,
    trust::Trust,
    wire::Prediction,
};

/// What all requests of a client share: the settings of its predictions.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) needs_key: bool,
    pub(crate) trust: Trust,
    pub(crate) inputs: Vec<(String, Inputs)>,
    pub(crate) cancel_after: Option<HeaderValue>,
    pub(crate) cancel_on_drop: bool,
    /// The permits for cancels in the background.
    pub(crate) cancels: Arc<Semaphore>,
    pub(crate) metrics: bool,
}

/// The most that a document may hold: it repeats the input, which may be as long as a request, and
/// tells the output, which may be as long as an answer.
pub(crate) const MAX_DOCUMENT: usize = 32 << 20;

/// Returns the URL of a path below the base URL, whose parts are safe in a path.
pub(crate) fn url(call: &Call, path: &str) -> Result<Uri> {
    let url = format!("{}/{path}", call.base);
    url.parse()
        .map_err(|_| Error::config("invalid URL: the base URL and the path do not make one"))
}

/// Creates a request that reads from a path below the base URL.
pub(crate) fn get(call: &Call, path: &str) -> Result<Request<Bytes>> {
    Ok(call.request_to(Method::GET, url(call, path)?, Bytes::new()))
}

/// Judges responses by what their requests are for.
pub(crate) struct For<'a> {
    pub(crate) purpose: Purpose<'a>,
    pub(crate) redact: &'a Redact,
}

impl<'a> For<'a> {
    /// Creates the judge of a request of a call.
    pub(crate) fn new(purpose: Purpose<'a>, call: &'a Call) -> Self {
        let redact = &call.redact;
        Self { purpose, redact }
    }
}

impl Judge for For<'_> {
    fn refusal(&self, refusal: Refusal<'_>) -> Error {
        error_of_status(self.purpose, &refusal, self.redact)
    }

    // What reads may be sent again, whatever became of it.
    fn lost(&self, error: Error) -> Error {
        match (self.purpose, error.repeat()) {
            (Purpose::Create(_), _) => error,
            (_, Repeat::Ambiguous) => error.with_repeat(Repeat::Safe),
            _ => error,
        }
    }
}

/// Makes a prediction: sent once, except where the service says that it was not worked on.
/// Returns the response and its whole document.
pub(crate) async fn create(
    api: &Arc<Api>,
    call: &Call,
    model: &ModelRef,
    headers: &HeaderMap,
    body: String,
) -> Result<(Started, Bytes)> {
    let mut call = call.clone();
    call.retry = call.retry.retry_ambiguous(false);
    // A connection that died may have carried the request.
    call.retry.replay_stale = false;
    let body = Bytes::from(body);
    let mut request = call.request_to(Method::POST, url(&call, &model.path())?, body);
    let own = request.headers_mut();
    if let Some(after) = &api.cancel_after {
        own.insert(CANCEL_AFTER, after.clone());
    }
    for (name, value) in headers {
        own.insert(name, value.clone());
    }
    // It would hold the headers of the response back until the model is done.
    own.remove("prefer");
    let request = call.prepare(request);
    let attempt = |_| Attempt::new(api, &call, model, request.clone());
    let made = call.run(&call.retry, &request, attempt).await;
    let ((mut started, document), attempts) = made.map_err(|error| match error.kind() {
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
    fn new(api: &Arc<Api>, call: &Call, model: &ModelRef, request: Request<Bytes>) -> Self {
        let made = {
            let (call, model) = (call.clone(), model.clone());
            async move {
                let judge = For::new(Purpose::Create(&model), &call);
                let mut started = call.attempt(request, &judge).await?;
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
        let transport = Arc::clone(&call.transport);
        self.call.transport.detach(Box::pin(async move {
            if let Ok(Ok((_, document))) = briefly(&*transport, made).await {
                let text = String::from_utf8_lossy(&document);
                let prediction = Prediction::parse(&text).filter(|made| !made.status.is_terminal());
                let handle = prediction.map(|made| PredictionHandle::new(&api, call, &made));
                if let Some(Ok((handle, _))) = handle {
                    handle.cancel_briefly().await;
                }
            }
        }));
    }
}

const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");

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
