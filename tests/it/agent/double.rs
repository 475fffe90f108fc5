//! An in-memory agent that speaks WebSocket and breaks its connections as scripted.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Write},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use inferstream_core::{Body, BoxFuture, Duplex, Error, ErrorKind, Result, Timer, Transport};
use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket,
    handshake::derive_accept_key,
    protocol::{
        CloseFrame, Role,
        frame::{
            Frame as WsFrame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::plan::{Break, Plan, Resume};
use crate::support::{Clock, Double, block_on};

impl Plan {
    pub(super) fn serve(self) -> Agent {
        Agent {
            clock: Clock::new(),
            plan: Arc::new(self),
            seen: Arc::default(),
            tasks: Arc::default(),
        }
    }
}

/// The requests and messages that arrived.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<Request<Bytes>>,
    /// The messages, each with the number of its connection.
    pub(super) messages: Vec<(usize, Value)>,
    /// The number of bytes that each connection has sent.
    pub(super) sent: Vec<usize>,
    /// The number of connections that sent a close frame.
    pub(super) closed: usize,
    id: String,
    /// The model that the agent was set to.
    model: Option<String>,
}

/// A transport to an agent.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) clock: Clock,
    plan: Arc<Plan>,
    pub(super) seen: Arc<Mutex<Seen>>,
    tasks: Arc<Mutex<Vec<BoxFuture<'static, ()>>>>,
}

impl Agent {
    /// Returns the number of messages of a type.
    pub(super) fn count(&self, kind: &str) -> usize {
        self.of(kind).len()
    }

    /// Returns the messages of a type.
    pub(super) fn of(&self, kind: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        let messages = seen.messages.iter().map(|(_, message)| message);
        messages
            .filter(|message| message["type"] == format!("cf_agent_{kind}"))
            .cloned()
            .collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }
}

impl Double for Agent {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn requests(&self) -> usize {
        self.connections()
    }

    fn run_detached(&self) -> usize {
        let mut count = 0;
        loop {
            let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            if tasks.is_empty() {
                return count;
            }
            count += tasks.len();
            for task in tasks {
                block_on(&self.clock, task);
            }
        }
    }
}

impl Transport for Agent {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let mut seen = self.seen.lock().unwrap();
        let number = seen.requests.len();
        let key = request.headers()["sec-websocket-key"].clone();
        seen.requests.push(request);
        seen.sent.push(0);
        drop(seen);
        let (status, body) = match (number, self.plan.resume) {
            (0, _) => self.plan.status,
            (_, Resume::Refused(status)) => (status, ""),
            _ => (101, ""),
        };
        let accept = derive_accept_key(key.as_bytes());
        let body = match status {
            101 => Body::duplex(Connection::new(self.clone(), number)),
            _ => Body::from(body),
        };
        let response = Response::builder()
            .status(status)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header(
                "set-cookie",
                format!("__cf_bm=a-ticket-of-the-test-{number}; Path=/"),
            )
            .header("sec-websocket-accept", accept)
            .body(body);
        let mut response = response.unwrap();
        for (name, value) in &self.plan.headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(*name, value);
        }
        Box::pin(std::future::ready(Ok(response)))
    }

    fn detach(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(task);
    }
}

impl Timer for Agent {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep(duration))
    }

    fn system_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock.elapsed()
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

/// How often a connection repeats its flood before the client is considered to read without end.
const FLOODS: u32 = 40_000;

/// The time between two repetitions.
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

/// The agent's side of one connection.
struct Connection {
    agent: Agent,
    number: usize,
    frames: WebSocket<Pipe>,
    sent: usize,
    floods: u32,
    /// A delayed message.
    later: Option<(BoxFuture<'static, ()>, Value)>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Pipe {
    received: VecDeque<u8>,
    to_send: VecDeque<u8>,
}

impl Connection {
    fn new(agent: Agent, number: usize) -> Self {
        let mut this = Self {
            agent,
            number,
            frames: WebSocket::from_raw_socket(Pipe::default(), Role::Server, None),
            sent: 0,
            floods: 0,
            later: None,
            waker: None,
        };
        this.say(&json!({"type": "cf_agent_identity", "name": "x", "agent": "playground"}));
        let model = this.agent.seen.lock().unwrap().model.clone();
        let model = model.unwrap_or_else(|| "another".to_owned());
        this.say(&json!({"type": "cf_agent_state", "state": {"model": model}}));
        this.say(&json!({"type": "cf_agent_mcp_servers", "mcp": {}}));
        let raw = this.agent.plan.raw.clone();
        this.frames.get_mut().to_send.extend(raw);
        this
    }

