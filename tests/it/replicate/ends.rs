//! The ends of a prediction: `done` with its reasons, errors, and states.

use inferstream_core::{End, ErrorKind, FinishReason};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, What, broken, created, document, done, failed, frame, healthy, output,
    prediction, run, run_on, scene, scene_of, succeeded, trouble,
};
use crate::support::{Piece, seconds};

/// Reads a text followed by this `done` event, with this document of the prediction.
fn ended(done: &str, told: Answer) -> Outcome {
    run(scene(&(output(0, "text") + done)).prediction([told]))
}

#[test]
fn a_done_without_a_reason_is_a_success() {
    let dones = [
        "event: done\ndata: {}\n\n",
        "event: done\n\n",
        "event: done\ndata\n\n",
        "event: done\ndata:\n\n",
        "event: done\nid: 1:0\ndata: {}\n\n",
        "event:done\ndata:{}\n\n",
        "event: done\ndata: { }\n\n",
        "event: done\ndata: {\ndata: }\n\n",
        "event: done\ndata: {\"output\":\"x\"}\n\n",
    ];
    for done in dones {
        let outcome = ended(done, document(&succeeded(&["text"])));
        assert_eq!(outcome.kind(), None, "{done:?}");
        assert_eq!(outcome.text(), "text", "{done:?}");
        let told = trouble();
        // The standard does not dispatch an event without data, so the prediction decides.
        if done.contains("data:") {
            let outcome = ended(done, told);
            assert_eq!(outcome.kind(), None, "{done:?}, nothing more is known");
            assert_eq!(outcome.response().end, Some(End::Marker));
            assert_eq!(outcome.response().usage, None);
        }
    }
}

