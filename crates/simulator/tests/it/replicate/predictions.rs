//! Predictions: how they are created, run and end.

use std::time::{Duration, Instant};

use inferstream_simulator::{Answer, Counts, Piece, Simulator};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    MODEL, TOKENS, call, cancel, counting, create, events, get, input, last, state, stream, text,
    until,
};

#[tokio::test]
async fn a_prediction_is_created_streamed_and_read() {
    let simulator = counting().start().await.unwrap();
    let prediction = create(&simulator).await;
    let url = simulator.replicate_url();
    let id = prediction["id"].as_str().unwrap();
    assert!(
        id.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    );
    let stream_url = prediction["urls"]["stream"].as_str().unwrap();
    let streams = format!("http://{}/v1/streams/", simulator.stream_authority());
    assert!(stream_url.starts_with(&streams), "{stream_url}");
    assert_eq!(
        prediction,
        json!({
            "id": id,
            "model": "meta/meta-llama-3-8b-instruct",
            "version": "hidden",
            "input": {"prompt": "Hi"},
            "logs": "",
            "output": null,
            "error": null,
            "status": "starting",
            "created_at": "2023-07-24T15:24:52.000Z",
            "data_removed": false,
            "source": "api",
            "urls": {
                "get": format!("{url}/predictions/{id}"),
                "cancel": format!("{url}/predictions/{id}/cancel"),
                "stream": stream_url,
                "web": format!("https://replicate.com/p/{id}"),
            },
        })
    );

    let (events, whole) = events(&stream(&prediction, None).await);
    assert!(whole);
    assert_eq!(text(&events), TOKENS.concat());
    assert_eq!(last(&events), ("done", "{}"));

    let ended = state(&simulator, &prediction).await;
    assert_eq!(ended["status"], "succeeded");
    assert_eq!(ended["output"], json!(TOKENS));
    assert_eq!(ended["metrics"]["output_token_count"], 10);
    assert_eq!(ended["metrics"]["input_token_count"], 1);
    assert!(ended["started_at"].is_string() && ended["completed_at"].is_string());
}

#[tokio::test]
async fn the_response_to_a_creation_has_the_recorded_format() {
    let simulator = counting().start().await.unwrap();
    let response = call(&simulator, "POST", MODEL, "", &input("Hi")).await;
    assert_eq!(response.status(), 201);
    for (name, value) in [
        ("content-type", "application/json"),
        ("ratelimit-remaining", "599"),
        ("ratelimit-reset", "1"),
    ] {
        assert_eq!(response.header(name), Some(value));
    }
    let text = response.text();
    let keys = [
        "id",
        "model",
        "version",
        "input",
        "logs",
        "output",
        "error",
        "status",
        "created_at",
        "data_removed",
        "source",
        "urls",
    ];
    let positions = keys.map(|key| text.find(&format!("\"{key}\":")).unwrap());
    assert!(positions.is_sorted(), "{text}");
}

#[tokio::test]
async fn same_seed_and_order_give_the_same_predictions() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let simulator = Simulator::builder().seed(seed).start().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let prediction = create(&simulator).await;
            let (events, _) = events(&stream(&prediction, None).await);
            seen.push((prediction["id"].clone(), events));
        }
        assert_ne!(seen[0].0, seen[1].0);
        assert_eq!(text(&seen[0].1), text(&seen[1].1));
        runs.push(seen);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0][0].0, runs[2][0].0);
    assert_ne!(text(&runs[0][0].1), text(&runs[2][0].1));
}

#[tokio::test]
async fn versions_and_deployments_are_supported() {
    let simulator = Simulator::builder().start().await.unwrap();
    let hash = "0123456789abcdef".repeat(4);
    let known = get(&simulator, "models/replicate/vicuna-13b").await.json();
    let known = known["latest_version"]["id"].as_str().unwrap().to_owned();
    for (version, model, expected) in [
        (hash.clone(), "simulated/community", hash.as_str()),
        (known.clone(), "replicate/vicuna-13b", &known),
        (format!("some/one:{hash}"), "some/one", &hash),
        (
            "replicate/vicuna-13b".to_owned(),
            "replicate/vicuna-13b",
            &known,
        ),
        ("openai/gpt-5".to_owned(), "openai/gpt-5", "hidden"),
    ] {
        let body = json!({"version": version, "input": {"prompt": "Hi"}}).to_string();
        let response = call(&simulator, "POST", "predictions", "", &body).await;
        assert_eq!(response.status(), 201, "{version}");
        let prediction = response.json();
        assert_eq!(prediction["model"], model);
        assert_eq!(prediction["version"], expected);
    }

    let path = "deployments/me/mine/predictions";
    let prediction = call(&simulator, "POST", path, "", &input("Hi"))
        .await
        .json();
    assert_eq!(prediction["deployment"], "me/mine");
    assert!(prediction["version"].as_str().unwrap().starts_with("dp-"));
}

