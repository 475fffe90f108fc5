//! Faults of predictions on the wire.

use inferstream_simulator::{Answer, Simulator};
use serde_json::{Value, json};

use super::{
    MODEL, TOKENS, call, cancel, create, events, get, ids, input, last, state, stream, text, until,
};
use crate::client::{End, Response};

async fn start(fault: &str) -> Simulator {
    Simulator::builder()
        .fault(fault.parse().unwrap())
        .answer(Answer::tokens(TOKENS))
        .start()
        .await
        .unwrap()
}

async fn post(simulator: &Simulator) -> Response {
    call(simulator, "POST", MODEL, "", &input("Hi")).await
}

/// Returns the first stream of a prediction with this fault, and a later one.
async fn streams(fault: &str) -> (Response, Response) {
    let simulator = start(fault).await;
    let prediction = create(&simulator).await;
    (
        stream(&prediction, None).await,
        stream(&prediction, None).await,
    )
}

/// Returns all predictions.
async fn list(simulator: &Simulator) -> Vec<Value> {
    let list = get(simulator, "predictions").await.json();
    list["results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_fault_that_replaces_the_response_creates_nothing() {
    for (fault, end) in [("close", End::Closed), ("silence", End::Silent)] {
        let simulator = start(fault).await;
        let response = post(&simulator).await;
        assert_eq!((response.head.as_str(), response.end), ("", end));
        assert!(list(&simulator).await.is_empty(), "{fault}");
        assert_eq!(simulator.counts().creates, 1);
    }
    for status in 400..=599 {
        let simulator = start(&status.to_string()).await;
        let response = post(&simulator).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.json()["status"], status);
        let problem = Some("application/problem+json");
        assert_eq!(response.header("content-type"), problem);
        assert_eq!(response.header("retry-after"), None);
        assert!(list(&simulator).await.is_empty(), "{status}");
        create(&simulator).await;
    }
}

#[tokio::test]
async fn a_throttled_request_has_a_delay() {
    for (fault, header, body) in [
        (
            "429",
            None,
            r#"{"title":"Request was throttled","detail":"Request was throttled. Your rate limit resets in ~30s.","status":429}"#,
        ),
        (
            "429:9",
            Some("9"),
            r#"{"title":"Request was throttled","detail":"Request was throttled. Your rate limit resets in ~9s.","status":429,"retry_after":9}"#,
        ),
        (
            "429:soon",
            Some("soon"),
            r#"{"title":"Request was throttled","detail":"Request was throttled. Your rate limit resets in ~30s.","status":429}"#,
        ),
    ] {
        let response = post(&start(fault).await).await;
        assert_eq!(response.header("retry-after"), header);
        assert_eq!(response.header("ratelimit-remaining"), Some("599"));
        assert_eq!(response.text(), body);
    }
}

