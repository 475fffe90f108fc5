//! One turn of an agent at the service: its connection, and what can be asked of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, uri::Authority};
use inferstream_core::{
    Body, BoxFuture, ChatRequest, Error, ErrorKind, Result, RetryPolicy, Started, Transport,
    provider::{Redact, Unwatched, briefly, unwatched, within},
};

use super::{
    encode,
    socket::{Handshake, Received, Socket, random},
    turn::Turn,
    wire::Told,
};
use crate::playground::{client::Playground, session::Lease};

/// The longest that taking a turn up again may take until the service has switched protocols.
const REOPEN: Duration = Duration::from_secs(10);

/// How long a service may be silent that is asked whether a turn runs: some versions of the agent
/// say nothing where none does.
const PROBE: Duration = Duration::from_secs(5);

/// How long it may be silent where it said that the turn has been asked for and is about to begin.
const PENDING: Duration = Duration::from_secs(60);

/// One turn.
pub(super) struct Link {
    playground: Playground,
    /// The request, without what it says.
    asked: ChatRequest,
    pub(super) redact: Redact,
    /// The name of the turn.
    pub(super) id: String,
    url: Result<(Uri, String)>,
    state: Mutex<State>,
}

struct State {
    /// `None` before there is one, and once it is lost or let go of.
    socket: Option<Socket>,
    stage: Stage,
}

/// How far the turn is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Stage {
    /// The agent works, or is about to.
    Running,
    /// It has no more work, as far as this side knows.
    Settled,
    /// It said that this was all.
    Ended,
}

impl Link {
    /// Creates a link to an agent of its own, which nobody else knows.
    pub(super) fn new(
        playground: Playground,
        asked: ChatRequest,
        redact: Redact,
        id: String,
    ) -> Self {
        let url = url(playground.base());
        let state = State {
            socket: None,
            stage: Stage::Running,
        };
        Self {
            playground,
            asked,
            redact,
            id,
            url,
            state: Mutex::new(state),
        }
    }

    /// Opens the connection and sends what makes the agent answer.
    ///
    /// A message that has not left when the future is dropped is none to the service.
    pub(super) async fn begin(&self, messages: Vec<String>) -> Result<(Started, Lease, Redact)> {
        let (started, mut socket, lease, redact) = self.open(&self.asked).await?;
        for message in messages {
            socket.push(message);
        }
        self.flush(&mut socket).await?;
        self.state().socket = Some(socket);
        Ok((started, lease, redact))
    }

    async fn open(&self, asked: &ChatRequest) -> Result<(Started, Socket, Lease, Redact)> {
        let (uri, origin) = self.url.clone()?;
        let handshake = Handshake::new();
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = handshake.headers(&origin);
        let sent = self.playground.send(request, asked, &self.redact).await?;
        let (mut started, lease, redact) = sent;
        if started.meta.status != StatusCode::SWITCHING_PROTOCOLS {
            let status = started.meta.status.as_u16();
            let message = format!("the playground answered {status} where a WebSocket should be");
            let error = Error::protocol(message);
            return Err(error.with_head(started.meta.status, started.meta.headers));
        }
        handshake.check(&started.meta.headers)?;
        let body = std::mem::replace(&mut started.body, Body::from(""));
        Ok((started, Socket::new(body), lease, redact))
    }

    /// Opens a connection for a call of one of the agent's methods.
    pub(super) async fn call(&self, call: String) -> Result<Socket> {
        let (_, mut socket, ..) = self.open(&self.asked).await?;
        socket.push(call);
        self.flush(&mut socket).await?;
        Ok(socket)
    }

    async fn flush(&self, socket: &mut Socket) -> Result<()> {
        let limit = self.playground.timeouts(&self.asked).write;
        socket.flush(&**self.transport(), limit).await
    }

    /// Polls for what the service says next; `None` is the connection's end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Received>>> {
        let mut state = self.state();
        let Some(socket) = &mut state.socket else {
            return Poll::Ready(None);
        };
        let polled = socket.poll_next(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            state.socket = None;
        }
        polled
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
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

