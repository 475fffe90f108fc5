//! A handle to one prediction: its stream, its document, its cancellation.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use inferstream_client::{Call, DetachOnDrop, briefly, within};
use inferstream_core::{
    Body, BoxFuture, Error, ReplayStale, Result, RetryPolicy, protocol::Started,
};

use crate::{
    error::{Purpose, ResponseJudge, SOON},
    model_ref::is_word,
    request::{MAX_DOCUMENT, url},
    settings::PredictionSettings,
    trust::Trust,
    wire::{Prediction, Urls},
};

/// The longest wait for the response head of a resumed stream, and the longest `Retry-After` before it.
const REOPEN: Duration = Duration::from_secs(10);

/// The longest that one question for the prediction may take, its repetitions included.
const ASK: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A handle to one prediction at the service: reads it, opens its stream, cancels it.
#[derive(Clone)]
pub(crate) struct PredictionHandle {
    pub(crate) settings: Arc<PredictionSettings>,
    pub(crate) call: Call,
    pub(crate) get: Uri,
    pub(crate) stream: Option<Uri>,
    pub(crate) cancel: Uri,
}

impl PredictionHandle {
    /// Finds out where a prediction is read and canceled. Returns a warning for each URL of the
    /// service's that is not followed.
    ///
    /// # Errors
    ///
    /// `Protocol` for an id that cannot be part of a path.
    pub(crate) fn new(
        settings: &Arc<PredictionSettings>,
        call: Call,
        prediction: &Prediction,
    ) -> Result<(Self, Vec<String>)> {
        let Ok(path) = prediction_path(&prediction.id) else {
            if let Some(url) = cancel_of_any(settings, &call, prediction) {
                Self::of(settings, call, url.clone(), url).cancel_unwatched();
            }
            let message = "replicate returned an invalid prediction id";
            return Err(Error::protocol(message));
        };
        let Urls { get, cancel, .. } = &prediction.urls;
        let mut warnings = Vec::new();
        let mut choose = |what, named: &Option<String>, path: &str| -> Result<Uri> {
            let own = url(&call, path)?;
            let Some(named) = named else {
                return Ok(own);
            };
            let reason = match settings.trust.check(what, named) {
                Ok(url) if is_own(&url, &own, path) => return Ok(url),
                Ok(_) => format!("replicate's {what} has a path that is not this prediction's"),
                Err(error) => call.redact.error(error).to_string(),
            };
            let instead = "the URL built from the base URL and the prediction's id is used instead";
            warnings.push(format!("{reason}; {instead}"));
            Ok(own)
        };
        let get = choose("prediction", get, &path)?;
        let cancel = choose("URL to cancel at", cancel, &format!("{path}/cancel"))?;
        Ok((Self::of(settings, call, get, cancel), warnings))
    }

    /// Creates a handle to a prediction without a stream.
    pub(crate) fn of(
        settings: &Arc<PredictionSettings>,
        call: Call,
        get: Uri,
        cancel: Uri,
    ) -> Self {
        Self {
            settings: Arc::clone(settings),
            call,
            get,
            stream: None,
            cancel,
        }
    }

    /// Opens the stream for the first time.
    pub(crate) async fn open(&self, url: Uri) -> Result<Body> {
        let request = self.stream_request(url, None);
        let mut retry = self.call.retry;
        // Where it asks for a longer wait, the prediction is polled meanwhile.
        retry.max_retry_after = retry.max_retry_after.min(REOPEN);
        let call = with_retry(&self.call, retry);
        let judge = ResponseJudge::new(Purpose::Stream, &call);
        let started = call.send(request, &judge).await.map_err(|error| {
            // The wait before the next try was ours.
            let asked = error.retry_after().filter(|wait| *wait != SOON);
            error
                .with_retry_after(asked)
                .context("the prediction's stream")
        });
        check_stream(started?)
    }

