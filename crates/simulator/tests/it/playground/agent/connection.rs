//! Opening, keeping and closing a connection to an agent.

use futures_util::{SinkExt, StreamExt};
use inferstream_simulator::{Answer, Fault, Piece, Simulator};
use serde_json::{Value, json};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Bytes, Message},
};

use super::{Client, builder, call, connect, conversation, faulty, follow};
use crate::{
    client::{End, Response, send},
    server,
};

/// A handshake with the key of RFC 6455, section 1.3.
const HANDSHAKE: &str = "GET /playground/agents/playground/a?_pk=0 HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";

async fn start() -> Simulator {
    Simulator::builder().start().await.unwrap()
}

/// Sends the handshake with one part replaced.
async fn shake(simulator: &Simulator, from: &str, to: &str) -> Response {
    assert!(HANDSHAKE.contains(from));
    send(simulator, &HANDSHAKE.replace(from, to)).await
}

/// Returns the cookies of a client that passed the challenge.
async fn cookies(simulator: &Simulator) -> String {
    let page = call(simulator, "GET", "/", "", "").await;
    let (_, script) = page.text().split_once("document.cookie = \"").unwrap();
    let (clearance, _) = script.split_once("; path=/\"").unwrap();
    let ticket = page.header("set-cookie").unwrap();
    let (ticket, _) = ticket.split_once(';').unwrap();
    format!("{clearance}; {ticket}")
}

#[tokio::test]
async fn the_handshake_follows_the_standard() {
    let simulator = start().await;
    let response = shake(&simulator, "x", "x").await;
    assert_eq!(response.status(), 101);
    let accept = response.header("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("connection"), Some("Upgrade"));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.header("transfer-encoding"), None);
    let cookie = response.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__cf_bm=sim-"), "{cookie}");
    assert!(!response.body.is_empty());
    assert_eq!(response.end, End::Silent);
    let request = &simulator.requests()[0];
    assert_eq!(request.path, "/playground/agents/playground/a?_pk=0");
    assert_eq!(simulator.counts().agent_connections, 1);
}

#[tokio::test]
async fn an_invalid_handshake_is_refused() {
    let simulator = start().await;
    for (from, to, status) in [
        ("upgrade: WebSocket\r\n", "", 404),
        ("upgrade: WebSocket", "upgrade: h2c", 404),
        ("Upgrade\r\n", "close\r\n", 404),
        ("/playground/a?", "/playground/?", 404),
        ("/playground/a?", "/playground/a/b?", 404),
        ("/playground/a?", "/other/a?", 404),
        ("GET", "POST", 404),
        ("version: 13", "version: 8", 426),
        ("sec-websocket-version: 13\r\n", "", 426),
        ("dGhlIHNhbXBsZSBub25jZQ==", "", 400),
    ] {
        let request = HANDSHAKE.replace("keep-alive", "close");
        let response = send(&simulator, &request.replace(from, to)).await;
        assert_eq!(response.status(), status, "{to}");
    }
    let old = shake(&simulator, "version: 13", "version: 8").await;
    assert_eq!(old.header("sec-websocket-version"), Some("13"));
    assert_eq!(conversation(&simulator, "a").await, json!([]));
}

#[tokio::test]
async fn a_connection_begins_with_the_identity_of_the_agent() {
    let simulator = start().await;
    let mut client = connect(&simulator, "a%20b?_pk=0", "").await.unwrap();
    assert_eq!(
        client.hear().await,
        json!({"type": "cf_agent_identity", "name": "a b", "agent": "playground"})
    );
    let state = json!({
        "model": "@cf/moonshotai/kimi-k2.6",
        "temperature": 1,
        "stream": true,
        "system": "You are a helpful assistant that can do various tasks using MCP tools.",
        "useExternalProvider": false,
        "externalProvider": "openai",
        "authMethod": "provider-key",
    });
    assert_eq!(
        client.hear().await,
        json!({"type": "cf_agent_state", "state": state})
    );
    assert_eq!(
        client.hear().await,
        json!({
            "type": "cf_agent_mcp_servers",
            "mcp": {"prompts": [], "resources": [], "servers": {}, "tools": []},
        })
    );
    client.check_quiet().await;
}

#[tokio::test]
async fn a_connection_may_have_tls() {
    let builder = builder().tls(true).fault(Fault::Cut);
    let simulator = builder.start().await.unwrap();
    let stream = server::connect(&simulator, "localhost", "http/1.1").await;
    let url = "wss://localhost/playground/agents/playground/a";
    let (mut socket, _) = client_async(url, stream).await.unwrap();
    let question = super::question("r", "Hi").to_string();
    socket.send(Message::text(question)).await.unwrap();
    let mut messages = 0;
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_text());
        messages += 1;
    }
    assert_eq!(messages, 3 + 11);
}

