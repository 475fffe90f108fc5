//! Services of `tower` as transports, and our transport as such a service, so that layers fit
//! between a provider and the network.
//!
//! [`HttpTransport`] is a service, layers go around it, and [`ServiceTransport`] makes a
//! [`Transport`] of the whole:
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
//! The service at the bottom may be another client's, too. The bodies of requests are made of bytes
//! that are there: [`Full`], or whatever else the service takes that is `From<Bytes>`.
//!
//! # What a layer sees
//!
//! One request per attempt, with its typed extensions, and one answer, whatever its status.
//! A layer that makes another request must take the extensions along, or the limits of the request
//! and [`ReplayStale`](crate::ReplayStale) are lost.
//! The retries of a provider are above all layers; a layer that sends a request again does so behind
//! their back, and what it sends may be billed twice.
//!
//! Layers see the key: its header is marked sensitive, which `tower-http` heeds when it prints.
//! They see the URL too, and a trace prints it: with some services an account's number is in it.
//!
//! # Backpressure
//!
//! A request waits until the service is ready, and is then sent on the very clone that said so.
//! That wait counts towards [`Timeouts::total`] and has no other limit.
//! Each request has a clone of its own. A service that has none, such as `tower`'s limit on rates,
//! goes below a buffer: `.buffer(8).rate_limit(..)`. A boxed one is a `BoxCloneSyncService`.
//!
//! `tower`'s limit on concurrency, as `tower` has it for all services, is one on answers that are
//! waited for: a place is free again once the *head* has come, and the body streams on without one.
//! A limit on streams gives the place to the body; the wait for one is then part of the call, and
//! counts in [`Timeouts::head`]:
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
//! # Limits on time
//!
//! `HttpTransport` keeps its limits as it does without layers, those of the request among them.
//! Where the request reaches none, [`Timeouts::head`] is kept here, from the call of the service to
//! the head, with all that lies between: a queue, the connection, the writing.
//! That an `HttpTransport` has begun with the request is all that lifts it: from there on the limits
//! are its own.
//!
//! A limit of a layer's that is an error, as `tower`'s is, ends as in the table below, and nothing is
//! sent again. One that answers in the service's place, as `tower-http`'s does with a status of your
//! choice, is taken for the service, and what the provider repeats it repeats.
//!
//! # Errors
//!
//! An [`Error`] anywhere among the causes of a layer's error is what the caller gets, with its kind
//! and [`Error::sent`].
//! Anything else says nothing about what was sent, and so it is not sent again unasked:
//!
//! | what failed | kind | sent |
//! | --- | --- | --- |
//! | the service says that it is not ready | `Disconnected` | no |
//! | hyper-util's pooled client has no connection | `Connect` | no |
//! | the call of the service | `Disconnected` | maybe |
//! | the body | `Truncated` | yes |
//!
//! The layer's error is the [`source`](std::error::Error::source).
//! Who knows better says so in a layer: here a request that is turned away may be sent again.
//!
//! ```
//! use inferstream_transport::{Error, ErrorKind, HttpTransport, Sent, tower::ServiceTransport};
//! use tower::{BoxError, ServiceBuilder, load_shed::error::Overloaded};
//!
//! # fn main() -> Result<(), Error> {
//! let service = ServiceBuilder::new()
//!     .map_err(|error: BoxError| match error.downcast::<Overloaded>() {
//!         Ok(_) => Error::new(ErrorKind::Overloaded, "too many requests of our own")
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
//! # What a service must do by itself
//!
//! - Send a request once.
//! - Follow no redirect: a layer that follows one takes the key along, perhaps to another host.
//!   Around `HttpTransport` it has nothing to follow, as a redirect is an error there; above another
//!   client leave it out. A redirect that reaches this transport is an error as always.
//! - Bound the head's size. `HttpTransport` does.
//! - Close the connection when the future or the body is dropped.
//!
//! `HttpTransport` asks for no encoding and refuses one, so that a layer that unpacks has nothing to
//! do. Above another client it works, and how much comes out of a small answer is then up to what
//! reads the events. An encoded answer that nobody unpacked is an error.
//!
//! A connection that switches protocols (101) goes through layers that hand on the body as it is,
//! such as a limit on concurrency. Where one wraps it, such as a trace, the body is one-way, and a
//! request to switch is refused with `Config` before anything is sent. One that makes a [`Body`] of
//! it again, as the limit on streams above does, cannot be told from one that hands it on: what is
//! sent to the connection is an error then.

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
use tower_service::Service;

use self::taken::within;
use crate::{
    client::{HttpTransport, foreign_encoding},
    runtime::{self, Runtime},
};

#[doc(no_inline)]
pub use http_body_util::Full;

pub(crate) use self::taken::Taken;

