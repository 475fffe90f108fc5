//! A WebSocket connection to an agent.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::{
    playground::{
        agent::{
            connection::Word,
            message::{self, Request},
            plan::Plan,
            store::{self, Agent},
        },
        inference::Inference,
        request,
    },
    shared::Shared,
};

/// The maximum message size in bytes, as at the service.
const MAX_MESSAGE: usize = 32 << 20;

/// How long a client may take to answer a close frame.
const CLOSING: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Serves a connection to an agent until it ends.
pub(super) async fn serve(shared: Arc<Shared>, agent: Arc<Agent>, connection: Upgraded) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let io = TokioIo::new(connection);
    let mut socket = Socket::from_raw_socket(io, Role::Server, Some(config)).await;
    let (number, mut words) = agent.room().connect(&agent.name);
    loop {
        tokio::select! {
            word = words.recv() => {
                let Some(word) = word else {
                    break;
                };
                if !say(&mut socket, word).await {
                    break;
                }
            }
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(text))) => {
                    shared.record.push_message(text.as_str().to_owned());
                    hear(&shared, &agent, number, &text);
                }
                // The library responds to pings.
                Some(Ok(_)) => {}
                Some(Err(Error::Capacity(_))) => {
                    refuse(&mut socket).await;
                    break;
                }
                Some(Err(_)) | None => break,
            },
        }
    }
    agent.room().disconnect(number);
}

/// Handles a message of a client.
fn hear(shared: &Arc<Shared>, agent: &Arc<Agent>, number: u64, text: &str) {
    let counter = &shared.counter;
    match Request::parse(text) {
        Some(Request::Acknowledge { id }) => {
            counter.add(|counts| &mut counts.agent_resumes);
            agent.room().acknowledge(number, &id);
        }
        Some(Request::Call { id, method }) => {
            agent.room().tell(number, message::called(&id, &method));
        }
        Some(Request::Cancel { id }) => {
            counter.add(|counts| &mut counts.agent_cancels);
            agent.room().cancel(&id);
        }
        Some(Request::Chat { id, init }) => {
            if let Some(messages) = init.messages() {
                ask(shared, agent, number, id, messages);
            }
        }
        Some(Request::Clear) => agent.room().clear(number),
        Some(Request::Resume { probe }) => agent.room().resume(number, probe),
        Some(Request::State { state }) => agent.room().set_state(number, state),
        None => {}
    }
}

/// Starts a response to a conversation, if it is valid.
fn ask(shared: &Arc<Shared>, agent: &Arc<Agent>, number: u64, id: String, messages: Vec<Value>) {
    if agent.room().is_open(&id) {
        return;
    }
    let asked = request::Request::of_agent(agent.room().state(), &messages);
    let (plan, fault) = match asked {
        Err(request::Refusal::Malformed) => return,
        Err(request::Refusal::NoModel) => (Plan::without_model(&shared.settings), None),
        Ok(request) => {
            let mut script = shared.script();
            let fault = script.next_fault();
            let tokens = script.next_tokens();
            let inference = Inference::new(shared.settings.seed, &request, tokens.as_ref());
            let plan = Plan::new(&shared.settings, &inference, fault.as_ref());
            (plan, fault)
        }
    };
    shared.counter.add(|counts| &mut counts.agent_turns);
    let mut room = agent.room();
    room.set_messages(number, messages);
    room.ask(number, id, fault, |turn| {
        shared.tasks.spawn(store::run(agent.clone(), turn, plan))
    });
}

/// Sends a message; returns false if it is the last or sending failed.
async fn say(socket: &mut Socket, word: Word) -> bool {
    let said = match word {
        Word::Binary(text) => socket.send(Message::binary(text)).await,
        Word::Close(code) => {
            close(socket, code.into()).await;
            return false;
        }
        Word::Fragments(text) => fragments(socket, &text).await,
        Word::Half(text) => {
            half(socket, text).await;
            return false;
        }
        Word::Ping => socket.send(Message::Ping("still here".into())).await,
        Word::Text(text) => socket.send(Message::text(text)).await,
    };
    said.is_ok()
}

/// Sends a text in three fragments, cut anywhere, with pings between them.
async fn fragments(socket: &mut Socket, text: &str) -> Result<(), Error> {
    let (first, rest) = text.as_bytes().split_at(text.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let fragment = |bytes: &[u8], data, is_final| {
        let bytes = bytes.to_owned();
        Message::Frame(Frame::message(bytes, OpCode::Data(data), is_final))
    };
    socket.send(fragment(first, Data::Text, false)).await?;
    socket.send(Message::Ping("one".into())).await?;
    socket.send(fragment(second, Data::Continue, false)).await?;
    socket.send(Message::Ping("two".into())).await?;
    socket.send(fragment(third, Data::Continue, true)).await
}

/// Sends half of a frame with this text.
async fn half(socket: &mut Socket, text: String) {
    let mut bytes = Vec::new();
    let frame = Frame::message(text, OpCode::Data(Data::Text), true);
    // Errors are ignored: the client reports how the connection ended.
    let _ = frame.format(&mut bytes);
    let io = socket.get_mut();
    let _ = io.write_all(&bytes[..bytes.len() / 2]).await;
    let _ = io.flush().await;
}

/// Closes the connection by the protocol: sends a close frame and waits for the client's.
async fn close(socket: &mut Socket, code: CloseCode) {
    let frame = CloseFrame {
        code,
        reason: "".into(),
    };
    if socket.close(Some(frame)).await.is_ok() {
        let answered = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = timeout(CLOSING, answered).await;
    }
}

/// Closes the connection after a message above the size limit.
async fn refuse(socket: &mut Socket) {
    let frame = CloseFrame {
        code: CloseCode::Size,
        reason: "".into(),
    };
    if socket.close(Some(frame)).await.is_ok() {
        // Unread data would make the system reset the connection and discard the close frame.
        let _ = timeout(CLOSING, copy(socket.get_mut(), &mut sink())).await;
    }
}
