//! One request on one connection into its answer's head, within the limits on writing and waiting.

use std::{
    future::{Future, poll_fn},
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
    watch::{BoxIo, Seen, Watched},
};

/// The most bytes that an answer's head may have, and that are read ahead of the caller.
///
/// Services send some KiB, with cookies perhaps 10; hyper's own limit is 400 KiB.
pub(crate) const MAX_HEAD: usize = 64 << 10;

/// An HTTP/1.1 connection that runs only while somebody polls it: no task of its own, so that
/// dropping it closes the socket at once, and bytes take no detour through a channel's wake-up.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Absent once it has ended: dropping it tells those who wait for it.
    driver: Option<http1::Connection<TokioIo<Watched>, Full<Bytes>>>,
    /// What is left of it where the request asked for another protocol: the socket and what was read
    /// of it already.
    left: Option<(Watched, Bytes)>,
    asks_to_switch: bool,
    seen: Arc<Seen>,
    reused: bool,
    /// The runtime that drives the socket.
    runtime: Option<Id>,
}

impl Connection {
    /// Takes a socket, on which nothing of HTTP was said yet.
    pub(crate) async fn new(io: BoxIo, peer: &Peer<'_>) -> Result<Self> {
        let (io, seen) = Watched::new(io);
        let mut builder = http1::Builder::new();
        let handshake = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(io));
        let (sender, driver) = handshake.await.map_err(|cause| peer.unreachable(cause))?;
        Ok(Self {
            sender,
            driver: Some(driver),
            left: None,
            asks_to_switch: false,
            seen,
            reused: false,
            runtime: Handle::try_current().ok().map(|handle| handle.id()),
        })
    }

    /// Lets bytes through in both directions.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        // How it ended is told to whoever waits for the answer or its body.
        if Pin::new(driver).poll(cx).is_pending() {
            return;
        }
        if let Some(driver) = self.driver.take().filter(|_| self.asks_to_switch) {
            let parts = driver.into_parts();
            self.left = Some((parts.io.into_inner(), parts.read_buf));
        }
    }

    /// Returns the socket, and what was read of it, behind a head that switches protocols.
    pub(crate) fn switch(mut self) -> Option<(Watched, Bytes)> {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.left
    }

    /// Returns true if another request may be sent, after a look at the socket.
    pub(crate) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx);
        if !self.sender.is_ready() {
            // The first look took the end of the answer in, this one opens for the next request.
            self.drive(&mut cx);
        }
        self.driver.is_some() && self.sender.is_ready()
    }

    pub(crate) fn runtime(&self) -> Option<Id> {
        self.runtime
    }

    pub(crate) fn mark_reused(&mut self) {
        self.reused = true;
    }

    /// Sends the request and waits for its answer's head.
    ///
    /// The connection comes back with it: the body needs it, and then the pool.
    pub(crate) async fn exchange(
        mut self,
        request: Request<Full<Bytes>>,
        route: &Route,
        limits: &Timeouts,
    ) -> Result<(Response<Incoming>, Self), Failure> {
        match self.wait(request, limits).await {
            Ok(Ok(response)) => Ok((response, self)),
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

    /// Runs the connection until there is a head, a failure or a limit that ran out.
    async fn wait(
        &mut self,
        request: Request<Full<Bytes>>,
        limits: &Timeouts,
    ) -> Result<Result<Response<Incoming>, Unanswered>, (Phase, Duration)> {
        self.seen.reset();
        self.asks_to_switch = request.headers().contains_key(UPGRADE);
        let mut answer = pin!(self.sender.try_send_request(request));
        let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
        poll_fn(|cx| {
            loop {
                // The clock is asked before the socket and not through the timer: an endless flood
                // of bytes uses up what tokio lets a task do, and then no timer fires.
                match running_limit(&self.seen, limits) {
                    Some((limit, deadline)) if deadline <= Instant::now() => {
                        return Poll::Ready(Err(limit));
                    }
                    _ => {}
                }
                self.drive(cx);
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(Ok(answer));
                }
                let Some((_, deadline)) = running_limit(&self.seen, limits) else {
                    return Poll::Pending;
                };
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

    fn failure(&self, mut failed: Unanswered, peer: &Peer<'_>) -> Failure {
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

/// A request without an answer, which comes back if it was not begun.
type Unanswered = TrySendError<Request<Full<Bytes>>>;

/// Returns the limit that runs at the moment and when it is up: the one on writing while the peer
/// takes no bytes, else the one on waiting, which counts from the last byte written.
fn running_limit(seen: &Seen, limits: &Timeouts) -> Option<((Phase, Duration), Instant)> {
    let counts = seen.counts();
    let (phase, limit) = if counts.blocked {
        (Phase::Write, limits.write?)
    } else {
        (Phase::Head, limits.head?)
    };
    Some(((phase, limit), counts.progress.checked_add(limit)?))
}

/// Why an exchange failed, as far as it decides about another connection.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No byte of the request left.
    Unsent,
    /// A connection that had served before died without a byte of an answer.
    Stale,
    Other,
}
