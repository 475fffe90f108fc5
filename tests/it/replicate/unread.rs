//! Ends of a stream that the prediction's document confirms late, in part or not at all.

use inferstream_core::ErrorKind;
use serde_json::{Value, json};

use super::{
    Answer, What, document, done, failed, frame, output, polled, prediction, run, run_on, scene,
    succeeded,
};

/// A document that is not the prediction. Unlike after a failure, nothing is retried at once.
fn other() -> Answer {
    document(&json!({ "id": "other" }))
}

/// The end of a stream that the prediction must explain.
fn unknown() -> String {
    frame("done", "9:0", r#"{"reason":"timeout"}"#)
}

#[test]
fn the_reason_is_in_the_error_if_the_prediction_cannot_be_read() {
    let service = scene(&(output(0, "text") + &unknown()))
        .prediction([other()])
        .serve();
    let error = run_on(&service).error().to_string();
    assert!(
        error.contains("replicate ended the stream with `{\"reason\":\"timeout\"}`"),
        "{error}"
    );
    assert_eq!(service.count(What::Prediction), 3);
}

#[test]
fn a_failed_stream_waits_for_the_prediction_and_asks_once_more() {
    let end = frame("done", "9:0", r#"{"reason":"error"}"#);
    let behind = document(&prediction("processing", &json!(["text"])));
    let stream = output(0, "text") + &end;
    let service = scene(&stream).prediction([behind.clone(), other()]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(service.count(What::Prediction), 2);
    let outcome = run(scene(&stream).prediction([behind, document(&failed("boom"))]));
    assert_eq!(outcome.error().provider_message(), Some("boom"));
}

#[test]
fn an_output_that_is_behind_the_stream_is_requested_again() {
    let behind = document(&prediction("processing", &json!(["a"])));
    let stream = output(0, "a") + &output(1, "b") + &unknown();
    let outcome = run(scene(&stream).prediction([behind, document(&succeeded(&["a", "b", "c"]))]));
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text(), "abc");
}

#[test]
fn the_logs_of_the_stream_are_not_repeated_by_the_prediction() {
    let mut value = succeeded(&["a"]);
    value["logs"] = json!("loading\nrunning\n\ndone\n");
    let logs = frame("logs", "1:1", "loading") + &frame("logs", "1:2", "running\n");
    let stream = output(0, "a") + &logs + &unknown();
    let outcome = run(scene(&stream).prediction([document(&value)]));
    assert_eq!(
        outcome.response().meta.logs,
        "loading\nrunning\n\ndone\n",
        "{:?}",
        outcome.end
    );
}

#[test]
fn a_missing_output_is_explained() {
    let mut removed = prediction("succeeded", &Value::Null);
    removed["data_removed"] = json!(true);
    let kept = prediction("succeeded", &Value::Null);
    for (value, what) in [
        (
            removed,
            "no longer has its output, which replicate keeps for an hour",
        ),
        (kept, "succeeded without an output"),
    ] {
        let outcome = run(polled([value]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{what}");
        let error = outcome.error().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_file_may_differ_between_stream_and_prediction() {
    for (streamed, told, is_file) in [
        (
            "data:image/png;base64,AA",
            "https://replicate.delivery/a.png",
            true,
        ),
        ("data:image/png;base64,AA", "data:image/png;base64,AB", true),
        ("attachment", "https://replicate.delivery/a.png", true),
        ("one", "two", false),
    ] {
        let stream = output(0, streamed) + &done();
        let outcome = run(scene(&stream).prediction([document(&succeeded(&[told]))]));
        assert_eq!(outcome.kind(), None, "{streamed}");
        let warnings = &outcome.response().meta.warnings;
        assert_eq!(warnings.is_empty(), is_file, "{streamed} {warnings:?}");
    }
}
