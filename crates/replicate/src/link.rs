//! One prediction at the service: its stream, its document, its end.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Uri,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use inferstream_core::{
    Body, BoxFuture, Error, ErrorKind, Phase, Result, RetryPolicy, Started, Transport,
};

use crate::{
    api::{Api, Call, MAX_DOCUMENT},
    error::{Purpose, SOON},
    target::is_word,
    wire::{Prediction, Urls},
};

/// The longest that what nobody waits for may take.
const UNWATCHED: Duration = Duration::from_secs(2);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One prediction at the service: what can be asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) api: Arc<Api>,
    pub(crate) call: Call,
    pub(crate) get: Uri,
    pub(crate) stream: Option<Uri>,
    /// `None` where the service named a host that may not see the key.
    pub(crate) cancel: Option<Uri>,
}

impl Link {
    /// Finds out where a prediction is asked for and canceled: as the service says where the key may
    /// go there, else as its documents say. Returns a warning too, if it may not be canceled.
    ///
    /// # Errors
    ///
    /// `Protocol` for an id that can stand in no path.
    pub(crate) fn new(
        api: &Arc<Api>,
        call: Call,
        prediction: &Prediction,
    ) -> Result<(Self, Option<String>)> {
        let not_an_id = |_| Error::protocol("replicate gave the prediction an id that is none");
        let base = prediction_path(&prediction.id).map_err(not_an_id)?;
        let own = |path: &str| api.url(&format!("{base}{path}"));
        let Urls { get, cancel, .. } = &prediction.urls;
        let get = get.as_deref().map(|url| api.trust.check("prediction", url));
        let get = match get {
            Some(Ok(url)) => url,
            _ => own("")?,
        };
        let cancel = cancel.as_deref();
        let cancel = cancel.map(|url| api.trust.check("URL to cancel at", url));
        let (cancel, warning) = match cancel {
            None => (Some(own("/cancel")?), None),
            Some(Ok(url)) => (Some(url), None),
            Some(Err(error)) => (None, Some(format!("{error}; it will not be called"))),
        };
        let link = Self {
            api: Arc::clone(api),
            call,
            get,
            stream: None,
            cancel,
        };
        Ok((link, warning))
    }

    /// Opens the stream for the first time.
    pub(crate) async fn open(&self, url: Uri) -> Result<Body> {
        let request = self.stream_request(url, None);
        let retry = &self.call.retry;
        let started = self.api.send(&self.call, retry, Purpose::Stream, request);
        let started = started.await.map_err(|error| {
            // The wait before the next try was ours.
            let asked = error.retry_after().filter(|wait| *wait != SOON);
            error
                .with_retry_after(asked)
                .context("the prediction's stream")
        });
        check_stream(started?)
    }

    /// Takes the stream up again, after a wait, once.
    pub(crate) fn reopen(
        &self,
        url: Uri,
        last_id: Option<HeaderValue>,
        wait: Duration,
    ) -> BoxFuture<'static, Result<Body>> {
        let link = self.clone();
        Box::pin(async move {
            link.api.transport.sleep(wait).await;
            let request = link.stream_request(url, last_id);
            let once = RetryPolicy::never();
            let sent = link.api.send(&link.call, &once, Purpose::Other, request);
            check_stream(sent.await?)
        })
    }

    fn stream_request(&self, url: Uri, last_id: Option<HeaderValue>) -> Request<Bytes> {
        let mut request = self.api.request(Method::GET, url);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(id) = last_id {
            headers.insert(LAST_EVENT_ID, id);
        }
        request
    }

    /// Asks for the prediction, after a wait.
    pub(crate) fn ask(&self, wait: Duration) -> BoxFuture<'static, Result<Body>> {
        let link = self.clone();
        Box::pin(async move {
            link.api.transport.sleep(wait).await;
            let started = link.api.get(&link.call, link.get.clone()).await?;
            Ok(started.body)
        })
    }

    /// Asks for the prediction though the stream has ended: all of it, within a limit.
    pub(crate) fn ask_within(
        &self,
        limit: Duration,
        wait: Duration,
    ) -> BoxFuture<'static, Result<Body>> {
        let link = self.clone();
        Box::pin(async move {
            let transport = &*link.api.transport;
            let asked = Box::pin(async {
                transport.sleep(wait).await;
                let mut started = link.api.get(&link.call, link.get.clone()).await?;
                started.document(MAX_DOCUMENT).await.map(Body::from)
            });
            within(transport, limit, asked).await?
        })
    }

    /// Asks the service to cancel the prediction; one that has ended needs no canceling.
    pub(crate) async fn cancel(&self) -> Result<()> {
        let Some(url) = self.cancel.clone() else {
            return Err(Error::new(
                ErrorKind::UntrustedHost,
                "replicate's URL to cancel at is on a host that may not see the key: it was not called",
            ));
        };
        let request = self.api.request(Method::POST, url);
        let retry = &self.call.retry;
        let call = Call {
            at: self.api.transport.now(),
            ..self.call.clone()
        };
        let sent = self.api.send(&call, retry, Purpose::Other, request).await;
        match sent {
            Err(error) if !is_over(&error) => Err(error.context("the prediction was not canceled")),
            _ => Ok(()),
        }
    }

    /// Lets one request to cancel run on by itself.
    pub(crate) fn cancel_unwatched(&self) {
        let link = self.clone();
        let task = Box::pin(async move { link.cancel_briefly().await });
        self.api.transport.detach(task);
    }

    /// Sends one request to cancel, for at most 2 s.
    pub(crate) async fn cancel_briefly(&self) {
        let Some(url) = self.cancel.clone() else {
            return;
        };
        let mut request = self.api.request(Method::POST, url);
        request.extensions_mut().insert(self.call.timeouts);
        let transport = &*self.api.transport;
        // Nobody is there to be told.
        drop(briefly(transport, transport.send(request)).await);
    }
}

/// Returns true for a refusal to cancel what has ended, or is gone.
fn is_over(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    matches!(status, Some(404 | 409))
}

/// Waits for a future, but not longer than for what nobody waits for.
pub(crate) async fn briefly<T>(transport: &dyn Transport, future: BoxFuture<'_, T>) -> Result<T> {
    within(transport, UNWATCHED, future).await
}

async fn within<T>(
    transport: &dyn Transport,
    limit: Duration,
    mut future: BoxFuture<'_, T>,
) -> Result<T> {
    let mut sleep = transport.sleep(limit);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        let late = || Error::timeout(Phase::Total, limit);
        sleep.as_mut().poll(cx).map(|()| Err(late()))
    })
    .await
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

/// Returns a prediction's path, if the id can stand in one.
pub(crate) fn prediction_path(id: &str) -> Result<String> {
    if is_word(id) {
        return Ok(format!("predictions/{id}"));
    }
    Err(Error::config(
        "the prediction's id is none: it is letters and digits",
    ))
}