#[tokio::test]
async fn bad_json_is_half_of_the_prediction() {
    let simulator = start("badjson").await;
    let response = post(&simulator).await;
    assert_eq!(response.status(), 201);
    assert!(serde_json::from_slice::<Value>(&response.body).is_err());
    assert!(response.text().starts_with(r#"{"id":""#));
    assert_eq!(list(&simulator).await.len(), 1);
}

#[tokio::test]
async fn a_lost_prediction_exists() {
    let simulator = start("lost").await;
    let response = post(&simulator).await;
    assert_eq!((response.head.as_str(), response.end), ("", End::Closed));
    assert_eq!(list(&simulator).await.len(), 1);
}

#[tokio::test]
async fn a_prediction_may_lack_its_id() {
    let simulator = start("noid").await;
    let response = post(&simulator).await;
    assert_eq!(response.status(), 201);
    let prediction = response.json();
    assert!(prediction.get("id").is_none());
    let (events, _) = events(&stream(&prediction, None).await);
    assert_eq!(text(&events), TOKENS.concat());
}

#[tokio::test]
async fn a_prediction_may_lack_its_stream() {
    let simulator = start("nourl").await;
    let prediction = create(&simulator).await;
    assert!(prediction["urls"].get("stream").is_none());
    let ended = until(&simulator, &prediction, "succeeded").await;
    assert_eq!(ended["output"], json!(TOKENS));
}

#[tokio::test]
async fn urls_may_point_to_another_host() {
    let simulator = start("evilhost").await;
    let prediction = create(&simulator).await;
    let url = prediction["urls"]["stream"].as_str().unwrap();
    assert!(url.starts_with("https://stream.replicate.com.evil.example/v1/streams/"));
    assert_eq!(
        state(&simulator, &prediction).await["urls"],
        prediction["urls"]
    );

    let simulator = start("evilcancel").await;
    let prediction = create(&simulator).await;
    let url = prediction["urls"]["cancel"].as_str().unwrap();
    assert!(url.starts_with("http://api.replicate.com.evil.example/"));
    let (events, _) = events(&stream(&prediction, None).await);
    assert_eq!(text(&events), TOKENS.concat());
}

#[tokio::test]
async fn a_prediction_may_have_ended_at_creation() {
    for (status, error, reason) in [
        ("aborted", None, "canceled"),
        ("canceled", None, "canceled"),
        ("failed", Some("Model setup failed"), "error"),
    ] {
        let simulator = start(status).await;
        let prediction = create(&simulator).await;
        assert_eq!(prediction["status"], status);
        assert_eq!(prediction["error"].as_str(), error);
        assert!(prediction["output"].is_null() && prediction["completed_at"].is_string());
        assert_eq!(state(&simulator, &prediction).await, prediction);
        assert_eq!(cancel(&simulator, &prediction).await, prediction);
        let (events, _) = events(&stream(&prediction, None).await);
        assert_eq!(events.len(), 1 + usize::from(error.is_some()));
        let done = format!(r#"{{"reason":"{reason}"}}"#);
        assert_eq!(last(&events), ("done", done.as_str()));
    }
}

#[tokio::test]
async fn a_cold_boot_never_ends_on_its_own() {
    let simulator = start("coldboot").await;
    let prediction = create(&simulator).await;
    let response = stream(&prediction, None).await;
    assert_eq!(response.end, End::Silent);
    assert_eq!(response.chunks().0, [": hi\n\n"]);
    assert_eq!(state(&simulator, &prediction).await["status"], "starting");
    assert_eq!(cancel(&simulator, &prediction).await["status"], "canceled");
}

#[tokio::test]
async fn the_first_stream_breaks_and_the_next_is_complete() {
    for (fault, end, whole) in [
        ("cut", End::Closed, false),
        ("stall", End::Silent, false),
        ("truncate", End::Closed, true),
    ] {
        let (first, second) = streams(fault).await;
        let (events_first, is_whole) = events(&first);
        assert_eq!(text(&events_first), TOKENS[..8].concat(), "{fault}");
        assert_eq!(events_first.len(), 8);
        assert_eq!((first.end, is_whole), (end, whole), "{fault}");
        let (chunks, _) = first.chunks();
        assert_eq!(chunks.len(), if fault == "cut" { 10 } else { 9 });
        let (events, whole) = events(&second);
        assert_eq!((text(&events), whole), (TOKENS.concat(), true));
    }
}

#[tokio::test]
async fn a_short_response_breaks_before_its_end() {
    for fault in ["cut", "truncate"] {
        let simulator = Simulator::builder()
            .fault(fault.parse().unwrap())
            .answer(Answer::tokens(["a", "b"]))
            .start()
            .await
            .unwrap();
        let prediction = create(&simulator).await;
        let (events, _) = events(&stream(&prediction, None).await);
        assert_eq!(last(&events), ("output", "b"), "{fault}");
    }
}

#[tokio::test]
async fn an_error_fails_the_prediction() {
    for (fault, error, is_told) in [
        (
            "error",
            "Prediction interrupted; please retry (code: PA)",
            true,
        ),
        ("donefail", "CUDA out of memory", false),
    ] {
        let simulator = start(fault).await;
        let prediction = create(&simulator).await;
        let failed = until(&simulator, &prediction, "failed").await;
        assert_eq!(failed["error"], error);
        assert_eq!(failed["output"], json!(TOKENS[..8]));
        for _ in 0..2 {
            let (events, whole) = events(&stream(&prediction, None).await);
            assert!(whole);
            assert_eq!(text(&events), TOKENS[..8].concat());
            assert_eq!(last(&events), ("done", r#"{"reason":"error"}"#));
            let told = events.iter().find(|(name, _, _)| name == "error");
            let told = told.map(|(_, _, data)| serde_json::from_str::<Value>(data).unwrap());
            assert_eq!(told, is_told.then(|| json!({"detail": error})));
        }
    }
}

#[tokio::test]
async fn every_stream_may_be_cut() {
    let simulator = start("cutall").await;
    let prediction = create(&simulator).await;
    let mut said = String::new();
    let mut id = None;
    for count in [3, 3, 3, 2] {
        let response = stream(&prediction, id.as_deref()).await;
        let (events, whole) = events(&response);
        assert_eq!((events.len(), whole), (count, count < 3));
        said += &text(&events);
        id = ids(&events).last().map(|&id| id.to_owned());
    }
    assert_eq!(said, TOKENS.concat());
}

#[tokio::test]
async fn a_stream_may_be_requested_too_early() {
    let simulator = start("early").await;
    let prediction = create(&simulator).await;
    for status in [404, 404, 200, 200] {
        assert_eq!(stream(&prediction, None).await.status(), status);
    }
    assert_eq!(simulator.counts().streams, 4);
}

#[tokio::test]
async fn a_stream_may_be_refused() {
    let simulator = start("stream:401").await;
    let prediction = create(&simulator).await;
    for _ in 0..2 {
        let response = stream(&prediction, None).await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.json()["title"], "Unauthenticated");
    }
    until(&simulator, &prediction, "succeeded").await;
}

#[tokio::test]
async fn a_fault_of_another_service_does_not_affect_a_prediction() {
    for fault in [
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
    ] {
        let simulator = start(fault).await;
        let prediction = create(&simulator).await;
        let (events, whole) = events(&stream(&prediction, None).await);
        assert!(whole, "{fault}");
        assert_eq!(text(&events), TOKENS.concat(), "{fault}");
        let ended = until(&simulator, &prediction, "succeeded").await;
        assert_eq!(ended["output"], json!(TOKENS), "{fault}");
    }
}