    fn say(&mut self, message: &Value) {
        let message = message.to_string();
        let plan = Arc::clone(&self.agent.plan);
        let kind = if plan.binary {
            Data::Binary
        } else {
            Data::Text
        };
        let mut fragments = message.as_bytes().chunks(plan.fragment).peekable();
        let mut kind = OpCode::Data(kind);
        while let Some(fragment) = fragments.next() {
            let is_last = fragments.peek().is_none();
            let frame = WsFrame::message(fragment.to_vec(), kind, is_last);
            drop(self.frames.send(Message::Frame(frame)));
            kind = OpCode::Data(Data::Continue);
            if plan.pings && !is_last {
                drop(self.frames.send(Message::Ping(Bytes::from_static(b"?"))));
            }
        }
    }

    /// Sends the plan's bytes before the chunk with this index.
    fn inject(&mut self, index: usize) {
        let plan = Arc::clone(&self.agent.plan);
        match &plan.inject {
            Some((before, bytes)) if (0, *before) == (self.number, index) => {
                self.frames.get_mut().to_send.extend(bytes);
            }
            _ => {}
        }
    }

    fn is_requested(&self) -> bool {
        !self.agent.seen.lock().unwrap().id.is_empty()
    }

    /// Sends a response with these members.
    fn respond(&mut self, mut members: Value) {
        if self.agent.plan.pings {
            drop(self.frames.send(Message::Ping(Bytes::from_static(b"?"))));
        }
        let uri = self.agent.seen.lock().unwrap().requests[0]
            .uri()
            .to_string();
        if let Some(body) = members["body"].as_str() {
            members["body"] = body.replace("@URI", &uri).into();
        }
        members["type"] = "cf_agent_use_chat_response".into();
        members["id"] = self.agent.seen.lock().unwrap().id.clone().into();
        self.say(&members);
    }

    fn answer(&mut self, message: &Value) {
        let plan = Arc::clone(&self.agent.plan);
        match message["type"].as_str().unwrap() {
            "cf_agent_state" => {
                if let Some(words) = plan.refusal {
                    self.say(&json!({"type": "cf_agent_state_error", "error": words}));
                } else {
                    let model = message["state"]["model"].as_str().map(str::to_owned);
                    self.agent.seen.lock().unwrap().model = model;
                }
            }
            "cf_agent_use_chat_request" => {
                let id = message["id"].as_str().unwrap();
                id.clone_into(&mut self.agent.seen.lock().unwrap().id);
                self.run(0);
            }
            "cf_agent_stream_resume_request" => match plan.resume {
                Resume::Runs(_) | Resume::Middle | Resume::Other => self.resuming(),
                Resume::Silent => {}
                Resume::Pending(time) => {
                    self.say(&json!({"type": "cf_agent_stream_pending"}));
                    let id = self.agent.seen.lock().unwrap().id.clone();
                    let resuming = json!({"type": "cf_agent_stream_resuming", "id": id});
                    self.later = Some((self.agent.sleep(time), resuming));
                }
                _ => self.say(&json!({"type": "cf_agent_stream_resume_none"})),
            },
            "cf_agent_stream_resume_ack" => self.replay(plan.resume),
            "rpc" => {
                let mut reply = plan.reply.clone();
                reply["type"] = "rpc".into();
                reply["id"] = message["id"].clone();
                self.say(&reply);
            }
            _ => {}
        }
    }

    fn resuming(&mut self) {
        // A response of another turn comes first.
        self.say(&json!({"type": "cf_agent_stream_resuming", "id": "another"}));
        let id = self.agent.seen.lock().unwrap().id.clone();
        self.say(&json!({"type": "cf_agent_stream_resuming", "id": id}));
    }

    /// Sends the chunks from this one on, and the end.
    fn run(&mut self, from: usize) {
        let plan = Arc::clone(&self.agent.plan);
        for (index, chunk) in plan.chunks.iter().enumerate().skip(from) {
            match plan.close {
                Some((chunks, code)) if (0, chunks) == (self.number, index) => {
                    let frame = CloseFrame {
                        code: CloseCode::from(code),
                        reason: "".into(),
                    };
                    drop(self.frames.close(Some(frame)));
                    return;
                }
                _ => {}
            }
            self.inject(index);
            self.respond(json!({"body": chunk, "done": false}));
        }
        self.inject(plan.chunks.len());
        for last in &plan.last {
            self.respond(last.clone());
        }
    }

