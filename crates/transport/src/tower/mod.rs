//! Adapters between this transport and `tower` services, so that layers can wrap the network.
//!
//! [`HttpTransport`] is a `tower` service. Wrap it in layers, then turn the result into a
//! [`Transport`] with [`ServiceTransport`]:
//!
//! ```
//! use inferstream_transport::{HttpTransport, tower::ServiceTransport};
//! use tower::ServiceBuilder;
//! use tower_http::trace::TraceLayer;
//!
//! # fn main() -> Result<(), inferstream_transport::Error> {
//! let service = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http())
//!     .concurrency_limit(8)
//!     .service(HttpTransport::new()?);
//! let transport = ServiceTransport::new(service);
//! # let _ = transport;
//! # Ok(())
//! # }
//! ```
//!
//! The innermost service may also be another HTTP client. The request body can be any type that is
//! `From<Bytes>`, such as [`Full`].
//!
//! # What a layer sees
//!
//! Layers see one request per attempt, with its typed extensions, and its response, whatever its
//! status. A layer that builds a new request must copy the extensions. Otherwise the request loses
//! its timeouts and [`ReplayStale`](crate::ReplayStale).
//!
//! A provider's retries happen above all layers. A layer that retries does so without the
//! provider's knowledge, and a repeated request may be billed twice.
//!
//! Layers see the API key; its header is marked sensitive, so that `tower-http` does not print it.
//! Layers also see the URL, and trace layers print it. With some services it contains the account
//! id.
//!
//! # Backpressure
//!
//! A request waits until the service is ready and is then sent on the same clone that reported
//! readiness. The wait counts towards [`Timeouts::total`] and has no other timeout. Each request
//! uses its own clone. Put a service that is not `Clone`, such as `tower`'s rate limit, below a
//! buffer: `.buffer(8).rate_limit(..)`. To box a service, use `BoxCloneSyncService`.
//!
//! `tower`'s concurrency limit covers only the wait for the response headers: the permit is
//! released when they arrive, while the body is still streaming. To limit concurrent streams, hold
//! the permit in the body. The wait for a permit is then part of the call and counts towards
//! [`Timeouts::head`]:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::BodyExt as _;
//! use inferstream_transport::{Body, HttpTransport, Transport as _, tower::ServiceTransport};
//! use tokio::sync::Semaphore;
//!
//! # fn main() -> Result<(), inferstream_transport::Error> {
//! let http = HttpTransport::new()?;
//! let places = Arc::new(Semaphore::new(8));
//! let service = tower::service_fn(move |request: Request<Bytes>| {
//!     let (http, places) = (http.clone(), Arc::clone(&places));
//!     async move {
//!         let place = places.acquire_owned().await;
//!         let response = http.send(request).await?;
//!         Ok::<_, inferstream_transport::Error>(response.map(|body| {
//!             Body::new(body.map_frame(move |frame| {
//!                 let _held = &place;
//!                 frame
//!             }))
//!         }))
//!     }
//! });
//! let transport = ServiceTransport::new(service);
//! # let _ = transport;
//! # Ok(())
//! # }
//! ```
//!
//! # Timeouts
//!
//! `HttpTransport` enforces its timeouts, including those of the request, as it does without
//! layers. Until the request reaches an `HttpTransport`, [`Timeouts::head`] is enforced here. It
//! covers everything from the call of the service to the response headers, such as queues and
//! connection setup. Once an `HttpTransport` has started with the request, its own timeouts apply
//! instead.
//!
//! A layer's timeout that fails with an error, such as `tower`'s, is reported as in the table
//! below, and the request is not sent again. A timeout layer that returns a response instead, as
//! `tower-http`'s does with a status of your choice, is indistinguishable from the service: the
//! provider retries such a status as usual.
//!
//! # Errors
//!
//! If the source chain of a layer's error contains an [`Error`], the caller gets that one, with its
//! kind and [`Error::sent`]. Any other error does not show whether the request was sent, so the
//! request is not repeated by default:
//!
//! | failure | kind | sent |
//! | --- | --- | --- |
//! | the service is not ready | `Disconnected` | no |
//! | hyper-util's pooled client has no connection | `Connect` | no |
//! | the call of the service failed | `Disconnected` | maybe |
//! | the body failed | `Truncated` | yes |
//!
//! The layer's error is the [`source`](std::error::Error::source). To report more, map the error in
//! a layer. In this example a rejected request may be sent again:
//!
//! ```
//! use inferstream_transport::{Error, ErrorKind, HttpTransport, Sent, tower::ServiceTransport};
//! use tower::{BoxError, ServiceBuilder, load_shed::error::Overloaded};
//!
//! # fn main() -> Result<(), Error> {
//! let service = ServiceBuilder::new()
//!     .map_err(|error: BoxError| match error.downcast::<Overloaded>() {
//!         Ok(_) => Error::new(ErrorKind::Overloaded, "too many concurrent requests")
//!             .with_sent(Sent::No)
//!             .into(),
//!         Err(error) => error,
//!     })
//!     .load_shed()
//!     .concurrency_limit(8)
//!     .service(HttpTransport::new()?);
//! let transport = ServiceTransport::new(service);
//! # let _ = transport;
//! # Ok(())
//! # }
//! ```
//!
//! # Requirements on a service
//!
//! - Send each request once.
//! - Do not follow redirects: a layer that follows one forwards the API key, perhaps to another
//!   host. `HttpTransport` returns redirects as errors, so such a layer has no effect there; do not
//!   use it on top of another client. A redirect that reaches this transport is an error.
//! - Limit the size of the response headers. `HttpTransport` does.
//! - Close the connection when the future or the body is dropped.
//!
//! `HttpTransport` requests no content encoding and rejects encoded responses, so a decompression
//! layer has no effect on it. On top of another client it works; the limit on the decompressed size
//! is then up to the reader of the events. A response that is still encoded here is an error.
//!
//! A connection that switches protocols (101) passes through layers that leave the body unchanged,
//! such as a concurrency limit. A layer that wraps the body, such as a trace, makes it one-way, so
//! a request to switch protocols is rejected with `Config` before anything is sent. A layer that
//! wraps it in a [`Body`] again, as the stream limit above does, cannot be detected: sending data
//! to the connection then fails.

