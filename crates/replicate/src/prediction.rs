//! A handle to one prediction, to read its stream and document and to cancel it.

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

/// The timeout for the response headers of a resumed stream, and the longest `Retry-After` that is
/// respected before polling instead.
const REOPEN: Duration = Duration::from_secs(10);

/// The timeout for reading the prediction once, including retries.
const ASK: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A handle to one prediction at the service.
#[derive(Clone)]
pub(crate) struct PredictionHandle {
    pub(crate) settings: Arc<PredictionSettings>,
    pub(crate) call: Call,
    pub(crate) get: Uri,
    pub(crate) stream: Option<Uri>,
    pub(crate) cancel: Uri,
}

impl PredictionHandle {
    /// Determines the URLs for reading and canceling a prediction. Returns a warning for each URL
    /// from the service that is not used.
    ///
    /// # Errors
    ///
    /// Returns `Protocol` if the id is invalid.
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
                Ok(_) => format!("replicate's {what} has a path of another resource"),
                Err(error) => call.redact.error(error).to_string(),
            };
            let instead = "the URL from the base URL and the prediction's id is used instead";
            warnings.push(format!("{reason}; {instead}"));
            Ok(own)
        };
        let get = choose("prediction URL", get, &path)?;
        let cancel = choose("cancel URL", cancel, &format!("{path}/cancel"))?;
        Ok((Self::of(settings, call, get, cancel), warnings))
    }

    /// Creates a handle without a stream.
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
        // If the service asks for a longer delay, the prediction is polled in the meantime.
        retry.max_retry_after = retry.max_retry_after.min(REOPEN);
        let call = with_retry(&self.call, retry);
        let judge = ResponseJudge::new(Purpose::Stream, &call);
        let started = call.send(request, &judge).await.map_err(|error| {
            // The delay before the next attempt was set here, not by the service.
            let asked = error.retry_after().filter(|wait| *wait != SOON);
            error
                .with_retry_after(asked)
                .context("the prediction's stream")
        });
        check_stream(started?)
    }

    /// Opens the stream again, without retries.
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

    /// Requests the prediction's document, with retries, for at most 30 s.
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
                    "invalid response from replicate: expected a prediction",
                )),
            }
        })
    }

    /// Cancels the prediction; succeeds if it has already ended.
    pub(crate) async fn cancel(&self) -> Result<()> {
        let request = self.post();
        let mut call = self.call.clone();
        call.at = call.transport.now();
        let judge = ResponseJudge::new(Purpose::Other, &call);
        match call.send(request, &judge).await {
            Err(error) if !is_over(&error) => Err(error.context("canceling the prediction failed")),
            _ => Ok(()),
        }
    }

    /// Cancels the prediction as [`cancel`](Self::cancel) does. If the future is dropped, it
    /// continues in the background for at most 2 s.
    pub(crate) fn canceling(&self) -> DetachOnDrop<Result<()>> {
        let handle = self.clone();
        let transport = Arc::clone(&self.call.transport);
        DetachOnDrop::new(transport, Box::pin(async move { handle.cancel().await }))
    }

    /// Sends one cancel request in the background.
    pub(crate) fn cancel_unwatched(&self) {
        let handle = self.clone();
        let task = Box::pin(async move { handle.cancel_briefly().await });
        self.call.transport.detach(task);
    }

    /// Waits for one of the client's permits for background cancels, and then sends one request
    /// that takes at most 2 s.
    ///
    /// The wait for a permit does not count towards the 2 s; otherwise the last of many requests
    /// would never be sent. It is limited nevertheless, because each request before it takes at
    /// most 2 s.
    pub(crate) async fn cancel_briefly(&self) {
        let _permit = self.settings.cancels.acquire().await;
        let mut request = self.post();
        request.extensions_mut().insert(self.call.timeouts);
        request.extensions_mut().insert(ReplayStale);
        let transport = &*self.call.transport;
        let sent = transport.send(request);
        let told = Box::pin(async move {
            if let Ok(response) = sent.await {
                // The body is read to its end, so that the connection can be reused.
                let timeouts = &self.call.timeouts;
                drop(response.into_body().read_error(transport, timeouts).await);
            }
        });
        // There is no caller to report the outcome to.
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
        // The stream's URL is a secret: anyone who has it can read the response.
        f.debug_struct("PredictionHandle")
            .field("get", &self.get)
            .finish_non_exhaustive()
    }
}

/// Returns the cancel URL of a prediction whose id is invalid, if it has the form of such a URL and
/// so cannot have other effects.
fn cancel_of_any(
    settings: &PredictionSettings,
    call: &Call,
    prediction: &Prediction,
) -> Option<Uri> {
    let named = prediction.urls.cancel.as_deref()?;
    let uri = settings.trust.check("cancel URL", named).ok()?;
    let (_, id) = uri.path().strip_suffix("/cancel")?.rsplit_once('/')?;
    let path = format!("{}/cancel", prediction_path(id).ok()?);
    let own = url(call, &path).ok()?;
    is_own(&uri, &own, &path).then_some(uri)
}

/// Returns true if a URL from the service equals the one built here, or has the same path at one of
/// the service's hosts. The latter occurs if the base URL is that of a gateway.
fn is_own(url: &Uri, own: &Uri, path: &str) -> bool {
    let is_documented = url.path().strip_prefix("/v1/") == Some(path) && url.query().is_none();
    url == own || is_documented && Trust::is_replicates(url)
}

/// Returns true if a cancel was refused because the prediction has ended or does not exist.
fn is_over(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    matches!(status, Some(404 | 409))
}

/// Returns an error for an HTML page or an empty response in place of a stream.
fn check_stream(started: Started) -> Result<Body> {
    let content_type = started.meta.headers.get(CONTENT_TYPE);
    let content_type = content_type.map(|value| value.as_bytes().to_ascii_lowercase());
    let is_page = content_type.is_some_and(|value| value.starts_with(b"text/html"));
    if is_page || matches!(started.meta.status.as_u16(), 204 | 205) {
        let message = "invalid response from replicate: expected an event stream";
        let error = Error::protocol(message);
        return Err(error.with_head(started.meta.status, started.meta.headers));
    }
    Ok(started.body)
}

/// Returns the path of a prediction if the id is valid. The service's ids have 26 letters and
/// digits.
pub(crate) fn prediction_path(id: &str) -> Result<String> {
    if is_word(id) && id.len() <= 128 {
        return Ok(format!("predictions/{id}"));
    }
    Err(Error::config(
        "invalid prediction id: expected letters and digits",
    ))
}
