//! Faults on the wire.

use std::time::Duration;

use inferstream_simulator::{Answer, Fault, Piece, Simulator};
use serde_json::Value;

use crate::client::{End, Response, chat, compatible, request, said};

/// The texts of the eight tokens before a fault.
const BEFORE: &str = "one two three four five six seven eight";

async fn streamed(name: &str) -> Response {
    answered(name, r#""stream":true"#).await
}

async fn answered(name: &str, fields: &str) -> Response {
    let simulator = Simulator::builder()
        .fault(name.parse().unwrap())
        .answer(Answer::text(format!("{BEFORE} nine ten")))
        .start()
        .await
        .unwrap();
    chat(&simulator, &request("tiny", "Count!", fields)).await
}

/// Checks that the events before the fault are complete, and returns what follows.
#[track_caller]
fn after_tokens(response: &Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let (mut chunks, _) = response.chunks();
    let rest = chunks.split_off(9);
    let text: String = chunks
        .iter()
        .filter_map(|chunk| {
            let data = chunk.strip_prefix("data: ").unwrap();
            let chunk: Value = serde_json::from_str(data).unwrap();
            Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())
        })
        .collect();
    assert_eq!(text, BEFORE);
    rest
}

#[tokio::test]
async fn bad_json_is_one_chunk_among_good_ones() {
    let response = streamed("badjson").await;
    let rest = after_tokens(&response);
    let parsed = rest.iter().map(|chunk| {
        let data = chunk.strip_prefix("data: ").unwrap().trim_end();
        serde_json::from_str::<Value>(data).is_ok()
    });
    assert_eq!(parsed.collect::<Vec<_>>(), [false, true, true, true]);
    assert!(response.chunks().1);
}

#[tokio::test]
async fn a_cut_ends_inside_an_event_without_a_last_chunk() {
    let response = streamed("cut").await;
    let rest = after_tokens(&response);
    assert_eq!(rest.len(), 1);
    assert!(rest[0].starts_with("data: {") && !rest[0].contains('\n'));
    assert!(!response.chunks().1);
    assert_eq!(response.end, End::Closed);
}

