//! Recorded responses and their events, with any splits and line endings.

use inferstream_core::{ErrorKind, FinishReason};
use serde_json::{Value, json};

use super::{
    Answer, Scene, What, created,
    cuts::{Server, Told},
    document, failed, piece, prediction, run, run_on, scene, scene_of, succeeded,
};
use crate::support::{
    Piece, block_on,
    recordings::{check, check_splits, check_table, read, variants},
};

/// Complete streams.
const STREAMS: &[&str] = &[
    "replicate/t-rp-3.sse",
    "replicate/t-rp-4.sse",
    "replicate/t-rp-5.sse",
    "replicate/t-rp-6.sse",
    "replicate/t-rp-7-replayed.sse",
    "replicate/t-rp-8.sse",
    "replicate/e003.sse",
];

/// Predictions without a stream.
const DOCUMENTS: &[&str] = &["replicate/structured.json"];

/// Responses to a creating request.
const CREATED: &[&str] = &["replicate/t-rp-1.json", "replicate/t-rp-2.json"];

/// Parts of a stream, which are complete only together.
const PARTS: &[&str] = &["replicate/t-rp-7.sse", "replicate/t-rp-7-continued.sse"];

fn text(name: &str) -> String {
    String::from_utf8(read(name)).unwrap()
}

/// Returns the prediction's document for a recorded stream.
fn told(name: &str) -> Value {
    match name {
        "replicate/t-rp-5.sse" => failed("CUDA out of memory"),
        "replicate/t-rp-6.sse" => prediction("canceled", &json!(["Once upon"])),
        "replicate/e003.sse" => failed(
            "Service is currently unavailable due to high demand. Please try again later. (E003) \
             (abc123)",
        ),
        name => succeeded(&Told::of(&text(name)).tokens),
    }
}

fn scene_with(name: &str, pieces: Vec<Piece>) -> Scene {
    scene_of(pieces).prediction([document(&told(name))])
}

#[test]
fn recorded_streams_have_their_events() {
    for name in STREAMS {
        let outcome = run(scene_with(name, vec![piece(&read(name))]));
        check(name, &outcome);
    }
}

#[test]
fn recorded_creates_lead_to_their_responses() {
    for name in CREATED {
        let tokens = ["Once upon a time", "\n\n there was"];
        let service = scene_of([piece(&read("replicate/t-rp-3.sse"))])
            .create([Answer::json(201, &text(name))
                .header("ratelimit-remaining", "599")
                .header("ratelimit-reset", "1")])
            .prediction([document(&succeeded(&tokens))])
            .serve();
        let outcome = run_on(&service);
        check(name, &outcome);
        assert_eq!(outcome.text(), "Once upon a time\n\n there was", "{name}");
    }
}

#[test]
fn a_recorded_text_equals_the_output_of_its_document() {
    let expected = [
        ("replicate/t-rp-3.sse", "Once upon a time\n\n there was"),
        (
            "replicate/t-rp-4.sse",
            "hello,\nthis is a new line,\nand this is a new line too",
        ),
        ("replicate/t-rp-5.sse", ""),
        ("replicate/t-rp-6.sse", "Once upon"),
        ("replicate/t-rp-7-replayed.sse", "bananaapple"),
        (
            "replicate/t-rp-8.sse",
            "data:text/plain,bananadata:text/plain;base64,YXBwbGU=\
             https://replicate.delivery/pbxt/apple.png",
        ),
    ];
    for (name, text) in expected {
        let outcome = run(scene_with(name, vec![piece(&read(name))]));
        assert_eq!(outcome.text(), text, "{name}");
        let kind = match name {
            "replicate/t-rp-5.sse" => Some(ErrorKind::Provider),
            "replicate/t-rp-6.sse" => Some(ErrorKind::Canceled),
            _ => None,
        };
        assert_eq!(outcome.kind(), kind, "{name}");
    }
}

