//! Recorded answers and their events, however their bytes are cut and their lines end.

use std::{env, fs, path::PathBuf};

use inferstream_core::{ErrorKind, FinishReason};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Scene, What, created,
    cuts::{Server, Told},
    document, failed, piece, prediction, read, run, run_on, scene, scene_of, succeeded,
};
use crate::support::{Piece, block_on};

/// Streams that end.
const STREAMS: &[&str] = &[
    "t-rp-3.sse",
    "t-rp-4.sse",
    "t-rp-5.sse",
    "t-rp-6.sse",
    "t-rp-7-replayed.sse",
    "t-rp-8.sse",
];

/// Answers to a create.
const CREATED: &[&str] = &["t-rp-1.json", "t-rp-2.json"];

/// Parts of a stream, which only together make one.
const PARTS: &[&str] = &["t-rp-7.sse", "t-rp-7-continued.sse"];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", "replicate", name]
        .iter()
        .collect()
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// What the service says of the prediction whose stream a fixture is.
fn told(name: &str) -> Value {
    match name {
        "t-rp-5.sse" => failed("CUDA out of memory"),
        "t-rp-6.sse" => prediction("canceled", &json!(["Once upon"])),
        name => succeeded(&Told::of(&text(name)).tokens),
    }
}

fn scene_with(name: &str, pieces: Vec<Piece>) -> Scene {
    scene_of(pieces).prediction([document(&told(name))])
}

/// Returns the events one by line, and the end.
fn transcript(outcome: &Outcome) -> String {
    let end = match &outcome.end {
        Ok(response) => json!({ "end": response.end, "id": response.id, "model": response.model }),
        Err(error) => json!({
            "error": error.kind().as_str(),
            "status": error.status().map(|status| status.as_u16()),
            "code": error.code(),
            "message": error.provider_message(),
            "retryable": error.is_retryable(),
        }),
    };
    let mut lines = outcome.lines();
    lines.push(end.to_string());
    lines.join("\n") + "\n"
}

