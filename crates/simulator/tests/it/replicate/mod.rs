//! Replicate: predictions, their streams, and their faults.

mod api;
mod faults;
mod predictions;
mod streams;

use std::time::Duration;

use inferstream_simulator::{Answer, Simulator, SimulatorBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::{Response, send, send_to};

/// The path of the model in most tests.
const MODEL: &str = "models/meta/meta-llama-3-8b-instruct/predictions";

/// The ten tokens of most tests.
const TOKENS: [&str; 10] = [
    "one", " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten",
];

/// Sends a request to the API with any key, and with these header lines.
async fn call(
    simulator: &Simulator,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Response {
    let len = body.len();
    let request = format!(
        "{method} /replicate/v1/{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\nconnection: close\r\n{headers}content-length: {len}\r\n\r\n{body}"
    );
    send(simulator, &request).await
}

async fn get(simulator: &Simulator, path: &str) -> Response {
    call(simulator, "GET", path, "", "").await
}

/// Creates a prediction, which must succeed.
async fn create(simulator: &Simulator) -> Value {
    let response = call(simulator, "POST", MODEL, "", &input("Hi")).await;
    assert_eq!(response.status(), 201, "{}", response.text());
    response.json()
}

/// Returns the state of a prediction.
async fn state(simulator: &Simulator, prediction: &Value) -> Value {
    let id = prediction["id"].as_str().unwrap();
    let response = get(simulator, &format!("predictions/{id}")).await;
    assert_eq!(response.status(), 200);
    response.json()
}

async fn cancel(simulator: &Simulator, prediction: &Value) -> Value {
    let id = prediction["id"].as_str().unwrap();
    let response = call(
        simulator,
        "POST",
        &format!("predictions/{id}/cancel"),
        "",
        "",
    )
    .await;
    assert_eq!(response.status(), 200);
    response.json()
}

/// Waits until the prediction has this status.
async fn until(simulator: &Simulator, prediction: &Value, status: &str) -> Value {
    loop {
        let now = state(simulator, prediction).await;
        if now["status"] == status {
            return now;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the stream of a prediction, with `last` as the last event id if it is set.
async fn stream(prediction: &Value, last: Option<&str>) -> Response {
    let url = prediction["urls"]["stream"].as_str().unwrap();
    let (_, url) = url.split_once("://").unwrap();
    let (authority, path) = url.split_once('/').unwrap();
    send_to(authority, &stream_request(path, last)).await
}

fn stream_request(path: &str, last: Option<&str>) -> String {
    let last = last.map_or_else(String::new, |last| format!("last-event-id: {last}\r\n"));
    format!(
        "GET /{path} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nconnection: close\r\n{last}\r\n"
    )
}

/// An event of a stream: its name, its id, its data.
type Event = (String, String, String);

/// Returns the complete events of a stream, and whether the stream has its end.
fn events(response: &Response) -> (Vec<Event>, bool) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let (chunks, whole) = response.chunks();
    let text = chunks.concat();
    let text = text.strip_prefix(": hi\n\n").unwrap();
    let mut events = Vec::new();
    for event in text.split_inclusive("\n\n") {
        let Some(event) = event.strip_suffix("\n\n") else {
            continue;
        };
        let values = |name: &str| {
            let lines = event.lines();
            let values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            values.collect::<Vec<_>>().join("\n")
        };
        events.push((values("event"), values("id"), values("data")));
    }
    (events, whole)
}

/// Joins the text of the output events.
fn text(events: &[Event]) -> String {
    let outputs = events.iter().filter(|(name, _, _)| name == "output");
    outputs.map(|(_, _, data)| data.as_str()).collect()
}

/// Returns the last event's name and data.
fn last(events: &[Event]) -> (&str, &str) {
    let (name, _, data) = events.last().unwrap();
    (name, data)
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|(_, id, _)| id.as_str()).collect()
}

fn input(prompt: &str) -> String {
    json!({"input": {"prompt": prompt}}).to_string()
}

/// Returns the settings of a server that sends the tokens as often as needed.
fn counting() -> SimulatorBuilder {
    let builder = Simulator::builder();
    let answers = (0..4).map(|_| Answer::tokens(TOKENS));
    answers.fold(builder, SimulatorBuilder::answer)
}
