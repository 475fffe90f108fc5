//! Predictions over a scripted transport: what is sent, what is delivered, and how it ends.

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
mod resume;
mod secrets;
mod timers;

use std::time::Duration;

use bytes::Bytes;
use inferstream_core::{
    ChatEvent, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, Meta, Result, Sent,
};
use inferstream_replicate::{Replicate, ReplicateBuilder};
use serde_json::{Value, json};

use self::double::{Scene, Service, What};
use crate::support::{Answer, Piece, block_on};

/// A key that must never show.
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

/// A prediction in a state, as the service writes it down.
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

/// A prediction that has ended well.
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

/// The answer to a create: nothing has begun.
fn starting() -> Answer {
    created(&prediction("starting", &Value::Null))
}

/// A prediction without an address for its stream.
fn without_stream(mut value: Value) -> Value {
    value["urls"].as_object_mut().unwrap().remove("stream");
    value
}

/// Sets a member of the prediction's addresses.
fn with_url(mut value: Value, name: &str, url: &str) -> Value {
    value["urls"][name] = json!(url);
    value
}

/// One event of a stream: its name, its id unless empty, its data.
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

/// A whole stream of tokens.
fn stream_of(tokens: &[impl AsRef<str>]) -> String {
    let outputs = tokens.iter().enumerate();
    let outputs: Vec<_> = outputs
        .map(|(nth, token)| output(nth, token.as_ref()))
        .collect();
    format!(": hi\n\n{}{}", outputs.concat(), done())
}

/// A service whose stream is one piece, and which knows no more.
fn scene(stream: &str) -> Scene {
    scene_of([Piece::from(stream)])
}

fn scene_of(pieces: impl IntoIterator<Item = Piece>) -> Scene {
    let not_found = Answer::problem(404, r#"{"detail":"not found","status":404}"#);
    Scene {
        create: vec![starting()],
        stream: vec![Answer::sse(pieces)],
        prediction: vec![document(&prediction("processing", &Value::Null))],
        cancel: vec![document(&prediction("canceled", &Value::Null))],
        other: vec![not_found],
    }
}

/// A service where all goes well.
fn healthy(tokens: &[&str]) -> Scene {
    scene(&stream_of(tokens)).prediction([document(&succeeded(tokens))])
}

/// A service without a stream, whose prediction is told by these answers in turn.
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

/// What a caller saw of an answer.
#[derive(Debug)]
struct Outcome {
    events: Vec<ChatEvent>,
    end: Result<ChatResponse>,
    /// `None` where no stream was had.
    meta: Option<Meta>,
    /// How long the caller waited.
    elapsed: Duration,
    /// How many tasks went on behind it.
    tasks: usize,
}

impl Outcome {
    fn text(&self) -> String {
        text_of(&self.events)
    }

    fn lines(&self) -> Vec<String> {
        let line = |event| serde_json::to_string(event).unwrap();
        self.events.iter().map(line).collect()
    }

    #[track_caller]
    fn response(&self) -> &ChatResponse {
        self.end.as_ref().unwrap()
    }

    #[track_caller]
    fn error(&self) -> &Error {
        self.end.as_ref().unwrap_err()
    }

    /// Returns the kind of the error, or `None` for a success.
    fn kind(&self) -> Option<ErrorKind> {
        self.end.as_ref().err().map(Error::kind)
    }

    fn is_diverged(&self) -> bool {
        matches!(&self.end, Err(error)
            if error.kind() == ErrorKind::Truncated && error.code() == Some("diverged"))
    }

    #[track_caller]
    fn meta(&self) -> &Meta {
        self.meta.as_ref().unwrap()
    }
}

fn text_of(events: &[ChatEvent]) -> String {
    let text = |event: &ChatEvent| match event {
        ChatEvent::Text { text, .. } => Some(text.to_string()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// Asks a service, reads to the end, lets go, and checks what holds for every answer.
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

/// Reads a stream to its end and lets go of it.
#[track_caller]
fn read(service: &Service, opened: Result<ChatStream>) -> Outcome {
    let mut events = Vec::new();
    let (end, meta) = match opened {
        Err(error) => (Err(error), None),
        Ok(mut stream) => {
            let end = loop {
                match block_on(&service.clock, stream.next()) {
                    None => break Ok(stream.partial().clone()),
                    Some(Ok(event)) => events.push(event),
                    Some(Err(error)) => break Err(error),
                }
            };
            for _ in 0..3 {
                let more = block_on(&service.clock, stream.next());
                assert!(more.is_none(), "an end is the end: {more:?}");
            }
            (end, Some(stream.meta().clone()))
        }
    };
    let elapsed = service.clock.elapsed();
    let tasks = service.run_tasks();
    let outcome = Outcome {
        events,
        end,
        meta,
        elapsed,
        tasks,
    };
    check_invariants(service, &outcome);
    outcome
}

/// One end, nothing lost, no secret shown, the key only where it belongs, all connections closed.
#[track_caller]
fn check_invariants(service: &Service, outcome: &Outcome) {
    let finishes = outcome
        .events
        .iter()
        .filter(|event| matches!(event, ChatEvent::Finish { .. }));
    match &outcome.end {
        Ok(response) => {
            assert_eq!(finishes.count(), 1, "one end");
            let last = outcome.events.last();
            assert!(matches!(last, Some(ChatEvent::Finish { .. })), "{last:?}");
            assert!(response.end.is_some(), "a success says how it ended");
            assert!(response.finish_reason().is_some());
            assert_eq!(response.text(), outcome.text(), "nothing is lost");
        }
        Err(error) => {
            assert_eq!(finishes.count(), 0, "an error after an end");
            let partial = error.partial().map_or("", ChatResponse::text);
            assert_eq!(partial, outcome.text(), "the partial answer is kept");
            assert!(!shown(error).contains(KEY), "the key shows");
        }
    }
    for event in &outcome.events {
        if let ChatEvent::Text { text, .. } = event {
            assert!(!text.is_empty(), "text is never empty");
        }
    }
    check_key(service);
    assert!(
        service.count(What::Cancel) <= 1,
        "canceled more than once: {:?}",
        service.times(What::Cancel)
    );
    for asked in service.all() {
        assert!(asked.closed(), "{} is still open", asked.uri());
    }
}

/// The key goes to the service's own hosts over TLS and nowhere else.
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
        assert!(!uri.to_string().contains(KEY), "the key stands in a URL");
    }
}

/// Returns all that an error shows: itself and its causes, by `Display` and by `Debug`.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error}\n{error:?}\n{error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        shown.extend([cause.to_string(), format!("{cause:?}")]);
        source = cause.source();
    }
    shown
}

/// Returns how much time is between two.
#[track_caller]
fn between(earlier: Duration, later: Duration) -> Duration {
    later.checked_sub(earlier).unwrap()
}

fn piece(bytes: &[u8]) -> Piece {
    Piece::Bytes(Bytes::copy_from_slice(bytes))
}

/// The connection breaks.
fn broken() -> Piece {
    Piece::Error(lost(Sent::Yes))
}

fn lost(sent: Sent) -> Error {
    Error::new(ErrorKind::Disconnected, "connection reset").with_sent(sent)
}

/// A failure of the service's.
fn trouble() -> Answer {
    Answer::new(500, [Piece::from("Internal Server Error")]).header("content-type", "text/plain")
}