/// A [`Transport`] of any service that turns requests into answers.
///
/// See the [module](self) for what it keeps and what the service must keep by itself.
///
/// `B` is the request's body as the service takes it, made of the bytes: the compiler finds it out
/// from the service.
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
    /// Wraps a service; every request goes to a clone of it.
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
                "a connection cannot switch protocols below a layer that wraps the answer's body",
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
            // It may hold a place in a queue that is for others.
            drop(service);
            let answer = async { call.await.map_err(|cause| not_answered(cause.into())) };
            accept(within(limits.head, &taken, answer).await?, asks_to_switch)
        })
    }

    /// Spawns the task, outside a tokio runtime on the one that sent last; without any it is dropped.
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

    /// Waits; without a tokio runtime it returns at once, because there `send` fails anyway.
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

/// Always ready: a request that finds no idle connection makes one.
///
/// The body is one of `http-body`, as the layers of `tower-http` want it.
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

/// Returns the bytes that such a body is made of.
fn bytes(mut body: Full<Bytes>) -> Bytes {
    let mut cx = Context::from_waker(Waker::noop());
    match http_body::Body::poll_frame(Pin::new(&mut body), &mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Refuses the heads that no protocol may see, and makes a body of the rest.
fn accept<R>(response: Response<R>, asks_to_switch: bool) -> Result<Response<Body>>
where
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    let refusal = if parts.status.is_redirection() {
        let message = format!(
            "the service answered with a redirect ({}), which is not followed",
            parts.status
        );
        Error::new(ErrorKind::Redirect, message)
    } else if parts.status == StatusCode::SWITCHING_PROTOCOLS && !asks_to_switch {
        Error::protocol("the service switched protocols unasked")
    } else if let Some(encoding) = foreign_encoding(&parts.headers) {
        if !parts.status.is_success() {
            // The status says enough, and the body nothing.
            return Ok(Response::from_parts(parts, Body::from("")));
        }
        Error::protocol(format!(
            "the answer is encoded ({encoding}), and no layer unpacked it"
        ))
    } else {
        return Ok(Response::from_parts(parts, unwrapped(body)));
    };
    Err(refusal
        .with_sent(Sent::Yes)
        .with_head(parts.status, parts.headers))
}

/// Returns the body itself if it is one of ours, which may be a connection in both directions.
fn unwrapped<R>(body: R) -> Body
where
    R: http_body::Body + Send + 'static,
    R::Error: Into<BoxError>,
{
    let mut body = Some(body);
    if let Some(ours) = (&mut body as &mut dyn Any).downcast_mut::<Option<Body>>() {
        return ours.take().unwrap_or_else(|| Body::from(""));
    }
    Body::new(Foreign {
        inner: body.map(Box::pin),
    })
}

/// The body of a service, with our errors in place of its own.
struct Foreign<R> {
    /// Absent once the body has ended or failed. Dropping it closes the connection.
    inner: Option<Pin<Box<R>>>,
}

impl<R> http_body::Body for Foreign<R>
where
    R: http_body::Body,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = match std::task::ready!(inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                let whole = |mut data: R::Data| data.copy_to_bytes(data.remaining());
                return Poll::Ready(Some(Ok(frame.map_data(whole))));
            }
            Some(Err(cause)) => Some(Err(broken_off(cause.into()))),
            None => None,
        };
        self.inner = None;
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
        Error::new(ErrorKind::Disconnected, "the service takes no requests")
            .with_sent(Sent::No)
            .with_source(cause)
    })
}

fn not_answered(cause: BoxError) -> Error {
    ours(&*cause).unwrap_or_else(|| {
        let error = if is_unconnected(&*cause) {
            Error::new(ErrorKind::Connect, "the service has no connection").with_sent(Sent::No)
        } else {
            let message = "the service failed before the answer's head came";
            Error::new(ErrorKind::Disconnected, message).with_sent(Sent::Maybe)
        };
        error.with_source(cause)
    })
}

fn broken_off(cause: BoxError) -> Error {
    ours(&*cause).unwrap_or_else(|| {
        let message = "the service failed in the middle of the answer";
        Error::new(ErrorKind::Truncated, message)
            .with_sent(Sent::Yes)
            .with_source(cause)
    })
}

/// Returns the first error among the causes that is one of ours.
fn ours(error: &(dyn StdError + 'static)) -> Option<Error> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<Error>())
        .cloned()
}

/// Returns true if hyper-util's client was asked and nothing was sent.
fn is_unconnected(error: &(dyn StdError + 'static)) -> bool {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<legacy::Error>())
        .is_some_and(legacy::Error::is_connect)
}

/// Returns the error and what lies below, one after the other.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        // The source of an I/O error is the source of what it was made of, which is passed over.
        let made_of = error.downcast_ref().and_then(io::Error::get_ref);
        match made_of {
            Some(error) => Some(error),
            None => error.source(),
        }
    })
}
