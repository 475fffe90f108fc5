//! Faults of agents on the wire.

use inferstream_simulator::{Fault, Simulator};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    RESPONSE, builder, chunks, connect, conversation, conversation_of, faulty, follow, message,
    question, text,
};

const TEXT: &str = "one two three four five six seven eight nine ten";
const EIGHT: &str = "one two three four five six seven eight";

/// Starts a server whose response has this fault and takes half a second.
async fn slow(fault: &str) -> Simulator {
    let builder = builder()
        .tokens_per_second(20.0)
        .fault(fault.parse().unwrap());
    builder.start().await.unwrap()
}

/// Sends a prompt. Returns the messages before the end of the connection, and the code of a close
/// frame.
async fn broken(simulator: &Simulator) -> (Vec<Value>, Option<u16>) {
    let mut client = follow(simulator, "a").await;
    client.ask("r", "Hi").await;
    client.hear_out().await
}

/// Follows the agent again, and returns all messages of a running or ended stream.
async fn resumed(simulator: &Simulator) -> Vec<Value> {
    let mut client = follow(simulator, "a").await;
    client.acknowledge("r").await;
    let mut answer = Vec::new();
    loop {
        let message = client.hear().await;
        let is_last = message["done"] == true;
        if message["type"] == RESPONSE {
            answer.push(message);
        }
        if is_last {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_connection_is_cut_and_the_response_continues() {
    for start in [true, false] {
        let simulator = if start {
            faulty("cut").await
        } else {
            slow("cut").await
        };
        let (before, code) = broken(&simulator).await;
        assert_eq!((text(&before).as_str(), code), (EIGHT, None));
        assert_eq!(text(&resumed(&simulator).await), TEXT);
        conversation_of(&simulator, "a", 2).await;
    }
}

#[tokio::test]
async fn a_cut_leaves_half_a_frame() {
    let simulator = faulty("cut").await;
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let head = "GET /playground/agents/playground/a HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let question = question("r", "Hi").to_string();
    // A text frame with a 16-bit length and a mask that changes nothing.
    let len = u16::try_from(question.len()).unwrap().to_be_bytes();
    let frame = [&[0x81, 0xfe], &len[..], &[0; 4], question.as_bytes()].concat();
    socket.write_all(&frame).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    // Complete ones end like this, whatever the order of their members.
    assert!(text.contains("delta") && !text.ends_with('}'), "{text}");
}

#[tokio::test]
async fn other_clients_are_not_cut() {
    for fault in ["cut", "truncate"] {
        let simulator = faulty(fault).await;
        let mut other = follow(&simulator, "a").await;
        assert_eq!(text(&broken(&simulator).await.0), EIGHT);
        drop(other.hear().await);
        assert_eq!(text(&other.hear_answer().await), TEXT);
    }
}

#[tokio::test]
async fn a_connection_is_closed_and_the_response_continues() {
    for fault in ["truncate", "restart"] {
        let code = match fault {
            "truncate" => 1001,
            _ => 1012,
        };
        let simulator = faulty(fault).await;
        let (before, closed) = broken(&simulator).await;
        assert_eq!((text(&before).as_str(), closed), (EIGHT, Some(code)));
        if fault == "restart" {
            assert_eq!(connect(&simulator, "a", "").await.err(), Some(503));
        }
        assert_eq!(text(&resumed(&simulator).await), TEXT);
    }
}

#[tokio::test]
async fn a_restart_closes_all_connections() {
    for (fault, code) in [("restart", Some(1012)), ("evicted", None)] {
        let simulator = faulty(fault).await;
        let mut other = follow(&simulator, "a").await;
        assert_eq!(broken(&simulator).await.1, code);
        let (told, closed) = other.hear_out().await;
        assert_eq!((text(&told).as_str(), closed), (EIGHT, code));
    }
}

#[tokio::test]
async fn an_agent_may_discard_its_response() {
    let simulator = faulty("evicted").await;
    let (before, code) = broken(&simulator).await;
    assert_eq!((text(&before).as_str(), code), (EIGHT, None));
    let mut client = follow(&simulator, "a").await;
    client
        .say(&json!({"type": "cf_agent_stream_resume_request"}))
        .await;
    assert_eq!(client.hear().await["type"], "cf_agent_stream_resume_none");
    client.acknowledge("r").await;
    assert_eq!(
        client.hear().await,
        json!({"type": RESPONSE, "id": "r", "body": "", "done": true, "replay": true})
    );
    assert_eq!(conversation(&simulator, "a").await, json!([message("Hi")]));
}

#[tokio::test]
async fn every_connection_may_be_cut() {
    for paced in [false, true] {
        let simulator = if paced {
            slow("cutall").await
        } else {
            faulty("cutall").await
        };
        let (before, code) = broken(&simulator).await;
        assert_eq!((before.len(), code), (3, None));
        for _ in 0..2 {
            let mut client = follow(&simulator, "a").await;
            client.acknowledge("r").await;
            let (told, code) = client.hear_out().await;
            let told = told.iter().filter(|message| message["type"] == RESPONSE);
            assert_eq!((told.count(), code), (3, None));
        }
    }
}

#[tokio::test]
async fn an_error_is_plain_text() {
    let simulator = faulty("error").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let answer = client.hear_answer().await;
    assert_eq!(text(&answer), EIGHT);
    assert_eq!(
        answer.last().unwrap(),
        &json!({
            "type": RESPONSE,
            "id": "r",
            "body": "Error during inference",
            "done": true,
            "error": true,
        })
    );
    assert_eq!(conversation(&simulator, "a").await, json!([message("Hi")]));
}

#[tokio::test]
async fn bad_json_is_one_chunk_among_good_ones() {
    let simulator = faulty("badjson").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let answer = client.hear_answer().await;
    let body = "{\"type\":\"text-delta\",\"delta\":\" nine\",\"id\":\"0\"";
    assert_eq!(answer[11]["body"], body);
    assert_eq!(text(&answer), format!("{EIGHT} ten"));
    assert_eq!(answer.last().unwrap()["done"], true);
}

#[tokio::test]
async fn a_response_may_stall() {
    let simulator = faulty("stall").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    for _ in 0..11 {
        drop(client.hear().await);
    }
    client.check_quiet().await;
}

#[tokio::test]
async fn a_response_may_end_unfinished() {
    let simulator = faulty("unfinished").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let answer = client.hear_answer().await;
    assert_eq!(chunks(&answer).last().unwrap()["delta"], " eight");
    let end = json!({"type": RESPONSE, "id": "r", "body": "", "done": true});
    assert_eq!(answer.last().unwrap(), &end);
    assert_eq!(conversation(&simulator, "a").await, json!([message("Hi")]));
}

#[tokio::test]
async fn a_replay_may_be_coalesced() {
    let simulator = faulty("coalesced").await;
    assert_eq!(text(&broken(&simulator).await.0), EIGHT);
    conversation_of(&simulator, "a", 2).await;
    let answer = resumed(&simulator).await;
    let chunks = chunks(&answer);
    let kinds: Vec<_> = chunks.iter().map(|chunk| &chunk["type"]).collect();
    assert_eq!(
        kinds,
        [
            "start",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "finish-step",
            "finish",
        ]
    );
    assert_eq!(chunks[3]["delta"], TEXT);
    assert_eq!(answer[4]["seq"], 4);
}

#[tokio::test]
async fn a_ping_may_come_before_each_chunk() {
    let simulator = faulty("pings").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    for _ in 0..16 {
        let ping = client.next().await.unwrap().unwrap();
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
        assert_eq!(client.hear().await["done"], false);
    }
    assert_eq!(client.hear().await["done"], true);
}

#[tokio::test]
async fn messages_may_be_binary() {
    let simulator = faulty("binary").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    let mut answer = Vec::new();
    for _ in 0..17 {
        let Message::Binary(bytes) = client.next().await.unwrap().unwrap() else {
            panic!("not binary");
        };
        answer.push(serde_json::from_slice(&bytes).unwrap());
    }
    assert_eq!(text(&answer), TEXT);
    assert_eq!(answer.last().unwrap()["done"], true);
}

#[tokio::test]
async fn messages_may_come_in_fragments() {
    let simulator = faulty("fragments").await;
    let mut client = follow(&simulator, "a").await;
    client.ask("r", "Hi").await;
    for index in 0..17 {
        for _ in 0..2 {
            let ping = client.next().await.unwrap().unwrap();
            assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
        }
        let text = client.next().await.unwrap().unwrap().into_text().unwrap();
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["done"], index == 16);
    }
}

#[tokio::test]
async fn a_fault_of_another_service_does_not_affect_a_response() {
    for fault in ["coldboot", "heartbeats", "nofinish", "stream:401"] {
        let simulator = faulty(fault).await;
        let mut client = follow(&simulator, "a").await;
        client.ask("r", "Hi").await;
        assert_eq!(text(&client.hear_answer().await), TEXT, "{fault}");
    }
}

#[tokio::test]
async fn each_response_takes_the_next_fault() {
    let builder = builder().fault(Fault::Unfinished).every_fault(Fault::Error);
    let simulator = builder.start().await.unwrap();
    let mut client = follow(&simulator, "a").await;
    for (id, is_error) in [("r1", false), ("r2", true), ("r3", true)] {
        client.ask(id, "Hi").await;
        let answer = client.hear_answer().await;
        assert_eq!(answer.last().unwrap()["error"] == true, is_error);
    }
}
