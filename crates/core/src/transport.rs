//! The traits that reach the network and the clock, and the body of a response.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_core::Stream;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    error::{Error, Result},
    timeouts::Timeouts,
};

/// A boxed future that can be spawned.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A clock with a sleep function.
///
/// Every [`Transport`] is also a timer, and so is an `Arc` of one. A timer suffices if nothing is
/// sent, for example to limit a wait.
///
/// It has no default methods, because the clocks of `std` panic on `wasm32-unknown-unknown`.
pub trait Timer: fmt::Debug + Send + Sync + 'static {
    /// Returns the time since the timer's start, by a monotonic clock.
    ///
    /// Clones of a timer share the start. Times of different timers cannot be compared.
    fn now(&self) -> Duration;

    /// Waits. When the future completes, [`now`](Self::now) has advanced by at least the duration.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Returns the calendar time. It is compared with HTTP dates: those of cookies, and
    /// `Retry-After` in a response without `Date`.
    fn system_time(&self) -> SystemTime;
}

impl<T: Timer + ?Sized> Timer for Arc<T> {
    fn now(&self) -> Duration {
        (**self).now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        (**self).sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        (**self).system_time()
    }
}

/// A client that sends HTTP requests, with its clock and its background tasks.
///
/// `inferstream-transport` implements one on hyper. With your own transport you keep the retries,
/// the timeouts of streams and the end-of-stream rules of this crate.
///
/// A transport sends a request once. It does not follow redirects: they are the error `Redirect`. A
/// response of any other status is `Ok`; the protocol reads the body and decides.
///
/// Typed extensions of the request carry its settings: [`Timeouts`](crate::Timeouts), of which the
/// transport enforces `dns`, `connect`, `tls`, `write` and `head`; [`ReplayStale`]; and
/// [`Replays`].
///
/// The response to a request with the header `upgrade` may be 101 (RFC 9110, section 7.8): the body is
/// then the connection in both directions, [`Body::duplex`]. A transport that cannot do that returns
/// an error for such a request.
pub trait Transport: Timer {
    /// Sends the request and waits for the response's headers.
    ///
    /// # Errors
    ///
    /// `Config` (an invalid URL), `Dns`, `Connect`, `Tls`, `Proxy`, `Timeout`, `TooLarge` (the headers),
    /// `Protocol` (not HTTP, an encoded body), `Redirect` or `Disconnected`, with [`Error::sent`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection, or never opens it.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>>;

    /// Runs a task in the background, for example to drain a body or to cancel a response.
    // Not part of `Timer`: a background task always finishes something that was sent.
    fn detach(&self, task: BoxFuture<'static, ()>);

    /// Observes that a request failed and is sent again after `wait`; does nothing by default.
    ///
    /// [`RetryPolicy::run`](crate::RetryPolicy::run) calls it before each of its waits. Wrap a
    /// transport and implement this method to announce, log or count retries; a wrapper that does
    /// not forward it hides them from the transport inside. It must not block. A request that is
    /// replayed at once ([`ReplayStale`]) is not reported.
    fn on_retry(&self, error: &Error, wait: Duration) {
        let _ = (error, wait);
    }
}

/// A request extension that allows the transport to send the request on a *reused* connection, and
/// once more on a new one if the reused one is closed before the first byte of the response.
///
/// Servers close idle connections at any time, which a client notices only when it uses one; then
/// nothing shows whether the request was processed. A transport sends a request without the
/// extension on a new connection, where this cannot happen, and does not send it again.
///
/// A replay costs nothing of the client's [retry budget](crate::RetryPolicy#retry-budget): it is limited
/// to the connections that worked before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayStale;

/// A request extension that counts how often a transport has replayed the request.
///
/// Clones share the count. A transport calls [`add`](Self::add) when it replays a request because
/// of [`ReplayStale`]; the client adds the count to [`Meta::attempts`](crate::Meta::attempts).
#[derive(Clone, Debug, Default)]
pub struct Replays(Arc<AtomicU32>);

impl Replays {
    /// Counts one more replay.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of replays.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds the replays to the attempts of an error.
    #[must_use]
    pub fn add_to(&self, error: Error) -> Error {
        match self.count() {
            0 => error,
            count => {
                let attempts = error.attempts().saturating_add(count);
                error.with_attempts(attempts)
            }
        }
    }
}

/// A connection that has switched to another protocol: a body that can also send bytes.
pub trait Duplex: HttpBody<Data = Bytes, Error = Error> {
    /// Sends bytes from the front of `bytes` and removes them, until it is empty.
    ///
    /// # Errors
    ///
    /// `Disconnected` if the connection is lost.
    fn poll_send(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut Bytes)
    -> Poll<Result<()>>;
}

/// The body of a response: bytes as they arrive from the network.
///
/// Dropping it before its end closes the connection.
#[must_use = "a body does nothing unless polled"]
pub struct Body {
    inner: Inner,
}

enum Inner {
    OneWay(Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>),
    Duplex(Pin<Box<dyn Duplex + Send>>),
}

impl Body {
    /// Wraps a body.
    pub fn new(body: impl HttpBody<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        let inner = Inner::OneWay(Box::pin(body));
        Self { inner }
    }