#[track_caller]
fn check(name: &str, found: &str) {
    let beside = path(name).with_extension("events");
    if env::var_os("UPDATE").is_some() {
        fs::write(&beside, found).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(found, expected, "{name}; UPDATE=1 writes what was found");
}

#[test]
fn recorded_streams_give_their_events() {
    for name in STREAMS {
        let outcome = run(scene_with(name, vec![piece(&bytes(name))]));
        check(name, &transcript(&outcome));
    }
}

#[test]
fn recorded_creates_give_the_answer_that_they_lead_to() {
    for name in CREATED {
        let tokens = ["Once upon a time", "\n\n there was"];
        let service = scene_of([piece(&bytes("t-rp-3.sse"))])
            .create([Answer::json(201, &text(name))
                .header("ratelimit-remaining", "599")
                .header("ratelimit-reset", "1")])
            .prediction([document(&succeeded(&tokens))])
            .serve();
        let outcome = run_on(&service);
        check(name, &transcript(&outcome));
        assert_eq!(outcome.text(), "Once upon a time\n\n there was", "{name}");
    }
}

#[test]
fn a_recorded_text_is_what_its_document_says() {
    let expected = [
        ("t-rp-3.sse", "Once upon a time\n\n there was"),
        (
            "t-rp-4.sse",
            "hello,\nthis is a new line,\nand this is a new line too",
        ),
        ("t-rp-5.sse", ""),
        ("t-rp-6.sse", "Once upon"),
        ("t-rp-7-replayed.sse", "bananaapple"),
        (
            "t-rp-8.sse",
            "data:text/plain,bananadata:text/plain;base64,YXBwbGU=\
             https://replicate.delivery/pbxt/apple.png",
        ),
    ];
    for (name, text) in expected {
        let outcome = run(scene_with(name, vec![piece(&bytes(name))]));
        assert_eq!(outcome.text(), text, "{name}");
        let kind = match name {
            "t-rp-5.sse" => Some(ErrorKind::Provider),
            "t-rp-6.sse" => Some(ErrorKind::Canceled),
            _ => None,
        };
        assert_eq!(outcome.kind(), kind, "{name}");
    }
}

#[test]
fn a_failure_is_told_in_the_service_s_words() {
    let outcome = run(scene_with("t-rp-5.sse", vec![piece(&bytes("t-rp-5.sse"))]));
    let error = outcome.error();
    assert_eq!(error.provider_message(), Some("CUDA out of memory"));
    assert!(error.to_string().contains("CUDA out of memory"), "{error}");
}

#[test]
fn the_rate_limits_of_a_create_are_known() {
    let answer = Answer::json(201, &text("t-rp-1.json"))
        .header("ratelimit-remaining", "599")
        .header("ratelimit-reset", "1");
    let scene = scene_with("t-rp-3.sse", vec![piece(&bytes("t-rp-3.sse"))]).create([answer]);
    let outcome = run(scene);
    assert_eq!(outcome.kind(), None);
    let limits = outcome.meta().rate_limits();
    let requests = limits.get("requests").unwrap();
    assert_eq!(requests.remaining, Some(599));
}

#[test]
fn a_stream_that_was_cut_is_taken_up_where_it_was() {
    for second in ["t-rp-7-continued.sse", "t-rp-7-replayed.sse"] {
        let streams = ["t-rp-7.sse", second].map(|name| Answer::sse([piece(&bytes(name))]));
        let service = Server::new(&streams, &succeeded(&["banana", "apple"])).serve();
        let outcome = run_on(&service);
        check(second, &transcript(&outcome));
        assert_eq!(outcome.text(), "bananaapple", "{second}");
        assert_eq!(service.counts(), (1, 2, 0), "{second}");
        let asked = service.asked(What::Stream);
        assert_eq!(asked[0].last_event_id(), None);
        assert_eq!(asked[1].last_event_id(), Some("1"), "{second}");
    }
}

#[test]
fn every_fixture_is_run() {
    for entry in fs::read_dir(path("")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let known = [STREAMS, CREATED, PARTS].concat();
        assert!(
            known.contains(&file.as_str()) || file.ends_with(".events"),
            "{file} is not run"
        );
    }
}

#[test]
fn where_a_recorded_stream_is_split_does_not_matter() {
    for name in STREAMS {
        let bytes = bytes(name);
        let expected = transcript(&run(scene_with(name, vec![piece(&bytes)])));
        let single = bytes.chunks(1).map(piece).collect();
        let found = transcript(&run(scene_with(name, single)));
        assert_eq!(found, expected, "{name} byte by byte");
        for place in 1..bytes.len() {
            let (left, right) = bytes.split_at(place);
            let found = run(scene_with(name, vec![piece(left), piece(right)]));
            assert_eq!(transcript(&found), expected, "{name} in two at {place}");
        }
    }
}

/// The same stream with other line ends, and with a byte-order mark.
fn variants(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let text = text(name);
    let with_mark = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    vec![
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("CR", text.replace('\n', "\r").into_bytes()),
        ("with a mark", with_mark),
    ]
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    for name in STREAMS {
        let expected = transcript(&run(scene_with(name, vec![piece(&bytes(name))])));
        for (variant, bytes) in variants(name) {
            let found = run(scene_with(name, vec![piece(&bytes)]));
            assert_eq!(transcript(&found), expected, "{name}, {variant}");
            let single = bytes.chunks(1).map(piece).collect();
            let found = run(scene_with(name, single));
            assert_eq!(
                transcript(&found),
                expected,
                "{name}, {variant}, byte by byte"
            );
            for place in 1..bytes.len() {
                let (left, right) = bytes.split_at(place);
                let found = run(scene_with(name, vec![piece(left), piece(right)]));
                let at = format!("{name}, {variant}, in two at {place}");
                assert_eq!(transcript(&found), expected, "{at}");
            }
        }
    }
}

#[test]
fn a_recorded_stream_cut_at_any_byte_is_whole_or_an_error() {
    for name in STREAMS {
        super::cuts::check(name, &bytes(name), &told(name));
        for (variant, bytes) in variants(name) {
            super::cuts::check(&format!("{name}, {variant}"), &bytes, &told(name));
        }
    }
}

#[test]
fn a_chat_is_the_same_text_in_one() {
    let service = scene_with("t-rp-3.sse", vec![piece(&bytes("t-rp-3.sse"))]).serve();
    let response = block_on(&service.clock, super::client(&service).chat("hi")).unwrap();
    assert_eq!(response.text(), "Once upon a time\n\n there was");
    assert_eq!(response.usage.unwrap().input_tokens, Some(7));
    service.run_tasks();
    assert_eq!(service.counts(), (1, 1, 0));
}

#[test]
fn a_whole_answer_says_all_that_the_service_told() {
    let tokens = ["Once upon a time", "\n\n there was"];
    let service = scene(&text("t-rp-3.sse"))
        .create([created(&prediction("starting", &Value::Null))])
        .prediction([document(&succeeded(&tokens))])
        .serve();
    let opened = block_on(&service.clock, super::client(&service).stream("hi"));
    let outcome = read(&service, opened);
    let response = outcome.response();
    assert_eq!(response.id.as_deref(), Some(super::ID));
    assert_eq!(response.model.as_deref(), Some(super::MODEL));
    assert_eq!(response.finish_reason(), Some(&FinishReason::Unknown));
    let usage = response.usage.unwrap();
    assert_eq!(
        (usage.input_tokens, usage.output_tokens),
        (Some(7), Some(11))
    );
    let timing = response.timing.unwrap();
    assert_eq!(timing.completion_time, Some(1.5));
    assert_eq!(timing.total_time, Some(2.5));
    assert_eq!(timing.first_token_time, Some(0.25));
    assert_eq!(outcome.meta().web_url, Some(super::web_url()));
}
