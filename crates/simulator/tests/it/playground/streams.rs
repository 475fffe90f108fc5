//! Responses in each of the playground's protocols.

use inferstream_simulator::{Answer, PlaygroundProtocol, Simulator};
use serde_json::{Value, json};

use super::{MODEL, body, builder, call, infer};
use crate::client::Response;

/// Returns the lines of a complete data stream.
#[track_caller]
fn lines(response: &Response) -> Vec<(char, Value)> {
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("text/x-unknown"));
    assert_eq!(response.header("content-encoding"), Some("identity"));
    assert_eq!(response.header("x-vercel-ai-data-stream"), Some("v1"));
    let (chunks, whole) = response.chunks();
    assert!(whole);
    let text = chunks.concat();
    let line = |line: &str| {
        let (code, json) = line.split_once(':').unwrap();
        let code = code.chars().next().unwrap();
        (code, serde_json::from_str(json).unwrap())
    };
    text.lines().map(line).collect()
}

/// Returns the JSON of all events of a complete stream that ends with `[DONE]`.
#[track_caller]
fn events(response: &Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let (mut chunks, whole) = response.chunks();
    assert!(whole);
    assert_eq!(chunks.pop().as_deref(), Some("data: [DONE]\n\n"));
    let json = |chunk: &String| {
        let data = chunk.strip_prefix("data: ").unwrap();
        serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap()
    };
    chunks.iter().map(json).collect()
}

fn codes(lines: &[(char, Value)]) -> String {
    lines.iter().map(|(code, _)| code).collect()
}

/// Joins the texts of the lines with this code.
fn said(lines: &[(char, Value)], wanted: char) -> String {
    let texts = lines.iter().filter(|(code, _)| *code == wanted);
    texts.filter_map(|(_, text)| text.as_str()).collect()
}

fn call_of_a_tool() -> Answer {
    Answer::text("Let me look.").tool_call("sky", r#"{"at":"noon"}"#)
}

#[tokio::test]
async fn a_data_stream_has_steps_and_an_end() {
    let answer = Answer::tokens(["Hel", "lo \u{4e16}\u{754c}"]).reasoning("Hm.");
    let simulator = builder(PlaygroundProtocol::V4, answer)
        .start()
        .await
        .unwrap();
    let response = infer(&simulator).await;
    let lines = lines(&response);
    assert_eq!(codes(&lines), "fgg00ed");
    assert_eq!(said(&lines, 'g'), "Hm.");
    assert_eq!(said(&lines, '0'), "Hello \u{4e16}\u{754c}");
    let id = lines[0].1["messageId"].as_str().unwrap();
    assert!(id.starts_with("msg-"), "{id}");
    let text = response.chunks().0.concat();
    assert!(text.ends_with(
        "e:{\"finishReason\":\"stop\",\"usage\":{\"promptTokens\":14,\"completionTokens\":4},\"isContinued\":false}\nd:{\"finishReason\":\"stop\",\"usage\":{\"promptTokens\":14,\"completionTokens\":4}}\n"
    ), "{text}");
}

#[tokio::test]
async fn a_data_stream_calls_tools_in_steps() {
    let answer = call_of_a_tool().step(Answer::text("Blue.").finish_reason("content_filter"));
    let simulator = builder(PlaygroundProtocol::V4, answer)
        .start()
        .await
        .unwrap();
    let lines = lines(&infer(&simulator).await);
    let codes = codes(&lines);
    let arguments = codes.matches('c').count();
    assert_eq!(codes, format!("f0000b{}9aef00ed", "c".repeat(arguments)));
    let of = |wanted| {
        let mut found = lines.iter().filter(|(code, _)| *code == wanted);
        found.next().unwrap().1.clone()
    };
    let id = of('b')["toolCallId"].clone();
    assert_eq!(of('b'), json!({"toolCallId": id, "toolName": "sky"}));
    let deltas = lines.iter().filter(|(code, _)| *code == 'c');
    let deltas = deltas.filter_map(|(_, delta)| delta["argsTextDelta"].as_str());
    assert_eq!(deltas.collect::<String>(), r#"{"at":"noon"}"#);
    assert_eq!(
        of('9'),
        json!({"args": {"at": "noon"}, "toolCallId": id, "toolName": "sky"})
    );
    assert_eq!(of('a'), json!({"result": "simulated", "toolCallId": id}));
    assert_eq!(of('e')["finishReason"], "tool-calls");
    assert_eq!(of('d')["finishReason"], "content-filter");
    assert_eq!(of('d')["usage"]["promptTokens"], 28);
}

#[tokio::test]
async fn a_step_without_another_has_no_results() {
    let simulator = builder(PlaygroundProtocol::V4, call_of_a_tool());
    let simulator = simulator.start().await.unwrap();
    let lines = lines(&infer(&simulator).await);
    assert!(codes(&lines).ends_with("c9ed"));
    assert_eq!(lines.last().unwrap().1["finishReason"], "tool-calls");
}

#[tokio::test]
async fn a_ui_stream_is_events() {
    let answer = Answer::tokens(["Hel", "lo"]).reasoning("Hm");
    let simulator = builder(PlaygroundProtocol::V5, answer)
        .start()
        .await
        .unwrap();
    let response = infer(&simulator).await;
    assert_eq!(response.header("content-type"), Some("text/x-unknown"));
    let version = response.header("x-vercel-ai-ui-message-stream");
    assert_eq!(version, Some("v1"));
    assert_eq!(
        events(&response),
        [
            json!({"type": "start"}),
            json!({"type": "start-step"}),
            json!({"type": "reasoning-start", "id": "0"}),
            json!({"type": "reasoning-delta", "id": "0", "delta": "Hm"}),
            json!({"type": "reasoning-end", "id": "0"}),
            json!({"type": "text-start", "id": "1"}),
            json!({"type": "text-delta", "id": "1", "delta": "Hel"}),
            json!({"type": "text-delta", "id": "1", "delta": "lo"}),
            json!({"type": "text-end", "id": "1"}),
            json!({"type": "finish-step"}),
            json!({"type": "finish"}),
        ]
    );
    assert!(response.text().contains("data: {\"type\":\"text-delta\","));
}

#[tokio::test]
async fn a_ui_stream_calls_tools_in_steps() {
    let answer = call_of_a_tool().step(Answer::text("Blue."));
    let simulator = builder(PlaygroundProtocol::V5, answer)
        .start()
        .await
        .unwrap();
    let events = events(&infer(&simulator).await);
    let mut kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "start",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "tool-input-start",
            "tool-input-delta",
            "tool-input-available",
            "tool-output-available",
            "finish-step",
            "start-step",
            "text-start",
            "text-delta",
            "text-end",
            "finish-step",
            "finish",
        ]
    );
    let input = events
        .iter()
        .find(|event| event["type"] == "tool-input-available");
    assert_eq!(input.unwrap()["input"], json!({"at": "noon"}));
}

