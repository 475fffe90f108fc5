//! One turn of an agent at the service: its connection, and what can be asked of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode, header::UPGRADE};
use inferstream_client::{DetachOnDrop, Redact, briefly, detach, within};
use inferstream_core::{
    Body, BoxFuture, ChatRequest, Error, ErrorKind, Phase, Result, RetryPolicy, Transport,
    protocol::Started,
};

use super::{
    address::Address,
    encode,
    socket::{Handshake, Received, Socket},
    wire::Told,
};
use crate::playground::{requests::Requests, session::Lease};

/// The longest that another connection may take until the service has switched protocols.
const REOPEN: Duration = Duration::from_secs(10);

/// How long a service may be silent that is asked whether a turn runs: some versions of the agent
/// say nothing where none does.
const PROBE: Duration = Duration::from_secs(5);

/// How long it may be silent where it said that the turn has been asked for and is about to begin.
const PENDING: Duration = Duration::from_secs(60);

/// One turn.
pub(super) struct Link {
    requests: Requests,
    /// The request, without what it says.
    asked: ChatRequest,
    /// What the agent's model is set to.
    model: String,
    /// The name of the turn.
    pub(super) id: String,
    address: Address,
    state: Mutex<State>,
}

struct State {
    /// What must not stand in an error: the prompt, the address, settings, and the session's cookies.
    redact: Redact,
    /// `None` before there is one, and once it is lost or let go of.
    socket: Option<Socket>,
    /// A message had invalid UTF-8, which was replaced.
    has_replaced: bool,
    stage: Stage,
}

/// How far the turn is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// The agent works, or is about to.
    Running,
    /// It has no more work, as far as this side knows.
    Settled,
    /// It said that this was all, or was told to stop.
    Ended,
}

impl Link {
    /// Creates a link to an agent of its own, which nobody else knows.
    ///
    /// # Errors
    ///
    /// `Config` for a header that is the handshake's.
    pub(super) fn new(
        requests: Requests,
        model: &str,
        request: &ChatRequest,
        id: String,
    ) -> Result<Self> {
        check(&requests, request)?;
        let address = Address::new(requests.base())?;
        let mut asked = ChatRequest::default();
        asked.headers.clone_from(&request.headers);
        asked.timeouts = request.timeouts;
        asked.retry = request.retry;
        let state = State {
            redact: address.redact(request),
            socket: None,
            has_replaced: false,
            stage: Stage::Running,
        };
        Ok(Self {
            requests,
            asked,
            model: model.to_owned(),
            id,
            address,
            state: Mutex::new(state),
        })
    }

    /// Opens the connection and sends what makes the agent answer.
    ///
    /// A message that has not left when the future is dropped is none to the service.
    pub(super) async fn begin(&self, messages: Vec<String>) -> Result<(Started, Lease)> {
        let (started, mut socket, lease) = self.open(&self.asked).await?;
        for message in messages {
            socket.push(message);
        }
        self.flush_since(started.at, &mut socket).await?;
        self.state().socket = Some(socket);
        Ok((started, lease))
    }

    /// Opens a connection for a call of one of the agent's methods.
    pub(super) async fn call(&self, call: String) -> Result<Socket> {
        let (started, mut socket, _) = self.open(&self.asked).await?;
        socket.push(call);
        self.flush_since(started.at, &mut socket).await?;
        Ok(socket)
    }

    async fn open(&self, asked: &ChatRequest) -> Result<(Started, Socket, Lease)> {
        let handshake = Handshake::new();
        let mut request = Request::new(Bytes::new());
        request.uri_mut().clone_from(&self.address.uri);
        *request.headers_mut() = handshake.headers(&self.address.origin);
        let redact = self.redact();
        let (mut started, lease, redact) = self.requests.send(request, asked, &redact).await?;
        // The answer may have set cookies.
        self.state().redact = redact;
        if started.meta.status != StatusCode::SWITCHING_PROTOCOLS {
            let status = started.meta.status.as_u16();
            let message = format!("the playground answered {status} where a WebSocket should be");
            let error = Error::protocol(message);
            return Err(error.with_head(started.meta.status, started.meta.headers));
        }
        handshake.check(&started.meta.headers)?;
        let body = std::mem::replace(&mut started.body, Body::from(""));
        Ok((started, Socket::new(body), lease))
    }