mod taken;

use std::{
    any::{Any, TypeId},
    error::Error as StdError,
    fmt,
    future::{poll_fn, ready},
    io,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::{Buf as _, Bytes};
use http::{Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper_util::client::legacy;
use inferstream_core::{
    Body, BoxFuture, Error, ErrorKind, Result, Sent, Timeouts, Timer, Transport,
};
use pin_project::pin_project;
use tower_service::Service;

use self::taken::within;
use crate::{
    client::{HttpTransport, foreign_encoding},
    runtime::{self, Runtime},
};

#[doc(no_inline)]
pub use http_body_util::Full;

pub(crate) use self::taken::Taken;

/// A [`Transport`] on top of any service that maps requests to responses.
///
/// See the [module](self) for what this type enforces and what the service must do.
///
/// `B` is the type of the service's request body. It is inferred from the service.
#[must_use = "a transport does nothing unless something is sent"]
pub struct ServiceTransport<S, B = Full<Bytes>> {
    service: S,
    runtime: Arc<Runtime>,
    body: PhantomData<fn(B)>,
}

impl<S, B, R> ServiceTransport<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    /// Wraps a service. Every request is sent to a clone of it.
    pub fn new(service: S) -> Self {
        Self {
            service,
            runtime: Arc::default(),
            body: PhantomData,
        }
    }
}

impl<S, B, R> Transport for ServiceTransport<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: From<Bytes> + Send + 'static,
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn send(&self, mut request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let asks_to_switch = request.headers().contains_key(header::UPGRADE);
        if asks_to_switch && TypeId::of::<R>() != TypeId::of::<Body>() {
            let error = Error::config(
                "cannot switch protocols below a layer that wraps the response body: remove the \
                 layer for this request",
            );
            return Box::pin(ready(Err(error.with_sent(Sent::No))));
        }
        let limits: Timeouts = request.extensions().get().copied().unwrap_or_default();
        let taken = Taken::below(&request);
        request.extensions_mut().insert(taken.clone());

        let mut service = self.service.clone();
        let runtime = Arc::clone(&self.runtime);
        Box::pin(async move {
            runtime.enter()?;
            let is_ready = poll_fn(|cx| service.poll_ready(cx)).await;
            is_ready.map_err(|cause| not_ready(cause.into()))?;
            let call = service.call(request.map(B::from));
            // Drop the clone early: it may hold a permit that other requests wait for.
            drop(service);
            let response = async { call.await.map_err(|cause| call_failed(cause.into())) };
            accept(within(limits.head, &taken, response).await?, asks_to_switch)
        })
    }

    /// Spawns the task on the current runtime, or else on the one that last sent a request. Without
    /// either, the task is dropped.
    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.runtime.detach(task);
    }
}