#[test]
fn a_failure_has_the_message_of_the_service() {
    let outcome = run(scene_with(
        "replicate/t-rp-5.sse",
        vec![piece(&read("replicate/t-rp-5.sse"))],
    ));
    let error = outcome.error();
    assert_eq!(error.provider_message(), Some("CUDA out of memory"));
    assert!(error.to_string().contains("CUDA out of memory"), "{error}");
}

#[test]
fn the_rate_limits_of_a_create_are_known() {
    let answer = Answer::json(201, &text("replicate/t-rp-1.json"))
        .header("ratelimit-remaining", "599")
        .header("ratelimit-reset", "1");
    let scene = scene_with(
        "replicate/t-rp-3.sse",
        vec![piece(&read("replicate/t-rp-3.sse"))],
    )
    .create([answer]);
    let outcome = run(scene);
    assert_eq!(outcome.kind(), None);
    let limits = outcome.meta().rate_limits();
    let requests = limits.get("requests").unwrap();
    assert_eq!(requests.remaining, Some(599));
}

#[test]
fn a_stream_that_was_cut_is_resumed_at_its_position() {
    for second in [
        "replicate/t-rp-7-continued.sse",
        "replicate/t-rp-7-replayed.sse",
    ] {
        let streams =
            ["replicate/t-rp-7.sse", second].map(|name| Answer::sse([piece(&read(name))]));
        let service = Server::new(&streams, &succeeded(&["banana", "apple"])).serve();
        let outcome = run_on(&service);
        check(second, &outcome);
        assert_eq!(outcome.text(), "bananaapple", "{second}");
        assert_eq!(service.counts(), (1, 2, 0), "{second}");
        let asked = service.asked(What::Stream);
        assert_eq!(asked[0].last_event_id(), None);
        assert_eq!(asked[1].last_event_id(), Some("1"), "{second}");
    }
}

#[test]
fn every_fixture_is_run() {
    check_table("replicate", &[STREAMS, DOCUMENTS, CREATED, PARTS].concat());
}

#[test]
fn the_split_of_a_recorded_stream_does_not_matter() {
    for name in STREAMS {
        let bytes = read(name);
        let run = |pieces| run(scene_with(name, pieces));
        let expected = run(vec![piece(&bytes)]).transcript();
        check_splits(name, &bytes, &expected, run);
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    for name in STREAMS {
        let bytes = read(name);
        let run = |pieces| run(scene_with(name, pieces));
        let expected = run(vec![piece(&bytes)]).transcript();
        for (variant, bytes) in variants(&bytes) {
            check_splits(&format!("{name}, {variant}"), &bytes, &expected, run);
        }
    }
}

#[test]
fn a_recorded_stream_cut_at_any_byte_is_complete_or_an_error() {
    for name in STREAMS {
        super::cuts::check(name, &read(name), &told(name));
        for (variant, bytes) in variants(&read(name)) {
            super::cuts::check(&format!("{name}, {variant}"), &bytes, &told(name));
        }
    }
}

#[test]
fn a_chat_has_the_same_text() {
    let service = scene_with(
        "replicate/t-rp-3.sse",
        vec![piece(&read("replicate/t-rp-3.sse"))],
    )
    .serve();
    let response = block_on(&service.clock, super::client(&service).chat("hi")).unwrap();
    assert_eq!(response.text(), "Once upon a time\n\n there was");
    assert_eq!(response.usage.unwrap().input_tokens, Some(7));
    service.run_tasks();
    assert_eq!(service.counts(), (1, 1, 0));
}

#[test]
fn a_complete_response_has_all_data_of_the_service() {
    let tokens = ["Once upon a time", "\n\n there was"];
    let service = scene(&text("replicate/t-rp-3.sse"))
        .create([created(&prediction("starting", &Value::Null))])
        .prediction([document(&succeeded(&tokens))])
        .serve();
    let opened = block_on(&service.clock, super::client(&service).stream("hi"));
    let outcome = super::read(&service, opened);
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