    async fn reopen(&self) -> Result<Socket> {
        let mut asked = self.asked.clone();
        asked.retry = Some(RetryPolicy::never());
        let opened = Box::pin(self.open(&asked));
        let (_, socket, _) = within(&**self.transport(), REOPEN, opened).await??;
        Ok(socket)
    }

    async fn flush(&self, socket: &mut Socket) -> Result<()> {
        let limit = self.requests.timeouts(&self.asked).write;
        socket.flush(&**self.transport(), limit).await
    }

    /// Sends what waits, within what is left of the whole request's time.
    async fn flush_since(&self, at: Duration, socket: &mut Socket) -> Result<()> {
        let transport = &**self.transport();
        let Some(total) = self.requests.timeouts(&self.asked).total else {
            return self.flush(socket).await;
        };
        let gone = transport.now().saturating_sub(at);
        let flushed = Box::pin(self.flush(socket));
        match within(transport, total.saturating_sub(gone), flushed).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::timeout(Phase::Total, total)),
        }
    }

    /// Polls for what the service says next; `None` is the connection's end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Received>>> {
        let mut state = self.state();
        let Some(socket) = &mut state.socket else {
            return Poll::Ready(None);
        };
        let polled = socket.poll_next(cx);
        let is_lost = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(error))) => {
                matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Truncated)
            }
            _ => false,
        };
        if is_lost {
            state.socket = None;
        }
        polled
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Notes that invalid UTF-8 in a message was replaced.
    pub(super) fn note_replaced(&self) {
        self.state().has_replaced = true;
    }

    /// Returns true if invalid UTF-8 in a message was replaced.
    pub(super) fn has_replaced(&self) -> bool {
        self.state().has_replaced
    }

    /// Notes that the turn has no more work.
    pub(super) fn settle(&self) {
        let stage = &mut self.state().stage;
        *stage = (*stage).max(Stage::Settled);
    }

    /// Notes that the turn has ended.
    pub(super) fn end(&self) {
        self.state().stage = Stage::Ended;
    }

    /// Returns what must not stand in an error.
    pub(super) fn redact(&self) -> Redact {
        self.state().redact.clone()
    }

    /// Makes an error of what the agent says of its settings.
    pub(super) fn refused(&self, words: &str) -> Error {
        let words = self.redact().line(words);
        let message = format!("the playground refused the request's settings: {words}");
        Error::new(ErrorKind::InvalidRequest, message).with_provider_message(words)
    }

    /// Takes the turn up again on another connection; it is canceled if nobody waits for that.
    pub(super) fn resume(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let mut guard = Guard {
            link: Arc::clone(self),
            is_armed: true,
        };
        Box::pin(async move {
            let resumed = guard.link.take_up().await;
            guard.disarm();
            resumed
        })
    }

    async fn take_up(&self) -> Result<()> {
        let mut socket = self.reopen().await?;
        socket.push(encode::RESUME.to_owned());
        self.flush(&mut socket).await?;
        let mut limit = PROBE;
        // Silence is an answer too.
        while let Ok(runs) = within(&**self.transport(), limit, self.probe(&mut socket)).await {
            match runs? {
                Told::Pending => limit = PENDING,
                _ => break,
            }
        }
        // A turn that has ended meanwhile is sent again to whoever takes it for one that runs.
        socket.push(encode::about("cf_agent_stream_resume_ack", &self.id));
        self.flush(&mut socket).await?;
        self.state().socket = Some(socket);
        Ok(())
    }

    /// Waits for what the service says of whether the turn runs.
    fn probe<'a>(&'a self, socket: &'a mut Socket) -> BoxFuture<'a, Result<Told<'static>>> {
        Box::pin(async move {
            loop {
                let Some(received) = socket.next().await.transpose()? else {
                    let message = "the playground closed the connection";
                    return Err(Error::new(ErrorKind::Disconnected, message));
                };
                let Received::Message(message) = received else {
                    continue;
                };
                match Told::read(&String::from_utf8_lossy(&message), &self.id) {
                    Told::Resuming => return Ok(Told::Resuming),
                    Told::Idle => return Ok(Told::Idle),
                    Told::Pending => return Ok(Told::Pending),
                    Told::Refused(words) => return Err(self.refused(&words)),
                    // The refusal itself was lost with the connection.
                    Told::Model(model) if model != self.model => {
                        return Err(self.refused("it has another model"));
                    }
                    // What comes before the turn is taken up is sent again behind that.
                    _ => {}
                }
            }
        })
    }

    /// Asks the agent to stop; one that has come to its end needs no stopping. It runs on where nobody
    /// waits.
    pub(super) fn cancel(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let (socket, stage) = self.leave();
        if stage != Stage::Running {
            self.part_unwatched(socket);
            return Box::pin(std::future::ready(Ok(())));
        }
        let link = Arc::clone(self);
        let told = Box::pin(async move {
            let told = link.stop(socket).await;
            told.map_err(|error| error.context("the answer was not canceled"))
        });
        Box::pin(DetachOnDrop::new(Arc::clone(self.transport()), told))
    }

    /// Closes the connection, if there is one, and cancels what runs, with nobody waiting for it.
    pub(super) fn let_go(self: &Arc<Self>) {
        if self.state().socket.is_none() {
            // It may be taken up again.
            return;
        }
        let (socket, stage) = self.leave();
        if stage != Stage::Running {
            self.part_unwatched(socket);
            return;
        }
        let link = Arc::clone(self);
        let told = Box::pin(async move { link.stop(socket).await });
        detach(self.transport(), told);
    }

    /// Takes the connection, and leaves a turn that has ended.
    fn leave(&self) -> (Option<Socket>, Stage) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.stage, Stage::Ended);
        (state.socket.take(), before)
    }

    /// Tells the agent to stop, on another connection if its own has ended.
    async fn stop(&self, socket: Option<Socket>) -> Result<()> {
        let cancel = || encode::about("cf_agent_chat_request_cancel", &self.id);
        if let Some(mut socket) = socket {
            if socket.is_open().await && self.part(socket, Some(cancel())).await.is_ok() {
                return Ok(());
            }
        }
        let socket = self.reopen().await?;
        self.part(socket, Some(cancel())).await
    }

    fn part_unwatched(self: &Arc<Self>, socket: Option<Socket>) {
        if let Some(socket) = socket {
            let link = Arc::clone(self);
            let parting = Box::pin(async move { link.part(socket, None).await });
            detach(self.transport(), parting);
        }
    }

    /// Says goodbye, and waits until the other side has heard it, for 2 s at most: what nobody has
    /// read when a connection closes may take with it what was sent.
    ///
    /// # Errors
    ///
    /// Where the other side cannot have heard it.
    async fn part(&self, mut socket: Socket, last: Option<String>) -> Result<()> {
        if let Some(message) = last {
            socket.push(message);
        }
        socket.close();
        self.flush(&mut socket).await?;
        let rest = Box::pin(async move {
            while let Some(received) = socket.next().await {
                received?;
            }
            Ok(())
        });
        briefly(&**self.transport(), rest).await.unwrap_or(Ok(()))
    }

    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        self.requests.transport()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address is a secret: who has it can read the conversation.
        f.debug_struct("Link")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Cancels a turn unless it was taken up again, or could not be.
struct Guard {
    link: Arc<Link>,
    is_armed: bool,
}

impl Guard {
    fn disarm(&mut self) {
        self.is_armed = false;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_armed {
            // It runs on by itself.
            drop(self.link.cancel());
        }
    }
}

/// Refuses headers that the handshake writes.
pub(super) fn check(requests: &Requests, request: &ChatRequest) -> Result<()> {
    let mut names = requests.headers().keys().chain(request.headers.keys());
    let is_ours =
        |name: &&HeaderName| **name == UPGRADE || name.as_str().starts_with("sec-websocket-");
    match names.find(is_ours) {
        None => Ok(()),
        Some(name) => Err(Error::config(format!(
            "the header `{name}` cannot be set by hand; leave it out"
        ))),
    }
}
