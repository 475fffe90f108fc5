//! Agents, tested with a WebSocket client.

mod connection;
mod conversation;
mod faults;
mod resume;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use inferstream_simulator::{Answer, Simulator, SimulatorBuilder};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{TOKENS, call};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const RESPONSE: &str = "cf_agent_use_chat_response";

/// A client of one agent.
struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// Opens a connection to `path` with this `Cookie`. The error is the status of the refusal.
async fn connect(simulator: &Simulator, path: &str, cookie: &str) -> Result<Client, u16> {
    let url = format!(
        "ws://{}/playground/agents/playground/{path}",
        simulator.address()
    );
    let mut request = url.into_client_request().unwrap();
    if !cookie.is_empty() {
        let cookie = HeaderValue::from_str(cookie).unwrap();
        request.headers_mut().insert("cookie", cookie);
    }
    let stream = TcpStream::connect(simulator.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(Client { socket }),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(Error::Io(_) | Error::Protocol(_)) => Err(0),
        Err(error) => panic!("{error}"),
    }
}

/// Follows an agent, and skips the messages that every client gets first.
async fn follow(simulator: &Simulator, name: &str) -> Client {
    let path = format!("{name}?_pk=0");
    let mut client = connect(simulator, &path, "").await.unwrap();
    for kind in [
        "cf_agent_identity",
        "cf_agent_state",
        "cf_agent_mcp_servers",
    ] {
        assert_eq!(client.hear().await["type"], kind);
    }
    client
}

impl Client {
    async fn say(&mut self, message: &Value) {
        let message = Message::text(message.to_string());
        self.socket.send(message).await.unwrap();
    }

    /// Sends a prompt.
    async fn ask(&mut self, id: &str, prompt: &str) {
        self.say(&question(id, prompt)).await;
    }

    async fn acknowledge(&mut self, id: &str) {
        let message = json!({"type": "cf_agent_stream_resume_ack", "id": id});
        self.say(&message).await;
    }

    /// Returns the next message or error, or `None` at the end of the connection.
    async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(PATIENCE, self.socket.next()).await.unwrap()
    }

    /// Returns the next text message.
    async fn hear(&mut self) -> Value {
        loop {
            match self.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Returns the messages of a response, up to its end or the end of its replay.
    async fn hear_answer(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.hear().await;
            assert_eq!(message["type"], RESPONSE, "{message}");
            let is_last = message["done"] == true || message["replayComplete"] == true;
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }

    /// Returns the messages before the end of the connection, and its close code.
    async fn hear_out(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => {
                    messages.push(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(frame))) => {
                    return (messages, Some(frame.unwrap().code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (messages, None),
            }
        }
    }

    /// Checks that nothing is received before the reply to this message.
    async fn check_quiet(&mut self) {
        self.say(&json!({"type": "rpc", "id": "fence", "method": "x", "args": []}))
            .await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], "fence", "{answer}");
    }
}

fn question(id: &str, prompt: &str) -> Value {
    let body = json!({"messages": [message(prompt)], "trigger": "submit-message"});
    json!({
        "type": "cf_agent_use_chat_request",
        "id": id,
        "init": {"method": "POST", "body": body.to_string()},
    })
}

fn message(prompt: &str) -> Value {
    let parts = json!([{"type": "text", "text": prompt}]);
    json!({"id": "m1", "role": "user", "parts": parts})
}

fn builder() -> SimulatorBuilder {
    Simulator::builder().answer(Answer::tokens(TOKENS))
}

/// Starts a server that sends ten tokens with this fault.
async fn faulty(fault: &str) -> Simulator {
    let builder = builder().fault(fault.parse().unwrap());
    builder.start().await.unwrap()
}

/// Returns the chunks of a response's messages, without the last one.
#[track_caller]
fn chunks(messages: &[Value]) -> Vec<Value> {
    let (_, messages) = messages.split_last().unwrap();
    let chunk = |message: &Value| {
        assert_eq!(message["done"], false);
        let body = message["body"].as_str().unwrap();
        serde_json::from_str(body).unwrap()
    };
    messages.iter().map(chunk).collect()
}

/// Joins the text of messages that may be truncated.
fn text(messages: &[Value]) -> String {
    let bodies = messages
        .iter()
        .filter_map(|message| message["body"].as_str());
    bodies
        .filter_map(|body| serde_json::from_str::<Value>(body).ok())
        .filter_map(|chunk| chunk["delta"].as_str().map(str::to_owned))
        .collect()
}

/// Returns the conversation of an agent.
async fn conversation(simulator: &Simulator, name: &str) -> Value {
    let path = format!("/agents/playground/{name}/get-messages");
    call(simulator, "GET", &path, "", "").await.json()
}

/// Waits until the conversation of an agent has this many messages.
async fn conversation_of(simulator: &Simulator, name: &str, len: usize) -> Value {
    loop {
        let messages = conversation(simulator, name).await;
        if messages.as_array().unwrap().len() == len {
            return messages;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
