//! The request that creates a prediction, and the cancellation of predictions whose request was
//! dropped.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request};
use inferstream_client::{Call, briefly};
use inferstream_core::{BoxFuture, Error, ErrorKind, Repeat, Result, protocol::Started};

use crate::{
    error::{Purpose, ResponseJudge, maybe_made},
    model_ref::ModelRef,
    prediction::PredictionHandle,
    request::{MAX_DOCUMENT, url},
    settings::PredictionSettings,
    wire::Prediction,
};

/// Creates a prediction, and returns the response and its document. The request is retried only if
/// the service reports that it did not process it.
pub(crate) async fn create(
    settings: &Arc<PredictionSettings>,
    call: &Call,
    model: &ModelRef,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Started, Bytes)> {
    let mut call = call.clone();
    call.retry = call.retry.retry_ambiguous(false);
    // A create must not be sent twice, so it uses a new connection.
    call.retry.replay_stale = false;
    let mut request = call.request_to(Method::POST, url(&call, &model.path())?, body);
    let own = request.headers_mut();
    if let Some(after) = &settings.cancel_after {
        own.insert(CANCEL_AFTER, after.clone());
    }
    for (name, value) in headers {
        own.insert(name, value.clone());
    }
    // `Prefer: wait` would delay the response headers until the model has finished.
    own.remove("prefer");
    let request = call.prepare(request);
    let attempt = |_| Attempt::new(settings, &call, model, request.clone());
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

/// One attempt to create a prediction. If it is dropped, it continues in the background for a
/// while, so that the prediction can be canceled: only the response contains the id for that.
struct Attempt {
    settings: Arc<PredictionSettings>,
    call: Call,
    begun: bool,
    /// `None` once the attempt has ended.
    made: Option<BoxFuture<'static, Result<(Started, Bytes)>>>,
}

impl Attempt {
    fn new(
        settings: &Arc<PredictionSettings>,
        call: &Call,
        model: &ModelRef,
        request: Request<Bytes>,
    ) -> Self {
        let made = {
            let (call, model) = (call.clone(), model.clone());
            async move {
                let judge = ResponseJudge::new(Purpose::Create(&model), &call);
                let mut started = call.attempt(request, &judge).await?;
                let document = started.document(MAX_DOCUMENT).await;
                // The service has processed the request, whatever the error is.
                let document = document.map_err(|error| error.with_repeat(Repeat::Ambiguous))?;
                Ok((started, document))
            }
        };
        Self {
            settings: Arc::clone(settings),
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
        let Some(made) = made.filter(|_| self.settings.cancel_on_drop) else {
            return;
        };
        let (settings, call) = (Arc::clone(&self.settings), self.call.clone());
        let transport = Arc::clone(&call.transport);
        self.call.transport.detach(Box::pin(async move {
            if let Ok(Ok((_, document))) = briefly(&*transport, made).await {
                let text = String::from_utf8_lossy(&document);
                let prediction = Prediction::parse(&text).filter(|made| !made.status.is_terminal());
                let handle = prediction.map(|made| PredictionHandle::new(&settings, call, &made));
                if let Some(Ok((handle, _))) = handle {
                    handle.cancel_briefly().await;
                }
            }
        }));
    }
}

const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");

/// Returns the error for a response without a prediction's id, although a prediction may exist.
pub(crate) fn nameless(started: &Started, document: &Bytes) -> Error {
    let kept = document.len().min(KEPT);
    let error =
        Error::protocol("invalid response from replicate: expected a prediction with an id")
            .with_head(started.meta.status, started.meta.headers.clone())
            .with_attempts(started.meta.attempts)
            // A copy, because a slice would keep the complete document in memory.
            .with_body(&Bytes::copy_from_slice(&document[..kept]));
    maybe_made(error)
}

/// The maximum length of the document in an error, in bytes.
const KEPT: usize = 64 << 10;
