//! One request on one HTTP/1.1 connection, up to the response headers, with the write and head
//! timeouts.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::UPGRADE};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use inferstream_core::{Error, Phase, Result, Sent, Timeouts};
use tokio::{
    runtime::{Handle, Id},
    time::Instant,
};

use crate::{
    connect::Route,
    error::{self, Peer, Role},
    relay::Relay,
    watch::{BoxIo, Seen, Watched},
};

/// The maximum size of the response headers, and of the data that is read ahead of the caller.
///
/// Services send a few KiB, with cookies perhaps 10 KiB; hyper's own limit is 400 KiB.
pub(crate) const MAX_HEAD: usize = 64 << 10;

/// An HTTP/1.1 connection that makes progress only while it is polled. It has no background task,
/// so dropping it closes the socket at once, and data needs no wake-up through a channel.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    asks_to_switch: bool,
    /// Wakes the task for the driver and what is polled with it.
    relay: Relay,
    seen: Arc<Seen>,
    reused: bool,
    /// The runtime that drives the socket.
    runtime: Option<Id>,
}

/// The part of a connection that reads and writes.
#[expect(
    clippy::large_enum_variant,
    reason = "it is open until its response ends"
)]
enum Driver {
    Open(http1::Connection<TokioIo<Watched>, Full<Bytes>>),
    /// The socket and the bytes already read from it, after a switch to another protocol.
    Switched(Watched, Bytes),
    /// The connection has ended. Dropping hyper's part has woken the pending response.
    Ended,
}

impl Driver {
    /// Reads and writes as much as the socket allows.
    fn drive(&mut self, cx: &mut Context<'_>, asks_to_switch: bool) {
        let Self::Open(hyper) = self else {
            return;
        };
        match Pin::new(hyper).poll(cx) {
            Poll::Pending => return,
            // hyper reports the result through the response or its body, so it is not needed here.
            Poll::Ready(outcome) => drop(outcome),
        }
        if let (Self::Open(hyper), true) = (mem::replace(self, Self::Ended), asks_to_switch) {
            let parts = hyper.into_parts();
            *self = Self::Switched(parts.io.into_inner(), parts.read_buf);
        }
    }
}

impl Connection {
    /// Starts an HTTP/1.1 connection on a fresh socket.
    pub(crate) async fn new(io: BoxIo, peer: &Peer<'_>) -> Result<Self> {
        let (io, seen) = Watched::new(io);
        let mut builder = http1::Builder::new();
        let handshake = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(io));
        let (sender, hyper) = handshake.await.map_err(|cause| peer.unreachable(cause))?;
        Ok(Self {
            sender,
            driver: Driver::Open(hyper),
            asks_to_switch: false,
            relay: Relay::new(),
            seen,
            reused: false,
            runtime: Handle::try_current().ok().map(|handle| handle.id()),
        })
    }

    /// Polls the connection, and then what waits for it, until both wait for the network.
    pub(crate) fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let asks_to_switch = self.asks_to_switch;
        let Self { driver, relay, .. } = self;
        relay.poll(cx, |cx| {
            driver.drive(cx, asks_to_switch);
            poll(cx)
        })
    }

    /// Returns the socket and the bytes already read from it, after a 101 response.
    pub(crate) fn switch(mut self) -> Option<(Watched, Bytes)> {
        let mut cx = Context::from_waker(Waker::noop());
        self.driver.drive(&mut cx, self.asks_to_switch);
        match self.driver {
            Driver::Switched(io, read) => Some((io, read)),
            Driver::Open(_) | Driver::Ended => None,
        }
    }

    /// Polls the socket and returns true if the connection can take another request.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.driver.drive(&mut cx, self.asks_to_switch);
        if !self.sender.is_ready() {
            // The first poll consumed the end of the response; the second one accepts the next
            // request.
            self.driver.drive(&mut cx, self.asks_to_switch);
        }
        matches!(self.driver, Driver::Open(_)) && self.sender.is_ready()
    }

    pub(crate) fn runtime(&self) -> Option<Id> {
        self.runtime
    }

    pub(crate) fn mark_reused(&mut self) {
        self.reused = true;
    }

    /// Sends the request and waits for the response headers.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        route: &Route,
        limits: &Timeouts,
    ) -> Result<Response<Incoming>, Failure> {
        match self.wait(request, limits).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failed)) => Err(self.failure(failed, &route.hop())),
            Err((phase, limit)) => {
                let sent = match phase {
                    _ if self.seen.counts().written == 0 => Sent::No,
                    Phase::Head => Sent::Yes,
                    _ => Sent::Maybe,
                };
                let error = Error::timeout(phase, limit)
                    .context(route.peer())
                    .with_sent(sent);
                Err(Failure {
                    error,
                    cause: Cause::Other,
                })
            }
        }
    }

    /// Drives the connection until the headers arrive, the exchange fails or a timeout expires.
    async fn wait(
        &mut self,
        request: Request<Full<Bytes>>,
        limits: &Timeouts,
    ) -> Result<Result<Response<Incoming>, SendError>, (Phase, Duration)> {
        self.seen.reset();
        self.asks_to_switch = request.headers().contains_key(UPGRADE);
        let mut response = pin!(self.sender.try_send_request(request));
        let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
        poll_fn(|cx| {
            loop {
                // The socket is polled first, so that headers that arrived while the process was
                // suspended are read, although the timeout has passed.
                let polled = self.poll_with(cx, |cx| response.as_mut().poll(cx));
                if let Poll::Ready(response) = polled {
                    return Poll::Ready(Ok(response));
                }
                let Some((limit, deadline)) = running_limit(&self.seen, limits) else {
                    return Poll::Pending;
                };
                // A timer alone is not enough: a flood of bytes uses up tokio's cooperative
                // budget, and then no timer fires.
                if deadline <= Instant::now() {
                    return Poll::Ready(Err(limit));
                }
                if timer.deadline() != deadline {
                    timer.as_mut().reset(deadline);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn failure(&self, mut failed: SendError, peer: &Peer<'_>) -> Failure {
        let (read, written) = {
            let counts = self.seen.counts();
            (counts.read, counts.written)
        };
        let unsent = failed.take_message().is_some() || written == 0;
        let sent = if unsent { Sent::No } else { Sent::Maybe };
        let hyper = failed.into_error();
        let cause = match error::is_lost(&hyper) {
            true if unsent => Cause::Unsent,
            true if self.reused && read == 0 => Cause::Stale,
            _ => Cause::Other,
        };
        let first = self.seen.first();
        let error = match peer.role {
            Role::Origin => error::before_head(peer, hyper, sent, &first),
            Role::Proxy => error::before_head_of_proxy(peer, hyper, sent, &first),
        };
        Failure { error, cause }
    }
}

/// A failed request. It carries the request back if hyper did not start to send it.
type SendError = TrySendError<Request<Full<Bytes>>>;

/// Returns the timeout that currently applies and its deadline: `write` while the peer accepts no
/// bytes, otherwise `head`. Both count from the last byte written.
fn running_limit(seen: &Seen, limits: &Timeouts) -> Option<((Phase, Duration), Instant)> {
    let counts = seen.counts();
    let (phase, limit) = if counts.blocked {
        (Phase::Write, limits.write?)
    } else {
        (Phase::Head, limits.head?)
    };
    Some(((phase, limit), counts.progress.checked_add(limit)?))
}

/// A failed exchange, and whether it may be tried on another connection.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No byte of the request was sent.
    Unsent,
    /// A reused connection closed before the first byte of the response.
    Stale,
    Other,
}