#[tokio::test]
async fn a_query_sets_the_model() {
    let simulator = start().await;
    let mut first = follow(&simulator, "a").await;
    let path = "a?_pk=0&model=@cf/meta/llama-2-7b-chat-int8";
    let mut second = connect(&simulator, path, "").await.unwrap();
    drop(second.hear().await);
    for client in [&mut second, &mut first] {
        let state = client.hear().await;
        assert_eq!(state["type"], "cf_agent_state");
        assert_eq!(state["state"]["model"], "@cf/meta/llama-2-7b-chat-int8");
        assert_eq!(state["state"]["temperature"], 1);
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    let ping = Message::Ping(Bytes::from_static(b"now"));
    client.socket.send(ping).await.unwrap();
    let answer = client.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong(Bytes::from_static(b"now")));
}

#[tokio::test]
async fn a_close_is_answered() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    client.socket.close(None).await.unwrap();
    assert!(matches!(client.next().await, Some(Ok(Message::Close(_)))));
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn the_size_of_a_message_is_limited() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    let long = "x".repeat((32 << 20) + 1);
    // The server may have closed before everything was written.
    let _ = client.socket.send(Message::text(long)).await;
    assert_eq!(client.hear_out().await.1, Some(1009));
}

#[tokio::test]
async fn a_long_message_is_accepted() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    let long = "x".repeat(32 << 20);
    client.socket.send(Message::text(long)).await.unwrap();
    client.check_quiet().await;
}

#[tokio::test]
async fn messages_are_recorded() {
    let simulator = start().await;
    let mut client = follow(&simulator, "a").await;
    let _ = client.socket.send(Message::text("no JSON")).await;
    client.check_quiet().await;
    let messages = simulator.agent_messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0], "no JSON");
    let fence: Value = serde_json::from_str(&messages[1]).unwrap();
    assert_eq!(fence["id"], "fence");
}

#[tokio::test]
async fn a_server_that_is_dropped_closes_its_connections() {
    let simulator = faulty("stall").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    drop(simulator);
    assert_eq!(client.hear_out().await.1, None);
}

#[tokio::test]
async fn cookies_are_checked_before_the_upgrade() {
    let builder = builder().challenge(true);
    let simulator = builder.start().await.unwrap();
    assert_eq!(connect(&simulator, "a", "").await.err(), Some(403));
    let page = shake(&simulator, "x", "x").await;
    assert_eq!(page.header("cf-mitigated"), Some("challenge"));
    for path in ["a", "a/get-messages"] {
        let path = format!("/agents/playground/{path}");
        assert_eq!(call(&simulator, "GET", &path, "", "").await.status(), 403);
    }
    let cookies = cookies(&simulator).await;
    let mut client = connect(&simulator, "a", &cookies).await.unwrap();
    assert_eq!(client.hear().await["type"], "cf_agent_identity");
    assert_eq!(simulator.counts().agent_connections, 3);
}

#[tokio::test]
async fn a_refusal_may_replace_a_connection() {
    for (fault, status) in [
        ("503", 503),
        ("429:2", 429),
        ("challenge", 403),
        ("empty", 500),
        ("html", 503),
        ("close", 0),
    ] {
        let simulator = faulty(fault).await;
        let refused = connect(&simulator, "a", "").await;
        assert_eq!(refused.err(), Some(status), "{fault}");
        // The connection is accepted, and the response waits.
        check_answer(&mut follow(&simulator, "a").await).await;
    }
    let simulator = faulty("silence").await;
    let silent = shake(&simulator, "x", "x").await;
    assert_eq!((silent.head.as_str(), silent.end), ("", End::Silent));
    let simulator = faulty("429:2").await;
    let busy = shake(&simulator, "x", "x").await;
    assert_eq!(busy.header("retry-after"), Some("2"));
}

async fn check_answer(client: &mut Client) {
    client.ask("r", "Hi").await;
    let answer = client.hear_answer().await;
    assert!(super::text(&answer).starts_with("one two"), "{answer:?}");
}

#[tokio::test]
async fn a_session_may_expire_at_the_handshake() {
    let builder = builder().challenge(true).fault("expire".parse().unwrap());
    let simulator = builder.start().await.unwrap();
    let cookies = cookies(&simulator).await;
    assert_eq!(connect(&simulator, "a", &cookies).await.err(), Some(401));
    assert_eq!(connect(&simulator, "a", &cookies).await.err(), Some(403));
}

#[tokio::test]
async fn an_agent_with_a_conversation_refuses_no_connection() {
    let builder = builder()
        .fault("pings".parse().unwrap())
        .fault("503".parse().unwrap());
    let simulator = builder.start().await.unwrap();
    check_answer(&mut follow(&simulator, "a").await).await;
    drop(follow(&simulator, "a").await);
    let refused = connect(&simulator, "b", "").await;
    assert_eq!(refused.err(), Some(503));
}

#[tokio::test]
async fn a_raw_answer_may_replace_a_connection() {
    let raw = Answer::raw(418, &[], [Piece::from("<html>")]);
    let simulator = Simulator::builder().answer(raw).start().await.unwrap();
    assert_eq!(connect(&simulator, "a", "").await.err(), Some(418));
    drop(follow(&simulator, "a").await);
}