    /// Takes the turn up again on another connection; it is canceled if nobody waits for that.
    pub(super) fn resume(self: &Arc<Self>) -> BoxFuture<'static, Result<Body>> {
        let mut guard = Guard {
            link: Arc::clone(self),
            is_armed: true,
        };
        Box::pin(async move {
            let resumed = guard.link.take_up().await;
            guard.is_armed = false;
            resumed?;
            Ok(Body::new(Turn::again(Arc::clone(&guard.link))))
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
                    // What comes before the turn is taken up is sent again behind that.
                    _ => {}
                }
            }
        })
    }

    async fn reopen(&self) -> Result<Socket> {
        let mut asked = self.asked.clone();
        let mut timeouts = self.playground.timeouts(&asked);
        timeouts.head = Some(timeouts.head.unwrap_or(REOPEN).min(REOPEN));
        asked.timeouts = Some(timeouts);
        asked.retry = Some(RetryPolicy::never());
        let (_, socket, ..) = self.open(&asked).await?;
        Ok(socket)
    }

    /// Asks the agent to stop; one that has ended needs no stopping. It runs on where nobody waits.
    pub(super) fn cancel(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let mut state = self.state();
        if std::mem::replace(&mut state.stage, Stage::Ended) == Stage::Ended {
            return Box::pin(std::future::ready(Ok(())));
        }
        let socket = state.socket.take();
        drop(state);
        let link = Arc::clone(self);
        let told = Box::pin(async move {
            let socket = match socket {
                Some(socket) => Ok(socket),
                None => link.reopen().await,
            };
            let told = match socket {
                Ok(socket) => link.part(socket, true).await,
                Err(error) => Err(error),
            };
            told.map_err(|error| error.context("the answer was not canceled"))
        });
        Box::pin(Unwatched::new(Arc::clone(self.transport()), told))
    }

    /// Closes the connection, if there is one, and cancels what runs, with nobody waiting for it.
    pub(super) fn let_go(self: &Arc<Self>) {
        let (socket, stage) = {
            let mut state = self.state();
            (state.socket.take(), state.stage)
        };
        if let Some(socket) = socket {
            let link = Arc::clone(self);
            let parting = Box::pin(async move { link.part(socket, stage == Stage::Running).await });
            unwatched(self.transport(), parting);
        }
    }

    /// Says goodbye, and waits until the other side has heard it, for 2 s at most: what nobody has
    /// read when a connection closes may take with it what was sent.
    async fn part(&self, mut socket: Socket, cancels: bool) -> Result<()> {
        if cancels {
            socket.push(encode::about("cf_agent_chat_request_cancel", &self.id));
        }
        socket.close();
        self.flush(&mut socket).await?;
        let rest = Box::pin(async move { while let Some(Ok(_)) = socket.next().await {} });
        // Whatever came of it, the message has left.
        drop(briefly(&**self.transport(), rest).await);
        Ok(())
    }

    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        self.playground.transport()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL is a secret: who has it can read the conversation.
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

impl Drop for Guard {
    fn drop(&mut self) {
        if self.is_armed {
            // It runs on by itself.
            drop(self.link.cancel());
        }
    }
}

/// Makes the URL of a new agent, and of the page that asks for it.
fn url(base: &str) -> Result<(Uri, String)> {
    let uri = |text: &str| {
        let uri = text.parse::<Uri>();
        uri.map_err(|_| Error::config("the base URL is not one"))
    };
    let base_uri = uri(base)?;
    let scheme = base_uri.scheme_str().unwrap_or("https");
    let host = base_uri
        .authority()
        .map(Authority::as_str)
        .unwrap_or_default();
    let origin = format!("{scheme}://{host}");
    let name = random();
    let key = fastrand::u128(..);
    // A UUID of version 4 (RFC 9562).
    let key = (key & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let key = format!("{key:032x}");
    let (key, last) = key.split_at(20);
    let [first, second, third, fourth] = [&key[..8], &key[8..12], &key[12..16], &key[16..]];
    let agent = format!("{base}/agents/playground/Cloudflare-AI-Playground-{name}");
    let url = uri(&format!(
        "{agent}?_pk={first}-{second}-{third}-{fourth}-{last}"
    ))?;
    Ok((url, origin))
}
