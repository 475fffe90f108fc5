//! Predictions over a scripted transport: requests, events and endings.

mod budget;
mod cancel;
mod create;
mod cuts;
mod double;
mod ends;
mod errors;
mod fixtures;
mod hostile;
mod hosts;
mod inputs;
mod models;
mod polling;
mod properties;
mod reports;
mod resume;
mod secrets;
mod timers;
mod unread;

use std::time::Duration;

use inferstream_core::{ChatRequest, ChatStream, Error, ErrorKind, Result, Sent};
use inferstream_replicate::{Replicate, ReplicateBuilder};
use serde_json::{Value, json};

use self::double::{Scene, Service, What};
use crate::support::{Answer, Outcome, Piece, block_on, broken, piece, problem, shown};

/// A key that must never be shown.
const KEY: &str = "r8_5ecret0fTheTest0000000000000000000000";
const ID: &str = "4awn473bsrztjzlx2b6ufoxkkm";
const HOST: &str = "api.replicate.com";
const STREAM_HOST: &str = "streaming-api.svc.us.c.replicate.net";
const MODEL: &str = "meta/meta-llama-3-70b-instruct";

fn stream_url() -> String {
    format!("https://{STREAM_HOST}/v1/predictions/{ID}")
}

fn get_url() -> String {
    format!("https://{HOST}/v1/predictions/{ID}")
}

fn cancel_url() -> String {
    format!("{}/cancel", get_url())
}

fn web_url() -> String {
    format!("https://replicate.com/p/{ID}")
}

/// The document of a prediction in a state.
fn prediction(status: &str, output: &Value) -> Value {
    json!({
        "id": ID,
        "model": MODEL,
        "version": "hidden",
        "input": {"prompt": "hi"},
        "logs": "",
        "output": output,
        "data_removed": false,
        "error": null,
        "source": "api",
        "status": status,
        "created_at": "2026-05-01T12:00:00.000Z",
        "urls": {
            "cancel": cancel_url(),
            "get": get_url(),
            "stream": stream_url(),
            "web": web_url(),
        },
    })
}

/// The document of a prediction that succeeded.
fn succeeded(tokens: &[impl AsRef<str>]) -> Value {
    let tokens: Vec<_> = tokens.iter().map(AsRef::as_ref).collect();
    let mut value = prediction("succeeded", &json!(tokens));
    value["metrics"] = json!({
        "predict_time": 1.5,
        "total_time": 2.5,
        "input_token_count": 7,
        "output_token_count": 11,
        "time_to_first_token": 0.25,
        "tokens_per_second": 30.5,
    });
    value["started_at"] = json!("2026-05-01T12:00:01.000Z");
    value["completed_at"] = json!("2026-05-01T12:00:02.500Z");
    value
}

fn failed(error: &str) -> Value {
    let mut value = prediction("failed", &Value::Null);
    value["error"] = json!(error);
    value
}

fn document(value: &Value) -> Answer {
    Answer::json(200, &value.to_string())
}

fn created(value: &Value) -> Answer {
    Answer::json(201, &value.to_string())
}

/// The response to a creating request: the prediction has not started.
fn starting() -> Answer {
    created(&prediction("starting", &Value::Null))
}

/// The document of a prediction without a URL for its stream.
fn without_stream(mut value: Value) -> Value {
    value["urls"].as_object_mut().unwrap().remove("stream");
    value
}

/// Sets one of the prediction's URLs.
fn with_url(mut value: Value, name: &str, url: &str) -> Value {
    value["urls"][name] = json!(url);
    value
}

/// An event of a stream: its name, its id unless empty, its data.
fn frame(event: &str, id: &str, data: &str) -> String {
    let mut frame = format!("event: {event}\n");
    if !id.is_empty() {
        frame.extend(["id: ", id, "\n"]);
    }
    for line in data.split('\n') {
        frame.extend(["data: ", line, "\n"]);
    }
    frame + "\n"
}

fn output(nth: usize, text: &str) -> String {
    frame("output", &event_id(nth), text)
}

fn event_id(nth: usize) -> String {
    format!("{}:0", 1_690_212_292 + nth)
}

fn done() -> String {
    frame("done", "1690219999:0", "{}")
}

/// A complete stream of tokens.
fn stream_of(tokens: &[impl AsRef<str>]) -> String {
    let outputs = tokens.iter().enumerate();
    let outputs: Vec<_> = outputs
        .map(|(nth, token)| output(nth, token.as_ref()))
        .collect();
    format!(": hi\n\n{}{}", outputs.concat(), done())
}