#[tokio::test]
async fn the_oldest_protocol_has_responses() {
    let answer = Answer::tokens(["Hel", "lo"]);
    let simulator = builder(PlaygroundProtocol::Oldest, answer);
    let simulator = simulator.start().await.unwrap();
    let response = infer(&simulator).await;
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(
        events(&response),
        [
            json!({"response": "Hel"}),
            json!({"response": "lo"}),
            json!({"response": ""}),
        ]
    );
}

#[tokio::test]
async fn a_token_limit_truncates_the_response() {
    for (protocol, last) in [
        (PlaygroundProtocol::V4, "\"finishReason\":\"length\""),
        (PlaygroundProtocol::Oldest, "data: {\"response\":\"b\"}"),
    ] {
        let answer = Answer::tokens(["a", "b", "c"]);
        let simulator = builder(protocol, answer).start().await.unwrap();
        let body = body(MODEL, "Hi").replace("2048", "2");
        let response = call(&simulator, "POST", "/api/inference", "", &body).await;
        let (chunks, whole) = response.chunks();
        assert!(whole);
        assert!(chunks[chunks.len() - 2].contains(last), "{chunks:?}");
        assert!(!chunks.concat().contains("\"c\""));
    }
}

#[tokio::test]
async fn a_response_is_generated() {
    let start = || Simulator::builder().seed(7).start();
    let (one, other) = (start().await.unwrap(), start().await.unwrap());
    let (first, second) = (infer(&one).await, infer(&other).await);
    assert_eq!(first.body, second.body);
    assert!(60 <= lines(&first).len());
    let fields = r#""tools":[{"name":"sky","description":"","inputSchema":{"type":"object"}}]"#;
    let body = body(MODEL, "Use the tool!").replace(r#""tools":[]"#, fields);
    let response = call(&one, "POST", "/api/inference", "", &body).await;
    assert!(codes(&lines(&response)).ends_with("9ed"));
}