// I6
#[test]
fn a_done_with_an_error_is_an_error() {
    let done = frame("done", "2:0", r#"{"reason":"error"}"#);
    for told in [
        document(&failed("out of memory")),
        trouble(),
        Answer::hang(),
    ] {
        let outcome = ended(&done, told);
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
        assert_eq!(outcome.text(), "text");
    }
    let outcome = ended(&done, document(&failed("out of memory")));
    assert_eq!(outcome.error().provider_message(), Some("out of memory"));
}

#[test]
fn a_done_after_canceling_is_an_error() {
    let done = frame("done", "2:0", r#"{"reason":"canceled"}"#);
    let told = document(&prediction("canceled", &json!(["text"])));
    for told in [told, trouble(), document(&succeeded(&["text"]))] {
        let outcome = ended(&done, told);
        assert_eq!(outcome.kind(), Some(ErrorKind::Canceled));
        assert_eq!(outcome.text(), "text");
    }
}

#[test]
fn a_done_with_an_unknown_reason_is_explained_by_the_prediction() {
    for reason in [
        r#"{"reason":"timeout"}"#,
        r#"{"reason":7}"#,
        r#"{"reason":{}}"#,
    ] {
        let done = frame("done", "2:0", reason);
        let outcome = ended(&done, document(&failed("boom")));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{reason}");
        let outcome = ended(&done, document(&prediction("aborted", &Value::Null)));
        assert_eq!(outcome.kind(), Some(ErrorKind::Canceled), "{reason}");
        let outcome = ended(&done, document(&succeeded(&["text"])));
        assert_eq!(outcome.kind(), None, "{reason}");
        assert_eq!(outcome.text(), "text");
    }
}

#[test]
fn a_done_with_an_unknown_reason_alone_is_an_error() {
    let done = frame("done", "2:0", r#"{"reason":"timeout"}"#);
    let outcome = ended(&done, trouble());
    assert!(outcome.kind().is_some(), "{:?}", outcome.end);
    assert_eq!(outcome.text(), "text");
}

#[test]
fn without_metrics_an_unknown_reason_is_still_looked_up() {
    let done = frame("done", "2:0", r#"{"reason":"timeout"}"#);
    let service = scene(&(output(0, "text") + &done))
        .prediction([document(&failed("boom"))])
        .serve();
    let client = super::builder(&service).metrics(false).build().unwrap();
    let outcome = super::run_with(&service, &client, "hi");
    assert!(outcome.kind().is_some(), "{:?}", outcome.end);
}

#[test]
fn an_error_event_is_an_error_with_its_message() {
    let cases = [
        (r#"{"detail":"CUDA out of memory"}"#, "CUDA out of memory"),
        ("CUDA out of memory", "CUDA out of memory"),
        (r#""CUDA out of memory""#, "CUDA out of memory"),
        ("line one\nline two", "line one"),
    ];
    let dones = [
        frame("done", "3:0", r#"{"reason":"error"}"#),
        frame("done", "3:0", "{}"),
        String::new(),
    ];
    for (data, message) in cases {
        for done in &dones {
            let stream = output(0, "text") + &frame("error", "2:0", data) + done;
            let outcome = run(scene(&stream).prediction([trouble()]));
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{data} {done}");
            assert_eq!(outcome.text(), "text");
            let found = outcome.error().provider_message().unwrap_or_default();
            assert!(found.contains(message), "{data}: {found}");
        }
    }
}

#[test]
fn an_error_event_in_any_format_is_an_error() {
    for data in [
        "",
        "{}",
        "null",
        "7",
        "[]",
        r#"{"detail":7}"#,
        r#"{"detail":{"a":1}}"#,
        "{",
    ] {
        let stream = format!("event: error\ndata: {data}\n\n{}", done());
        let outcome = run(scene(&stream).prediction([trouble()]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{data:?}");
    }
}

#[test]
fn an_error_then_a_lost_connection_is_that_error() {
    let stream = frame("error", "2:0", r#"{"detail":"boom"}"#);
    let service = scene_of([Piece::from(&*stream), broken()])
        .prediction([trouble()])
        .serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(service.count(What::Create), 1);
}

#[test]
fn nothing_is_read_after_done() {
    let rest = output(1, "more") + &frame("error", "9:0", "x");
    for rest in [Piece::from(&*rest), Piece::Hang, broken()] {
        let stream = output(0, "text") + &done();
        let pieces = [Piece::from(&*stream), rest];
        let outcome = run(scene_of(pieces).prediction([document(&succeeded(&["text"]))]));
        assert_eq!(outcome.kind(), None);
        assert_eq!(outcome.text(), "text");
        assert_eq!(outcome.response().end, Some(End::Marker));
        assert_eq!(outcome.elapsed, seconds(0), "no time is lost");
    }
}

// I5
#[test]
fn a_prediction_that_has_failed_is_not_streamed() {
    let mut error = failed("Model setup failed");
    let cases = [
        ("failed", ErrorKind::Provider),
        ("canceled", ErrorKind::Canceled),
        ("aborted", ErrorKind::Canceled),
    ];
    for (status, kind) in cases {
        error["status"] = json!(status);
        let service = scene("").create([created(&error)]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(kind), "{status}");
        assert_eq!(service.counts(), (1, 0, 0), "{status}");
        assert!(outcome.meta.is_none(), "the error is of `stream().await`");
        let partial = outcome.error().partial().unwrap();
        assert_eq!(partial.id.as_deref(), Some(super::ID));
        assert_eq!(partial.meta.attempts, 1);
        assert_eq!(partial.meta.web_url, Some(super::web_url()));
    }
    error["status"] = json!("failed");
    let service = scene("").create([created(&error)]).serve();
    let outcome = run_on(&service);
    assert_eq!(
        outcome.error().provider_message(),
        Some("Model setup failed")
    );
    assert!(!outcome.error().is_retryable() || outcome.kind() == Some(ErrorKind::Provider));
}

#[test]
fn a_failure_without_a_message_is_a_failure() {
    for error in [
        json!(null),
        json!(""),
        json!(7),
        json!({"a": 1}),
        json!(["x"]),
    ] {
        let mut value = failed("");
        value["error"] = error.clone();
        let service = scene("").create([created(&value)]).serve();
        assert_eq!(
            run_on(&service).kind(),
            Some(ErrorKind::Provider),
            "{error}"
        );
    }
}

#[test]
fn a_success_at_creation_has_the_complete_text() {
    for stream in [true, false] {
        let mut value = succeeded(&["a", "b"]);
        if !stream {
            value = super::without_stream(value);
        }
        let service = healthy(&["a", "b"]).create([created(&value)]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab");
        assert_eq!(outcome.kind(), None);
        assert_eq!(service.counts().0, 1);
        assert_eq!(service.counts().2, 0);
    }
}

// I13
#[test]
fn newlines_are_kept_when_data_lines_are_joined() {
    let cases = [
        ("data: a\ndata: b\n", "a\nb"),
        ("data: \ndata: \n", "\n"),
        ("data:\ndata:\n", "\n"),
        ("data\ndata\n", "\n"),
        ("data: \ndata: \ndata: \n", "\n\n"),
        ("data:  Sure\n", " Sure"),
        ("data:Sure\n", "Sure"),
        ("data:\tSure\n", "\tSure"),
        ("data:   \n", "  "),
        ("data: trailing \n", "trailing "),
        ("data: a\ndata: \n", "a\n"),
        ("data: \ndata: a\n", "\na"),
        ("data: {\"a\":1}\n", "{\"a\":1}"),
        ("data: [DONE]\n", "[DONE]"),
        ("data: a: b\n", "a: b"),
    ];
    for (data, text) in cases {
        let stream = format!("event: output\nid: 1:0\n{data}\n{}", done());
        let outcome = run(scene(&stream).prediction([document(&succeeded(&[text]))]));
        assert_eq!(outcome.text(), text, "{data:?}");
        assert_eq!(outcome.kind(), None, "{data:?}");
    }
}

#[test]
fn output_without_text_has_no_event_and_no_error() {
    let empty = "event: output\nid: 5:0\ndata: \n\n";
    let stream = format!("{empty}{}{empty}{empty}{}", output(0, "a"), done());
    let outcome = run(scene(&stream).prediction([document(&succeeded(&["", "a", "", ""]))]));
    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.kind(), None);

    let stream = format!("{empty}{}", done());
    let outcome = run(scene(&stream).prediction([document(&succeeded(&[""]))]));
    assert_eq!((outcome.text().as_str(), outcome.kind()), ("", None));
}

#[test]
fn the_finish_reason_is_derived_from_the_token_counts() {
    let finish = |limit: Option<u64>, output: Value| {
        let mut told = succeeded(&["text"]);
        told["metrics"]["output_token_count"] = output;
        let stream = super::output(0, "text") + &done();
        let service = scene(&stream).prediction([document(&told)]).serve();
        let mut request = inferstream_core::ChatRequest::from("hi");
        request.max_tokens = limit;
        let outcome = super::run_with(&service, &super::client(&service), request);
        outcome.response().finish_reason().unwrap().clone()
    };
    assert_eq!(finish(Some(11), json!(11)), FinishReason::Length);
    assert_eq!(finish(Some(11), json!(10)), FinishReason::Stop);
    assert_eq!(finish(None, json!(11)), FinishReason::Unknown);
    assert_eq!(finish(Some(11), json!(null)), FinishReason::Unknown);
}

#[test]
fn metrics_are_not_requested_if_turned_off() {
    let service = healthy(&["a", "b"]).serve();
    let client = super::builder(&service).metrics(false).build().unwrap();
    let outcome = super::run_with(&service, &client, "hi");
    assert_eq!(outcome.text(), "ab");
    assert_eq!(service.all().len(), 2, "a create and a stream");
    assert_eq!(outcome.response().usage, None);
    assert_eq!(outcome.response().timing, None);
}

#[test]
fn an_error_event_is_not_overruled() {
    let error = frame("error", "1:0", r#"{"detail":"CUDA out of memory"}"#);
    let tail = output(1, "more");
    for stream in [error.clone() + &done(), error.clone() + &tail + &done()] {
        for told in [
            trouble(),
            document(&succeeded(&["text"])),
            document(&prediction("processing", &Value::Null)),
        ] {
            let outcome = ended(&stream, told);
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
        }
    }
}

#[test]
fn a_failure_is_not_overruled_by_a_prediction_that_succeeded() {
    let done = frame("done", "2:0", r#"{"reason":"error"}"#);
    let outcome = ended(&done, document(&succeeded(&["text"])));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}

#[test]
fn an_end_without_any_text_is_looked_up() {
    let nothing = Value::Null;
    for told in [trouble(), document(&prediction("succeeded", &nothing))] {
        let outcome = run(scene(&done()).prediction([told]));
        assert!(outcome.kind().is_some(), "{:?}", outcome.end);
    }
    let empty = document(&succeeded(&[""]));
    assert_eq!(run(scene(&done()).prediction([empty])).kind(), None);
}

#[test]
fn an_invalid_end_is_looked_up() {
    for data in ["error", r#"{"reason":["error"]}"#, "[]", "null", "7"] {
        let done = frame("done", "2:0", data);
        assert!(ended(&done, trouble()).kind().is_some(), "{data}");
        let told = document(&succeeded(&["text"]));
        assert_eq!(ended(&done, told).kind(), None, "{data}");
    }
}

#[test]
fn text_that_the_prediction_contradicts_has_a_warning() {
    let check = |outcome: Outcome, text: &str| {
        assert_eq!((outcome.text().as_str(), outcome.kind()), (text, None));
        assert!(!outcome.meta().warnings.is_empty(), "{text}");
    };
    // A character that was split between two events cannot be restored.
    let torn = Piece::Bytes(bytes::Bytes::from_static(
        b"event: output\nid: 1\ndata: caf\xC3\n\nevent: output\nid: 2\ndata: \xA9\n\n",
    ));
    let whole = document(&succeeded(&["caf\u{e9}"]));
    let stream = [torn, Piece::from(done().as_str())];
    check(
        run(scene_of(stream).prediction([whole])),
        "caf\u{fffd}\u{fffd}",
    );

    let twice = output(0, "a") + &output(1, "b") + &output(1, "b") + &done();
    let told = document(&succeeded(&["a", "b"]));
    check(run(scene(&twice).prediction([told])), "abb");

    // An event stream has only one kind of line break, and a file differs from its URL.
    let lines = output(0, "a\nb") + &done();
    let told = document(&succeeded(&["a\r\nb"]));
    let outcome = run(scene(&lines).prediction([told]));
    assert_eq!((outcome.kind(), outcome.meta().warnings.len()), (None, 0));
    let file = output(0, "data:text/plain,banana") + &done();
    let told = document(&succeeded(&["https://replicate.delivery/a.txt"]));
    let outcome = run(scene(&file).prediction([told]));
    assert_eq!((outcome.kind(), outcome.meta().warnings.len()), (None, 0));
}