#[tokio::test]
async fn a_model_without_streams_has_no_url_for_one() {
    let simulator = Simulator::builder().start().await.unwrap();
    let path = "models/simulated/no-stream/predictions";
    let prediction = call(&simulator, "POST", path, "", &input("Hi"))
        .await
        .json();
    assert!(prediction["urls"].get("stream").is_none());
    let ended = until(&simulator, &prediction, "succeeded").await;
    assert!(!ended["output"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_limit_truncates_generated_text() {
    let simulator = Simulator::builder().start().await.unwrap();
    for name in [
        "max_tokens",
        "max_new_tokens",
        "max_completion_tokens",
        "max_length",
    ] {
        let body = json!({"input": {"prompt": "Hi", name: 3}}).to_string();
        let headers = "prefer: wait\r\n";
        let prediction = call(&simulator, "POST", MODEL, headers, &body).await.json();
        assert_eq!(prediction["output"].as_array().unwrap().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn tokens_are_produced_one_by_one() {
    let simulator = counting()
        .boot(Duration::from_millis(200))
        .tokens_per_second(10.0)
        .start()
        .await
        .unwrap();
    let start = Instant::now();
    let prediction = create(&simulator).await;
    let starting = state(&simulator, &prediction).await;
    // A busy machine may be late, but never early.
    if start.elapsed() < Duration::from_millis(200) {
        assert_eq!(starting["status"], "starting");
        assert!(starting.get("started_at").is_none() && starting["output"].is_null());
    }
    let running = until(&simulator, &prediction, "processing").await;
    assert!(running["started_at"].is_string() && running.get("completed_at").is_none());
    let ended = until(&simulator, &prediction, "succeeded").await;
    assert!(Duration::from_millis(1200) <= start.elapsed());
    assert_eq!(ended["output"], json!(TOKENS));
    assert_eq!(ended["created_at"], "2023-07-24T15:24:52.000Z");
    assert_eq!(ended["started_at"], "2023-07-24T15:24:52.200Z");
    assert_eq!(ended["completed_at"], "2023-07-24T15:24:53.200Z");
    assert_eq!(ended["metrics"]["predict_time"], 1.0);
    assert_eq!(ended["metrics"]["total_time"], 1.2);
    assert_eq!(ended["metrics"]["time_to_first_token"], 0.1);
    assert_eq!(ended["metrics"]["tokens_per_second"], 10.0);
}

#[tokio::test]
async fn a_canceled_prediction_keeps_its_output() {
    let simulator = counting().tokens_per_second(2.0).start().await.unwrap();
    let prediction = create(&simulator).await;
    until(&simulator, &prediction, "processing").await;
    let canceled = cancel(&simulator, &prediction).await;
    assert_eq!(canceled["status"], "canceled");
    assert!(canceled["completed_at"].is_string());
    let said = canceled["output"].as_array().map_or(0, Vec::len);
    assert!(said < 10);
    assert_eq!(cancel(&simulator, &prediction).await, canceled);
    let (events, whole) = events(&stream(&prediction, None).await);
    assert!(whole);
    assert_eq!(text(&events), TOKENS[..said].concat());
    assert_eq!(last(&events), ("done", r#"{"reason":"canceled"}"#));
}

#[tokio::test]
async fn canceling_a_prediction_that_has_ended_does_nothing() {
    let simulator = counting().start().await.unwrap();
    let prediction = create(&simulator).await;
    until(&simulator, &prediction, "succeeded").await;
    let canceled = cancel(&simulator, &prediction).await;
    assert_eq!(canceled["status"], "succeeded");
    let unknown = call(&simulator, "POST", "predictions/x/cancel", "", "").await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn a_deadline_aborts_or_cancels_a_prediction() {
    for (boot, status) in [(60, "aborted"), (0, "canceled")] {
        let simulator = counting()
            .boot(Duration::from_secs(boot))
            .tokens_per_second(0.1)
            .start()
            .await
            .unwrap();
        let headers = "cancel-after: 1s\r\n";
        let prediction = call(&simulator, "POST", MODEL, headers, &input("Hi")).await;
        let prediction = prediction.json();
        assert_eq!(prediction["deadline"], "2023-07-24T15:24:53.000Z");
        let ended = until(&simulator, &prediction, status).await;
        assert_eq!(ended["completed_at"], ended["deadline"]);
        assert_eq!(ended.get("started_at").is_some(), status == "canceled");
    }
}

#[tokio::test]
async fn a_creation_may_wait_for_the_end() {
    let simulator = counting().tokens_per_second(500.0).start().await.unwrap();
    for prefer in ["wait", "wait=10", "respond-async, wait=10"] {
        let headers = format!("prefer: {prefer}\r\n");
        let response = call(&simulator, "POST", MODEL, &headers, &input("Hi")).await;
        assert_eq!(response.status(), 201);
        assert_eq!(response.header("preference-applied"), Some("wait"));
        assert_eq!(response.json()["status"], "succeeded");
        assert_eq!(response.json()["output"], json!(TOKENS));
    }
}

#[tokio::test]
async fn a_wait_ends_before_the_prediction_does() {
    let simulator = counting()
        .boot(Duration::from_secs(60))
        .start()
        .await
        .unwrap();
    let body = input("Hi");
    let request = format!(
        "POST /replicate/v1/{MODEL} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\nprefer: wait=1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let start = Instant::now();
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    assert!(Duration::from_secs(1) <= start.elapsed());
    assert!(response.contains("preference-applied: wait\r\n"));
    assert!(response.contains(r#""status":"starting""#));
}

#[tokio::test]
async fn predictions_are_listed_newest_first() {
    let simulator = counting().start().await.unwrap();
    let first = create(&simulator).await;
    let second = create(&simulator).await;
    let list = get(&simulator, "predictions").await.json();
    let ids: Vec<_> = list["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, [&second["id"], &first["id"]]);
    assert!(list["next"].is_null() && list["previous"].is_null());
}

#[tokio::test]
async fn requests_are_counted_whatever_their_response() {
    let simulator = counting()
        .fault("429".parse().unwrap())
        .start()
        .await
        .unwrap();
    assert_eq!(simulator.counts(), Counts::default());
    call(&simulator, "POST", MODEL, "", &input("Hi")).await;
    call(&simulator, "POST", MODEL, "", "not JSON").await;
    let prediction = create(&simulator).await;
    stream(&prediction, None).await;
    stream(&prediction, None).await;
    state(&simulator, &prediction).await;
    get(&simulator, "predictions/x").await;
    get(&simulator, "predictions").await;
    cancel(&simulator, &prediction).await;
    let counts = simulator.counts();
    assert_eq!((counts.creates, counts.streams), (3, 2));
    assert_eq!((counts.gets, counts.cancels), (2, 1));
}

#[tokio::test]
async fn a_raw_answer_replaces_a_prediction() {
    let simulator = Simulator::builder()
        .answer(Answer::raw(202, &[("x-a", "1")], [Piece::from("{}")]))
        .start()
        .await
        .unwrap();
    let response = call(&simulator, "POST", MODEL, "", "not JSON").await;
    assert_eq!(
        (response.status(), response.header("x-a")),
        (202, Some("1"))
    );
    assert_eq!(response.chunks().0, ["{}"]);
    let list = get(&simulator, "predictions").await.json();
    assert_eq!(list["results"], json!([]));
}

#[tokio::test]
async fn reasoning_and_tool_calls_are_omitted() {
    let answer = Answer::text("Well.").reasoning("Hm").tool_call("a", "{}");
    let simulator = Simulator::builder().answer(answer).start().await.unwrap();
    let prediction = create(&simulator).await;
    let ended = until(&simulator, &prediction, "succeeded").await;
    assert_eq!(ended["output"], json!(["Well", "."]));
}