    /// Takes the stream up again, once.
    pub(crate) fn reopen(
        &self,
        url: Uri,
        last_id: Option<HeaderValue>,
    ) -> BoxFuture<'static, Result<Body>> {
        let mut handle = self.clone();
        let head = &mut handle.call.timeouts.head;
        *head = Some(head.unwrap_or(REOPEN).min(REOPEN));
        Box::pin(async move {
            let request = handle.stream_request(url, last_id);
            let call = with_retry(&handle.call, RetryPolicy::never());
            let judge = ResponseJudge::new(Purpose::Other, &call);
            check_stream(call.send(request, &judge).await?)
        })
    }

    fn stream_request(&self, url: Uri, last_id: Option<HeaderValue>) -> Request<Bytes> {
        let mut request = self.call.request_to(Method::GET, url, Bytes::new());
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(id) = last_id {
            headers.insert(LAST_EVENT_ID, id);
        }
        request
    }

    /// Asks for the prediction: all of it, as often as the policy says, for 30 s at most.
    pub(crate) fn ask(&self) -> BoxFuture<'static, Result<Body>> {
        let handle = self.clone();
        Box::pin(async move {
            let asked = Box::pin(async {
                let call = &handle.call;
                let request = call.request_to(Method::GET, handle.get.clone(), Bytes::new());
                let judge = ResponseJudge::new(Purpose::Other, call);
                call.document(request, MAX_DOCUMENT, &judge).await
            });
            let document = within(&*handle.call.transport, ASK, asked).await??;
            match document.trim_ascii_start().first() {
                Some(b'{') => Ok(Body::from(document)),
                _ => Err(Error::protocol(
                    "replicate sent something else than a prediction",
                )),
            }
        })
    }

    /// Asks the service to cancel the prediction; one that has ended needs no canceling.
    pub(crate) async fn cancel(&self) -> Result<()> {
        let request = self.post();
        let mut call = self.call.clone();
        call.at = call.transport.now();
        let judge = ResponseJudge::new(Purpose::Other, &call);
        match call.send(request, &judge).await {
            Err(error) if !is_over(&error) => Err(error.context("the prediction was not canceled")),
            _ => Ok(()),
        }
    }

    /// Cancels as [`cancel`](Self::cancel) does; where that is no longer waited for it runs on by
    /// itself, for 2 s at most.
    pub(crate) fn canceling(&self) -> DetachOnDrop<Result<()>> {
        let handle = self.clone();
        let transport = Arc::clone(&self.call.transport);
        DetachOnDrop::new(transport, Box::pin(async move { handle.cancel().await }))
    }

    /// Sends one request to cancel in the background.
    pub(crate) fn cancel_unwatched(&self) {
        let handle = self.clone();
        let task = Box::pin(async move { handle.cancel_briefly().await });
        self.call.transport.detach(task);
    }

    /// Waits for one of the client's permits for background cancels, then sends one request, for at
    /// most 2 s.
    ///
    /// The wait for a permit does not count in the 2 s: otherwise the last of many would never be
    /// sent. It ends all the same, since each request before it ends within 2 s.
    pub(crate) async fn cancel_briefly(&self) {
        let _permit = self.settings.cancels.acquire().await;
        let mut request = self.post();
        request.extensions_mut().insert(self.call.timeouts);
        request.extensions_mut().insert(ReplayStale);
        let transport = &*self.call.transport;
        let sent = transport.send(request);
        let told = Box::pin(async move {
            if let Ok(response) = sent.await {
                // Read to its end, so that the next request can use the connection.
                let timeouts = &self.call.timeouts;
                drop(response.into_body().read_error(transport, timeouts).await);
            }
        });
        // Nothing waits for the outcome.
        drop(briefly(transport, told).await);
    }

    fn post(&self) -> Request<Bytes> {
        self.call
            .request_to(Method::POST, self.cancel.clone(), Bytes::new())
    }
}

/// Returns the call with another retry policy.
fn with_retry(call: &Call, retry: RetryPolicy) -> Call {
    let mut call = call.clone();
    call.retry = retry;
    call
}

impl fmt::Debug for PredictionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The stream's URL is a secret: who has it can read the answer.
        f.debug_struct("PredictionHandle")
            .field("get", &self.get)
            .finish_non_exhaustive()
    }
}

/// Returns the URL to cancel a prediction whose id is invalid, if it is one that cancels a prediction
/// and does nothing else.
fn cancel_of_any(
    settings: &PredictionSettings,
    call: &Call,
    prediction: &Prediction,
) -> Option<Uri> {
    let named = prediction.urls.cancel.as_deref()?;
    let uri = settings.trust.check("URL to cancel at", named).ok()?;
    let (_, id) = uri.path().strip_suffix("/cancel")?.rsplit_once('/')?;
    let path = format!("{}/cancel", prediction_path(id).ok()?);
    let own = url(call, &path).ok()?;
    is_own(&uri, &own, &path).then_some(uri)
}

/// Returns true where a URL of the service's is the one that we build, or the same path at a host of
/// the service, which a gateway at the base URL stands before.
fn is_own(url: &Uri, own: &Uri, path: &str) -> bool {
    let is_documented = url.path().strip_prefix("/v1/") == Some(path) && url.query().is_none();
    url == own || is_documented && Trust::is_replicates(url)
}

/// Returns true for a refusal to cancel what has ended, or is gone.
fn is_over(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    matches!(status, Some(404 | 409))
}

/// Refuses what is a page, or nothing, where a stream should be.
fn check_stream(started: Started) -> Result<Body> {
    let content_type = started.meta.headers.get(CONTENT_TYPE);
    let content_type = content_type.map(|value| value.as_bytes().to_ascii_lowercase());
    let is_page = content_type.is_some_and(|value| value.starts_with(b"text/html"));
    if is_page || matches!(started.meta.status.as_u16(), 204 | 205) {
        let message = "replicate sent no event stream where one should be";
        let error = Error::protocol(message);
        return Err(error.with_head(started.meta.status, started.meta.headers));
    }
    Ok(started.body)
}

/// Returns a prediction's path, if the id can stand in one; the service's have 26 letters and digits.
pub(crate) fn prediction_path(id: &str) -> Result<String> {
    if is_word(id) && id.len() <= 128 {
        return Ok(format!("predictions/{id}"));
    }
    Err(Error::config(
        "the prediction's id is none: it is letters and digits",
    ))
}