/// A service with this stream in one fragment, and without other data.
fn scene(stream: &str) -> Scene {
    scene_of([Piece::from(stream)])
}

fn scene_of(pieces: impl IntoIterator<Item = Piece>) -> Scene {
    let not_found = problem(404, r#"{"detail":"not found","status":404}"#);
    Scene {
        create: vec![starting()],
        stream: vec![Answer::sse(pieces)],
        prediction: vec![document(&prediction("processing", &Value::Null))],
        cancel: vec![document(&prediction("canceled", &Value::Null))],
        other: vec![not_found],
    }
}

/// A service without faults.
fn healthy(tokens: &[&str]) -> Scene {
    scene(&stream_of(tokens)).prediction([document(&succeeded(tokens))])
}

/// A service without a stream, whose prediction has these documents in turn.
fn polled(predictions: impl IntoIterator<Item = Value>) -> Scene {
    let starting = without_stream(prediction("starting", &Value::Null));
    let predictions: Vec<_> = predictions
        .into_iter()
        .map(|value| document(&without_stream(value)))
        .collect();
    scene("")
        .create([created(&starting)])
        .prediction(predictions)
}

fn builder(service: &Service) -> ReplicateBuilder {
    Replicate::builder().api_key(KEY).transport(service.clone())
}

fn client(service: &Service) -> Replicate {
    builder(service).build().unwrap()
}

/// Reads the stream of a prediction, which is the same on each connection; `told` is the response
/// to requests for the prediction.
#[track_caller]
pub(crate) fn run_stream(pieces: Vec<Piece>, told: Answer) -> Outcome {
    run(scene_of(pieces).prediction([told]))
}

/// Returns the document of a prediction that has succeeded.
pub(crate) fn succeeded_document(text: &str) -> String {
    succeeded(&[text]).to_string()
}

/// Sends a request, reads to the end, drops the stream, and checks the properties of every
/// response.
#[track_caller]
fn run(scene: Scene) -> Outcome {
    run_on(&scene.serve())
}

#[track_caller]
fn run_on(service: &Service) -> Outcome {
    run_with(service, &client(service), "hi")
}

#[track_caller]
fn run_with(service: &Service, client: &Replicate, request: impl Into<ChatRequest>) -> Outcome {
    let opened = block_on(&service.clock, client.stream(request));
    read(service, opened)
}

/// Reads a stream to its end and drops it.
#[track_caller]
fn read(service: &Service, opened: Result<ChatStream>) -> Outcome {
    let outcome = Outcome::read(service, opened);
    outcome.check(KEY);
    outcome.check_one_choice();
    check_key(service);
    assert!(
        service.count(What::Cancel) <= 1,
        "canceled more than once: {:?}",
        service.times(What::Cancel)
    );
    for asked in service.all() {
        assert!(asked.closed(), "{} is still open", asked.uri());
    }
    outcome
}

/// Checks that the key was sent only to the service's own hosts over TLS.
#[track_caller]
fn check_key(service: &Service) {
    for asked in service.all() {
        let uri = asked.request.uri();
        let host = asked.host().to_ascii_lowercase();
        let own = ["replicate.com", "replicate.net"]
            .iter()
            .any(|own| host == *own || host.ends_with(&format!(".{own}")));
        let usual = uri.port_u16().is_none_or(|port| port == 443);
        let plain = uri.scheme_str() == Some("https") && !uri.to_string().contains('@');
        let trusted = own && usual && plain;
        assert!(trusted || !asked.has_key(), "the key went to {uri}");
        if !trusted {
            let request = format!("{:?} {:?}", asked.request.headers(), asked.request.body());
            assert!(!request.contains(KEY), "the key went to {uri}");
        }
        assert!(!uri.to_string().contains(KEY), "the key is in a URL");
    }
}

/// Returns the intervals between the times.
#[track_caller]
fn between(earlier: Duration, later: Duration) -> Duration {
    later.checked_sub(earlier).unwrap()
}

fn lost(sent: Sent) -> Error {
    Error::new(ErrorKind::Disconnected, "connection reset").with_sent(sent)
}

/// A failure of the service.
fn trouble() -> Answer {
    Answer::new(500, [Piece::from("Internal Server Error")]).header("content-type", "text/plain")
}
