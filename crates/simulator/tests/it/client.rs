//! A raw HTTP client that returns a response as its chunks.

use std::time::Duration;

use inferstream_simulator::Simulator;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The length of a silence that counts as one; a busy machine must not cause one.
const SILENCE: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Closed,
    Silent,
}

/// What arrived on a connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Returns the chunks of the body, and whether the last chunk arrived.
    pub(crate) fn chunks(&self) -> (Vec<String>, bool) {
        let mut chunks = Vec::new();
        let mut rest = self.text();
        while let Some((len, tail)) = rest.split_once("\r\n") {
            let len = usize::from_str_radix(len, 16).unwrap();
            if len == 0 {
                return (chunks, true);
            }
            chunks.push(tail[..len].to_owned());
            rest = &tail[len + 2..];
        }
        (chunks, false)
    }

    /// Returns the JSON of all events of a complete stream.
    pub(crate) fn events(&self) -> Vec<Value> {
        let (chunks, whole) = self.chunks();
        assert!(whole, "{}", self.text());
        let json = |chunk: &String| {
            let data = chunk.strip_prefix("data: ").unwrap();
            serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap()
        };
        chunks.iter().map(json).collect()
    }
}

/// Sends a chat request with any key.
pub(crate) async fn chat(simulator: &Simulator, body: &str) -> Response {
    post(simulator, "/v1/chat/completions", body).await
}

/// Sends a chat request to the engine that accepts any model.
pub(crate) async fn compatible(simulator: &Simulator, body: &str) -> Response {
    post(simulator, "/compatible/v1/chat/completions", body).await
}

async fn post(simulator: &Simulator, path: &str, body: &str) -> Response {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    send(simulator, &request).await
}

pub(crate) async fn get(simulator: &Simulator, path: &str, key: Option<&str>) -> Response {
    let key = key.map_or_else(String::new, |key| {
        format!("authorization: Bearer {key}\r\n")
    });
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{key}connection: close\r\n\r\n");
    send(simulator, &request).await
}

/// Sends the request, and reads until the connection is closed or silent.
pub(crate) async fn send(simulator: &Simulator, request: impl AsRef<[u8]>) -> Response {
    send_to(&simulator.address().to_string(), request).await
}

/// Sends the request to `host:port`, and reads until the connection is closed or silent.
pub(crate) async fn send_to(authority: &str, request: impl AsRef<[u8]>) -> Response {
    let mut socket = TcpStream::connect(authority).await.unwrap();
    socket.write_all(request.as_ref()).await.unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        match timeout(SILENCE, socket.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break End::Closed,
            Ok(read) => drop(read.unwrap()),
            Err(_) => break End::Silent,
        }
    };
    let head_len = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(0, |position| position + 4);
    let body = bytes.split_off(head_len);
    Response {
        head: String::from_utf8(bytes).unwrap(),
        body,
        end,
    }
}

/// Returns the body of a request with additional `fields`, such as `"n":2`.
pub(crate) fn request(model: &str, prompt: &str, fields: &str) -> String {
    let comma = if fields.is_empty() { "" } else { "," };
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}]{comma}{fields}}}"#
    )
}

/// Joins the texts of the events under `key` in the choice `index`.
pub(crate) fn said(events: &[Value], index: u64, key: &str) -> String {
    let choices = events.iter().map(|event| &event["choices"][0]);
    choices
        .filter(|choice| choice["index"] == index)
        .filter_map(|choice| choice["delta"][key].as_str())
        .collect()
}
