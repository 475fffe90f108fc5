//! The connection to an agent for one turn, with operations to resume and cancel the turn.

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

/// The timeout for reopening the connection, until the service has switched protocols.
const REOPEN: Duration = Duration::from_secs(10);

/// How long to wait for a reply to whether a turn is running: some versions of the agent do not reply
/// if none is.
const PROBE: Duration = Duration::from_secs(5);

/// The same, after the agent replied that the turn is about to start.
const PENDING: Duration = Duration::from_secs(60);

/// One turn of an agent.
pub(super) struct Link {
    requests: Requests,
    /// The request's headers, timeouts and retry policy, without its messages.
    asked: ChatRequest,
    /// The model that the agent is set to.
    model: String,
    /// The id of the turn.
    pub(super) id: String,
    address: Address,
    state: Mutex<State>,
}

struct State {
    /// The secrets that errors must not show: the prompt, the address, settings, and the session's
    /// cookies.
    redact: Redact,
    /// `None` before the connection is open, and after it was lost or closed.
    socket: Option<Socket>,
    /// Whether invalid UTF-8 in a message was replaced.
    has_replaced: bool,
    stage: Stage,
}

/// The progress of a turn.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// The agent works, or is about to.
    Running,
    /// The agent has finished, as far as is known here.
    Settled,
    /// The agent reported the end, or was told to stop.
    Ended,
}

impl Link {
    /// Creates a link to a new agent with a random name.
    ///
    /// # Errors
    ///
    /// Returns `Config` for a header that the handshake sets itself.
    pub(super) fn new(
        requests: Requests,
        model: &str,
        request: ChatRequest,
        id: String,
    ) -> Result<Self> {
        check(&requests, &request)?;
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

    /// Opens the connection and sends the messages that start the turn.
    ///
    /// If the future is dropped, messages that were not sent completely have no effect.
    pub(super) async fn begin(&self, messages: Vec<String>) -> Result<(Started, Lease)> {
        let (started, mut socket, lease) = self.open(&self.asked).await?;
        for message in messages {
            socket.push(&message);
        }
        self.flush_since(started.at, &mut socket).await?;
        self.state().socket = Some(socket);
        Ok((started, lease))
    }

    /// Opens a connection and sends the call of one of the agent's methods.
    pub(super) async fn call(&self, call: String) -> Result<Socket> {
        let (started, mut socket, _) = self.open(&self.asked).await?;
        socket.push(&call);
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
        // The response may have set cookies.
        self.state().redact = redact;
        if started.meta.status != StatusCode::SWITCHING_PROTOCOLS {
            let status = started.meta.status.as_u16();
            let message = format!(
                "the playground returned {status}: expected 101, the switch to a WebSocket"
            );
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

    /// Sends the buffered messages within the rest of the request's total timeout.
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

    /// Polls for the next message; `None` is the end of the connection.
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

    /// Records that invalid UTF-8 in a message was replaced.
    pub(super) fn note_replaced(&self) {
        self.state().has_replaced = true;
    }

    /// Returns true if invalid UTF-8 in a message was replaced.
    pub(super) fn has_replaced(&self) -> bool {
        self.state().has_replaced
    }

    /// Records that the agent has finished.
    pub(super) fn settle(&self) {
        let stage = &mut self.state().stage;
        *stage = (*stage).max(Stage::Settled);
    }

    /// Records that the turn has ended.
    pub(super) fn end(&self) {
        self.state().stage = Stage::Ended;
    }

    /// Returns the secrets that errors must not show.
    pub(super) fn redact(&self) -> Redact {
        self.state().redact.clone()
    }

    /// Returns the error for settings that the agent refused.
    pub(super) fn refused(&self, words: &str) -> Error {
        let words = self.redact().line(words);
        let message = format!("the playground refused the request's settings: {words}");
        Error::new(ErrorKind::InvalidRequest, message).with_provider_message(words)
    }

    /// Resumes the turn on another connection. Dropping the future cancels the turn.
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
        socket.push(encode::RESUME);
        self.flush(&mut socket).await?;
        let mut limit = PROBE;
        // No reply within the limit means that no turn is running.
        while let Ok(runs) = within(&**self.transport(), limit, self.probe(&mut socket)).await {
            match runs? {
                Told::Pending => limit = PENDING,
                _ => break,
            }
        }
        // If the turn has ended in the meantime, the agent sends its response again to clients that
        // acknowledge it.
        socket.push(&encode::about("cf_agent_stream_resume_ack", &self.id));
        self.flush(&mut socket).await?;
        self.state().socket = Some(socket);
        Ok(())
    }

    /// Waits for the reply to whether the turn is running.
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
                        return Err(self.refused("it uses another model"));
                    }
                    // Parts of the response that arrive before it is resumed are sent again
                    // afterwards.
                    _ => {}
                }
            }
        })
    }

    /// Tells the agent to stop, unless it has finished. If the future is dropped, it continues in
    /// the background.
    pub(super) fn cancel(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let (socket, stage) = self.leave();
        if stage != Stage::Running {
            self.part_unwatched(socket);
            return Box::pin(std::future::ready(Ok(())));
        }
        let link = Arc::clone(self);
        let told = Box::pin(async move {
            let told = link.stop(socket).await;
            told.map_err(|error| error.context("canceling the response failed"))
        });
        Box::pin(DetachOnDrop::new(Arc::clone(self.transport()), told))
    }

    /// Closes the connection, if there is one, and cancels a running turn in the background.
    pub(super) fn let_go(self: &Arc<Self>) {
        if self.state().socket.is_none() {
            // The turn may be about to be resumed.
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

    /// Takes the connection and marks the turn as ended.
    fn leave(&self) -> (Option<Socket>, Stage) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.stage, Stage::Ended);
        (state.socket.take(), before)
    }

    /// Tells the agent to stop, on a new connection if the current one is closed.
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

    /// Performs the closing handshake, and waits for at most 2 s for the other side to confirm it.
    /// If a connection is closed with unread data, the other side may lose the last message.
    ///
    /// # Errors
    ///
    /// Fails if the other side cannot have received the messages.
    async fn part(&self, mut socket: Socket, last: Option<String>) -> Result<()> {
        if let Some(message) = last {
            socket.push(&message);
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
        // The address is a secret: anyone who has it can read the conversation.
        f.debug_struct("Link")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Cancels the turn on drop, unless the attempt to resume it has ended.
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
            // The dropped future continues in the background.
            drop(self.link.cancel());
        }
    }
}

/// Returns an error for headers that the handshake sets itself.
pub(super) fn check(requests: &Requests, request: &ChatRequest) -> Result<()> {
    let mut names = requests.headers().keys().chain(request.headers.keys());
    let is_ours =
        |name: &&HeaderName| **name == UPGRADE || name.as_str().starts_with("sec-websocket-");
    match names.find(is_ours) {
        None => Ok(()),
        Some(name) => Err(Error::config(format!(
            "invalid header `{name}`: it is set by the WebSocket handshake; remove it"
        ))),
    }
}