#[tokio::test]
async fn a_call_in_fragments_ends_between_them() {
    let simulator = Simulator::builder()
        .fault(Fault::Truncate)
        .answer(Answer::tokens([""; 0]).tool_call("add", r#"{"a":2,"b":3}"#))
        .start()
        .await
        .unwrap();
    let body = request("any", "Hi", r#""stream":true"#);
    let events = compatible(&simulator, &body).await.events();
    let deltas = events.iter().map(|event| &event["choices"][0]["delta"]);
    let pieces =
        deltas.filter_map(|delta| delta["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(pieces.collect::<String>(), r#"{"a":2,"#);
}

#[tokio::test]
async fn an_error_is_an_object_in_the_stream() {
    let response = streamed("error").await;
    let expected = "data: {\"error\":{\"message\":\"Encountered a server error, please try again.\",\"type\":\"server_error\",\"param\":\"\",\"code\":\"server_error\",\"id\":\"\"},\"status_code\":500}\n\n";
    assert_eq!(after_tokens(&response), [expected]);
    assert!(response.chunks().1);
}

#[tokio::test]
async fn a_stall_keeps_the_connection_open() {
    let response = streamed("stall").await;
    assert_eq!(after_tokens(&response), [""; 0]);
    assert_eq!(response.end, End::Silent);
}

#[tokio::test]
async fn a_truncated_stream_has_a_clean_end() {
    let response = streamed("truncate").await;
    assert_eq!(after_tokens(&response), [""; 0]);
    assert!(response.chunks().1);
    assert_eq!(response.end, End::Closed);
}

#[tokio::test]
async fn silence_and_close_send_no_bytes() {
    for (name, end) in [("silence", End::Silent), ("close", End::Closed)] {
        let response = streamed(name).await;
        assert_eq!((response.head.as_str(), response.end), ("", end), "{name}");
    }
}

#[tokio::test]
async fn a_status_has_the_flat_body() {
    let response = streamed("429:12").await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.header("retry-after"), Some("12"));
    assert_eq!(
        response.header("x-ratelimit-remaining-tokens-minute"),
        Some("0")
    );
    assert_eq!(
        response.text(),
        r#"{"message":"Tokens per minute limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#
    );

    let response = streamed("500").await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.header("retry-after"), None);
    assert_eq!(response.json()["code"], "server_error");
}

#[tokio::test]
async fn every_status_can_be_sent() {
    for status in 400..=599 {
        let response = streamed(&status.to_string()).await;
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn a_document_breaks_in_the_middle() {
    for (name, end, whole) in [
        ("badjson", End::Closed, true),
        ("cut", End::Closed, false),
        ("stall", End::Silent, false),
        ("truncate", End::Closed, true),
    ] {
        let response = answered(name, "").await;
        assert_eq!(response.status(), 200);
        assert!(serde_json::from_slice::<Value>(&response.body).is_err());
        let promised: usize = response.header("content-length").unwrap().parse().unwrap();
        assert_eq!(response.body.len() == promised, whole, "{name}");
        assert_eq!(response.end, end, "{name}");
    }
    assert_eq!(answered("error", "").await.status(), 500);
}

#[tokio::test]
async fn faults_are_taken_in_order_and_keep_the_queued_answer() {
    let simulator = Simulator::builder()
        .fault("429".parse().unwrap())
        .fault(Fault::CloseBeforeHead)
        .answer(Answer::raw(200, &[], [Piece::from("raw")]))
        .answer(Answer::text("text"))
        .start()
        .await
        .unwrap();
    let body = request("tiny", "Hi", "");
    assert_eq!(chat(&simulator, &body).await.status(), 429);
    assert_eq!(chat(&simulator, &body).await.head, "");
    assert_eq!(chat(&simulator, &body).await.chunks().0, ["raw"]);
    let text = chat(&simulator, &body).await.json();
    assert_eq!(text["choices"][0]["message"]["content"], "text");
}

#[tokio::test]
async fn every_fault_applies_to_all_requests() {
    let simulator = Simulator::builder()
        .every_fault("503".parse().unwrap())
        .start()
        .await
        .unwrap();
    for _ in 0..3 {
        let response = chat(&simulator, &request("tiny", "Hi", "")).await;
        assert_eq!(response.status(), 503);
    }
}

#[tokio::test]
async fn a_raw_answer_can_abort_and_hang() {
    for (piece, end) in [(Piece::Abort, End::Closed), (Piece::Hang, End::Silent)] {
        let simulator = Simulator::builder()
            .answer(Answer::raw(200, &[], [Piece::from("data: {"), piece]))
            .start()
            .await
            .unwrap();
        let response = chat(&simulator, "").await;
        assert_eq!(response.chunks(), (vec!["data: {".to_owned()], false));
        assert_eq!(response.end, end);
    }
}

#[tokio::test]
async fn a_cut_respects_the_token_rate() {
    let simulator = Simulator::builder()
        .tokens_per_second(1000.0)
        .fault(Fault::Cut)
        .start()
        .await
        .unwrap();
    let start = std::time::Instant::now();
    let body = request("tiny", "Hi", r#""stream":true"#);
    assert_eq!(chat(&simulator, &body).await.end, End::Closed);
    assert!(Duration::from_millis(8) <= start.elapsed());
}

#[tokio::test]
async fn a_fault_of_another_service_does_not_affect_a_chat() {
    for name in [
        "aborted",
        "canceled",
        "coldboot",
        "cutall",
        "donefail",
        "early",
        "evilcancel",
        "evilhost",
        "failed",
        "lost",
        "noid",
        "nourl",
        "baredone",
        "challenge",
        "context",
        "empty",
        "expire",
        "heartbeats",
        "html",
        "jsonstream",
        "midfinish",
        "nofinish",
        "notsuccess",
        "plan",
        "quota",
        "quota-rest",
        "stream:401",
    ] {
        let response = streamed(name).await;
        assert_eq!(
            said(&response.events(), 0, "content"),
            format!("{BEFORE} nine ten")
        );
        let whole = answered(name, "").await.json();
        assert_eq!(whole["choices"][0]["finish_reason"], "stop", "{name}");
    }
}

#[test]
fn a_fault_has_a_name() {
    for name in [
        "400",
        "429",
        "429:2",
        "500",
        "aborted",
        "badjson",
        "canceled",
        "close",
        "coldboot",
        "cut",
        "cutall",
        "donefail",
        "early",
        "error",
        "evilcancel",
        "evilhost",
        "failed",
        "lost",
        "noid",
        "nourl",
        "silence",
        "stall",
        "stream:401",
        "baredone",
        "challenge",
        "context",
        "empty",
        "expire",
        "heartbeats",
        "html",
        "jsonstream",
        "midfinish",
        "nofinish",
        "notsuccess",
        "plan",
        "quota",
        "quota-rest",
        "truncate",
    ] {
        assert_eq!(name.parse::<Fault>().unwrap().to_string(), name);
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    for name in [
        "",
        "none",
        "200",
        "600",
        "Cut",
        "4 29",
        "stream:",
        "stream:200",
    ] {
        let error = name.parse::<Fault>().unwrap_err().to_string();
        assert!(error.contains(&format!("{name:?}")), "{error}");
        assert!(
            error.contains("badjson") && error.contains("429"),
            "{error}"
        );
    }
}