impl<S, B> Timer for ServiceTransport<S, B>
where
    S: Send + Sync + 'static,
    B: 'static,
{
    fn now(&self) -> Duration {
        self.runtime.now()
    }

    /// Sleeps for the duration. Outside a tokio runtime it returns at once, because `send` fails
    /// there anyway.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        runtime::sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl<S: Clone, B> Clone for ServiceTransport<S, B> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            runtime: Arc::clone(&self.runtime),
            body: PhantomData,
        }
    }
}

impl<S, B> fmt::Debug for ServiceTransport<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceTransport").finish_non_exhaustive()
    }
}

/// Always returns ready: a request that finds no idle connection opens one.
///
/// The body type implements `http_body::Body`, as the layers of `tower-http` require.
impl Service<Request<Full<Bytes>>> for HttpTransport {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.send(request.map(bytes))
    }
}

/// Returns the data of a request body that is held in memory.
fn bytes(mut body: Full<Bytes>) -> Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    match http_body::Body::poll_frame(Pin::new(&mut body), &mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Rejects responses that no protocol handles, such as redirects, and wraps the body.
fn accept<R>(response: Response<R>, asks_to_switch: bool) -> Result<Response<Body>>
where
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    let refusal = if parts.status.is_redirection() {
        let message = format!(
            "the service responded with a redirect ({}), which this transport does not follow",
            parts.status
        );
        Error::new(ErrorKind::Redirect, message)
    } else if parts.status == StatusCode::SWITCHING_PROTOCOLS && !asks_to_switch {
        Error::protocol(
            "unexpected 101 response from the service: the request did not ask to switch protocols",
        )
    } else if let Some(encoding) = foreign_encoding(&parts.headers) {
        if !parts.status.is_success() {
            // The status alone is enough to report; the encoded body is dropped.
            return Ok(Response::from_parts(parts, Body::from("")));
        }
        Error::protocol(format!(
            "unexpected content encoding ({encoding}) in the response: add a decompression layer"
        ))
    } else {
        return Ok(Response::from_parts(parts, unwrapped(body)));
    };
    Err(refusal
        .with_sent(Sent::Yes)
        .with_head(parts.status, parts.headers))
}

/// Returns the body unchanged if it is a [`Body`], which may be a connection in both directions.
fn unwrapped<R>(body: R) -> Body
where
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    let mut body = Some(body);
    if let Some(ours) = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>() {
        return ours.take().unwrap_or_else(|| Body::from(""));
    }
    Body::new(Foreign { inner: body })
}

/// A service's response body, with its errors converted to [`Error`].
#[pin_project]
struct Foreign<R> {
    /// `None` once the body has ended or failed. Dropping the body closes the connection.
    #[pin]
    inner: Option<R>,
}

impl<R> http_body::Body for Foreign<R>
where
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = match std::task::ready!(inner.poll_frame(cx)) {
            Some(Ok(frame)) => {
                let whole = |mut data: R::Data| data.copy_to_bytes(data.remaining());
                return Poll::Ready(Some(Ok(frame.map_data(whole))));
            }
            Some(Err(cause)) => Some(Err(broken_off(cause.into()))),
            None => None,
        };
        this.inner.set(None);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

fn not_ready(cause: BoxError) -> Error {
    ours(&*cause).unwrap_or_else(|| {
        Error::new(
            ErrorKind::Disconnected,
            "the service is not ready: its `poll_ready` failed",
        )
        .with_sent(Sent::No)
        .with_source(cause)
    })
}

fn call_failed(cause: BoxError) -> Error {
    ours(&*cause).unwrap_or_else(|| {
        let error = if is_unconnected(&*cause) {
            Error::new(ErrorKind::Connect, "the service failed to connect").with_sent(Sent::No)
        } else {
            let message = "the service failed before the response headers";
            Error::new(ErrorKind::Disconnected, message).with_sent(Sent::Maybe)
        };
        error.with_source(cause)
    })
}

fn broken_off(cause: BoxError) -> Error {
    ours(&*cause).unwrap_or_else(|| {
        let message = "the service failed in the middle of the response";
        Error::new(ErrorKind::Truncated, message)
            .with_sent(Sent::Yes)
            .with_source(cause)
    })
}

/// Returns the first [`Error`] of this workspace in the source chain.
fn ours(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<Error>())
        .cloned()
}

/// Returns true if hyper-util's client failed before sending anything.
fn is_unconnected(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<legacy::Error>())
        .is_some_and(legacy::Error::is_connect)
}

/// Iterates over the error and its sources.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        // `io::Error::source` skips the error that it was created from, so take that one first.
        let made_of = error.downcast_ref().and_then(io::Error::get_ref);
        match made_of {
            Some(error) => Some(error),
            None => error.source(),
        }
    })
}