    /// Wraps a connection that has switched to another protocol.
    pub fn duplex(connection: impl Duplex + Send + 'static) -> Self {
        let inner = Inner::Duplex(Box::pin(connection));
        Self { inner }
    }

    /// Sends bytes from the front of `bytes` and removes them, until it is empty.
    ///
    /// # Errors
    ///
    /// `Disconnected` if the connection is lost; `Protocol` if the body is not a duplex connection.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<()>> {
        match &mut self.inner {
            Inner::Duplex(connection) => connection.as_mut().poll_send(cx, bytes),
            Inner::OneWay(_) => Poll::Ready(Err(Error::protocol(
                "this body cannot send bytes: the connection has not switched protocols",
            ))),
        }
    }

    /// Polls for the next bytes; trailers and empty fragments are skipped.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        /// The number of empty fragments skipped per poll. An endless sequence of them would block
        /// the thread, so that no timeout could fire.
        const EMPTY: usize = 32;
        for _ in 0..EMPTY {
            match std::task::ready!(Pin::new(&mut *self).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    Ok(_) | Err(_) => {}
                },
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the body of an error response: at most 64 KiB, for at most 2 s or the timeout `idle`,
    /// whichever is less.
    ///
    /// Returns what was read so far, even if the connection breaks. The time counts as part of the
    /// attempt, so the timeout `total` includes it.
    pub async fn read_error(mut self, transport: &dyn Transport, timeouts: &Timeouts) -> Bytes {
        // Documented error bodies arrive together with their headers.
        const LIMIT: (usize, Duration) = (64 << 10, Duration::from_secs(2));
        let mut read = Vec::new();
        let limit = timeouts.idle.map_or(LIMIT.1, |idle| idle.min(LIMIT.1));
        let mut sleep = transport.sleep(limit);
        std::future::poll_fn(|cx| {
            while read.len() < LIMIT.0 {
                if sleep.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                match std::task::ready!(self.poll_data(cx)) {
                    Some(Ok(bytes)) => read.extend_from_slice(&bytes),
                    _ => return Poll::Ready(()),
                }
            }
            read.truncate(LIMIT.0);
            Poll::Ready(())
        })
        .await;
        Bytes::from(read)
    }

    /// Waits for the next bytes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn data(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        match &mut self.inner {
            Inner::OneWay(body) => body.as_mut().poll_frame(cx),
            Inner::Duplex(connection) => connection.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::OneWay(body) => body.is_end_stream(),
            Inner::Duplex(connection) => connection.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::OneWay(body) => body.size_hint(),
            Inner::Duplex(connection) => connection.size_hint(),
        }
    }
}

/// The bytes as they arrive, for [`sse::frames`](crate::sse::frames()) and other adaptors.
impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_data(cx)
    }
}

/// An empty body, for layers of `tower-http` that respond in place of a service.
impl Default for Body {
    fn default() -> Self {
        Self::from("")
    }
}

/// A body that is already complete.
impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(Whole(Some(bytes)))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

struct Whole(Option<Bytes>);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