    fn replay(&mut self, resume: Resume) {
        let plan = Arc::clone(&self.agent.plan);
        let again = |chunk: &String| json!({"body": chunk, "done": false, "replay": true});
        let done = json!({"body": "", "done": true, "replay": true});
        if let Some(again) = &plan.again {
            for one in again {
                let mut one = one.clone();
                one["replay"] = true.into();
                self.respond(one);
            }
            return;
        }
        match resume {
            Resume::Runs(count) => {
                let count = count.min(plan.chunks.len());
                for chunk in &plan.chunks[..count] {
                    self.respond(again(chunk));
                }
                self.respond(json!({"body": "", "replay": true, "replayComplete": true}));
                self.run(count);
            }
            Resume::Ended | Resume::Silent | Resume::Pending(_) => {
                for chunk in &plan.chunks {
                    self.respond(again(chunk));
                }
                self.respond(done);
            }
            Resume::Joined => {
                for chunk in join(&plan.chunks) {
                    self.respond(again(&chunk));
                }
                self.respond(done);
            }
            Resume::Middle => self.run(plan.chunks.len() / 2),
            Resume::Other => {
                let other = r#"{"type":"text-delta","id":"0","delta":"Another answer"}"#;
                self.respond(again(&other.to_owned()));
                self.respond(done);
            }
            Resume::Gone | Resume::Refused(_) => self.respond(done),
        }
    }

    /// Handles the messages that have arrived.
    fn read(&mut self) {
        loop {
            let message = match self.frames.read() {
                Ok(Message::Text(text)) => serde_json::from_str::<Value>(&text).unwrap(),
                Ok(Message::Close(_)) => {
                    self.agent.seen.lock().unwrap().closed += 1;
                    continue;
                }
                Ok(_) => continue,
                Err(_) => break,
            };
            let mut seen = self.agent.seen.lock().unwrap();
            seen.messages.push((self.number, message.clone()));
            drop(seen);
            self.answer(&message);
        }
        drop(self.frames.flush());
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Joins neighboring texts, and with them the halves of surrogate pairs.
fn join(chunks: &[String]) -> Vec<String> {
    let split = |chunk: &str| {
        let place = chunk.find("elta\":\"")? + "elta\":\"".len();
        let end = chunk.len() - "\"}".len();
        Some((chunk[..place].to_owned(), chunk[place..end].to_owned()))
    };
    let mut joined: Vec<String> = Vec::new();
    for chunk in chunks {
        let last = joined.last().and_then(|last| split(last));
        match (last, split(chunk)) {
            (Some((kind, before)), Some((same, behind))) if kind == same => {
                joined.pop();
                joined.push(format!("{kind}{before}{behind}\"}}"));
            }
            _ => joined.push(chunk.clone()),
        }
    }
    joined
}

impl http_body::Body for Connection {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Some((mut sleep, message)) = self.later.take() {
            match sleep.as_mut().poll(cx) {
                Poll::Ready(()) => self.say(&message),
                Poll::Pending => self.later = Some((sleep, message)),
            }
        }
        let cut = self.agent.plan.cuts.get(self.number).copied().flatten();
        let left = cut.map_or(usize::MAX, |(bytes, _)| bytes - self.sent);
        if self.agent.plan.never_ends && 0 < self.agent.seen.lock().unwrap().closed {
            self.frames.get_mut().to_send.extend([0x8A, 0]);
        }
        let is_silent = self.frames.get_ref().to_send.is_empty();
        if is_silent && !self.agent.plan.flood.is_empty() && self.is_requested() {
            self.floods += 1;
            assert!(self.floods < FLOODS, "the client reads without end");
            self.agent.clock.advance(FLOOD_PAUSE);
            let plan = Arc::clone(&self.agent.plan);
            self.frames.get_mut().to_send.extend(&plan.flood);
        }
        let to_send = &self.frames.get_ref().to_send;
        if to_send.is_empty() && 0 < left {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = to_send.len().min(self.agent.plan.piece).min(left);
        if length == 0 {
            return Poll::Ready(match cut {
                Some((_, Break::Closed)) => None,
                _ => Some(Err(lost())),
            });
        }
        let piece: Bytes = self.frames.get_mut().to_send.drain(..length).collect();
        self.sent += length;
        let (number, sent) = (self.number, self.sent);
        self.agent.seen.lock().unwrap().sent[number] = sent;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Duplex for Connection {
    fn poll_send(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<()>> {
        if self.agent.plan.deaf && self.is_requested() {
            return Poll::Pending;
        }
        let came = bytes.copy_to_bytes(bytes.remaining());
        self.frames.get_mut().received.extend(came);
        self.read();
        Poll::Ready(Ok(()))
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Disconnected, "the connection was lost")
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.received.read(buffer) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            read => read,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to_send.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
