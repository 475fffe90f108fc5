//! Invalid and hostile streams and documents.

use inferstream_core::{ChatEvent, ChatRequest, ErrorKind};
use serde_json::{Value, json};

use super::{
    Answer, What, client, created, document, done, frame, healthy, output, prediction, run, run_on,
    run_with, scene, scene_of, stream_of, succeeded,
};
use crate::support::{Piece, block_on};

#[test]
fn raw_events_are_unchanged() {
    let stream = format!(
        ": hi\n\n{}{}{}",
        output(0, "one\ntwo"),
        frame("logs", "7:0", "log line"),
        done()
    );
    let service = scene(&stream)
        .prediction([document(&succeeded(&["one\ntwo"]))])
        .serve();
    let request = ChatRequest::from("hi").raw(true);
    let outcome = run_with(&service, &client(&service), request);
    let raw: Vec<Value> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Raw { chunk, .. } => Some(serde_json::from_str(chunk.as_str()).unwrap()),
            _ => None,
        })
        .collect();
    let shown = Value::from(raw.clone()).to_string();
    assert!(3 <= raw.len(), "{shown}");
    for expected in [
        "output",
        "one\\ntwo",
        "1690212292:0",
        "logs",
        "log line",
        "done",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    // A raw event precedes the events decoded from it.
    let first = outcome
        .events
        .iter()
        .position(|event| matches!(event, ChatEvent::Text { .. }));
    assert!(
        outcome.events[..first.unwrap()]
            .iter()
            .any(|event| matches!(event, ChatEvent::Raw { .. }))
    );
    assert_eq!(outcome.text(), "one\ntwo");
    // They are returned only on request.
    let outcome = run(healthy(&["a"]));
    assert!(
        !outcome
            .events
            .iter()
            .any(|event| matches!(event, ChatEvent::Raw { .. }))
    );
}

#[test]
fn unknown_events_are_ignored() {
    for name in [
        "ping",
        "keepalive",
        "metric",
        "OUTPUT",
        "outputs",
        "start",
        "completed",
        "é",
        " ",
    ] {
        let stream = format!(
            "{}{}{}{}",
            output(0, "a"),
            frame(name, "8:8", "unknown"),
            output(1, "b"),
            done()
        );
        let outcome = run(scene(&stream).prediction([document(&succeeded(&["a", "b"]))]));
        assert_eq!(outcome.text(), "ab", "{name}");
        assert_eq!(outcome.kind(), None, "{name}");
    }
}

#[test]
fn an_event_without_a_name_is_not_text() {
    let stream = format!("{}data: unnamed\n\n{}", output(0, "a"), done());
    let outcome = run(scene(&stream).prediction([document(&succeeded(&["a"]))]));
    assert_eq!(outcome.text(), "a");
}

#[test]
fn logs_are_kept_in_the_metadata() {
    let stream = format!(
        "{}{}{}{}",
        frame("logs", "1:0", "first"),
        output(0, "a"),
        frame("logs", "2:0", "second\nthird"),
        done()
    );
    let service = scene(&stream).prediction([super::trouble()]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.text(), "a");
    let logs = &outcome.meta().logs;
    for line in ["first", "second", "third"] {
        assert_eq!(logs.matches(line).count(), 1, "{logs:?}");
    }
}

#[test]
fn logs_in_stream_and_prediction_are_not_doubled() {
    let stream = format!(
        "{}{}{}",
        frame("logs", "1:0", "only once"),
        output(0, "a"),
        done()
    );
    let mut told = succeeded(&["a"]);
    told["logs"] = json!("only once\n");
    let outcome = run(scene(&stream).prediction([document(&told)]));
    assert_eq!(outcome.meta().logs.matches("only once").count(), 1);
}

#[test]
fn logs_are_bounded() {
    let line = "x".repeat(1000);
    let frames: Vec<_> = (0..1000)
        .map(|nth| frame("logs", &format!("{nth}:0"), &line))
        .collect();
    let stream = frames.concat() + &stream_of(&["a"]);
    let outcome = run(scene(&stream).prediction([super::trouble()]));
    assert_eq!(outcome.text(), "a");
    assert!(outcome.meta().logs.len() <= 64 << 10);
}

/// Values of every type, and some that are too large.
fn odd_values() -> Vec<Value> {
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("text"),
        json!("\u{0}\u{1b}[31m"),
        json!([]),
        json!([null, 1, "x", {}]),
        json!({}),
        json!({"a": {"b": []}}),
        nested,
    ]
}

#[test]
fn members_of_any_type_do_not_lose_the_text() {
    let members = [
        "model",
        "version",
        "input",
        "logs",
        "error",
        "created_at",
        "started_at",
        "completed_at",
        "deadline",
        "deployment",
        "data_removed",
        "source",
        "metrics",
        "unheard_of",
    ];
    for member in members {
        for value in odd_values() {
            let mut start = prediction("starting", &Value::Null);
            start[member] = value.clone();
            let mut end = succeeded(&["a", "b"]);
            end[member] = value.clone();
            // An output that is marked as removed cannot be compared.
            let outcome = run(healthy(&["a", "b"])
                .create([created(&start)])
                .prediction([document(&end)]));
            assert_eq!(outcome.text(), "ab", "{member} {value}: {:?}", outcome.end);
            assert_eq!(outcome.kind(), None, "{member} {value}");
        }
    }
}

#[test]
fn invalid_metrics_are_ignored() {
    let members = [
        "predict_time",
        "total_time",
        "input_token_count",
        "output_token_count",
        "time_to_first_token",
        "tokens_per_second",
    ];
    for member in members {
        for value in odd_values() {
            let mut end = succeeded(&["a", "b"]);
            end["metrics"][member] = value.clone();
            let outcome = run(healthy(&["a", "b"]).prediction([document(&end)]));
            assert_eq!(outcome.text(), "ab", "{member} {value}");
            let response = outcome.response();
            if let Some(timing) = response.timing {
                let times = [
                    timing.total_time,
                    timing.completion_time,
                    timing.first_token_time,
                ];
                for time in times.into_iter().flatten() {
                    assert!(time.is_finite() && 0.0 <= time, "{member} {value}: {time}");
                }
            }
        }
    }
    // Numbers outside the range of any integer type.
    for number in [
        "1e400",
        "-1e400",
        "99999999999999999999999999",
        "1e-400",
        "0.0000",
    ] {
        let body = succeeded(&["a", "b"]).to_string();
        let body = body.replace(
            "\"input_token_count\":7",
            &format!("\"input_token_count\":{number}"),
        );
        let outcome = run(healthy(&["a", "b"]).prediction([Answer::json(200, &body)]));
        assert_eq!(outcome.text(), "ab", "{number}");
        assert_eq!(outcome.kind(), None, "{number}");
    }
}

#[test]
fn urls_of_any_type_do_not_panic() {
    for member in ["get", "cancel", "stream", "web"] {
        for value in odd_values() {
            let mut start = prediction("starting", &Value::Null);
            start["urls"][member] = value.clone();
            let service = healthy(&["a", "b"]).create([created(&start)]).serve();
            let outcome = run_on(&service);
            assert_eq!(service.count(What::Create), 1);
            if outcome.kind().is_none() {
                assert_eq!(outcome.text(), "ab", "{member} {value}");
            }
        }
    }
}

#[test]
fn statuses_of_any_type_do_not_panic() {
    for value in odd_values() {
        let mut start = prediction("starting", &Value::Null);
        start["status"] = value.clone();
        let outcome = run(healthy(&["a", "b"]).create([created(&start)]));
        assert_eq!(outcome.text(), "ab", "{value}: {:?}", outcome.end);
    }
}

#[test]
fn deeply_nested_documents_do_not_overflow() {
    let deep = "[".repeat(100_000);
    let body = format!("{{\"id\":\"{}\",\"input\":{deep}", super::ID);
    let service = scene("").create([Answer::json(201, &body)]).serve();
    let outcome = run_on(&service);
    assert!(outcome.kind().is_some());
    assert_eq!(service.counts(), (1, 0, 0));
    for stream in [
        frame("error", "", &deep),
        output(0, "a") + &frame("done", "", &deep),
    ] {
        let outcome = run(scene(&stream).prediction([super::trouble()]));
        assert!(outcome.text().len() <= 1);
    }
}

#[test]
fn the_last_of_two_equal_members_counts() {
    let body = prediction("failed", &Value::Null).to_string();
    let body = body.replacen('{', "{\"status\":\"starting\",\"id\":\"other\",", 1);
    let outcome = run(scene("").create([Answer::json(201, &body)]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}

#[test]
fn invalid_utf_8_is_not_delivered_as_text() {
    let bad = b"event: output\nid: 1:0\ndata: a\xff\xfeb\n\n";
    let pieces = [super::piece(bad), Piece::from(&*done())];
    let outcome = run(scene_of(pieces).prediction([super::trouble()]));
    // The result is an error or what the standard's decoder returns, but bytes are never lost
    // silently.
    match outcome.kind() {
        None => assert_eq!(outcome.text(), "a\u{fffd}\u{fffd}b"),
        kind => assert_eq!(kind, Some(ErrorKind::Protocol)),
    }
}

#[test]
fn an_endless_line_is_too_large() {
    let huge = format!("event: output\ndata: {}", "x".repeat(2 << 20));
    let service = scene(&huge).prediction([super::trouble()]).serve();
    let outcome = run_on(&service);
    let kinds = [Some(ErrorKind::TooLarge), Some(ErrorKind::Truncated)];
    assert!(kinds.contains(&outcome.kind()), "{:?}", outcome.kind());
    assert_eq!(outcome.text(), "");
    assert_eq!(service.count(What::Create), 1);
}

#[test]
fn an_endless_document_is_too_large() {
    let megabyte = Piece::from(" ".repeat(1 << 20).as_str());
    let flood = vec![megabyte; 200];
    let endless = Answer::new(201, flood).header("content-type", "application/json");
    let service = scene("").create([endless.clone()]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    assert_eq!(service.counts(), (1, 0, 0));
    assert!(service.all()[0].bytes() <= 100 << 20);
}

#[test]
fn many_events_at_once_are_all_delivered() {
    let tokens = vec!["x"; 20_000];
    let service = healthy(&tokens).serve();
    let response = block_on(&service.clock, client(&service).chat("hi")).unwrap();
    assert_eq!(response.text().len(), 20_000);
}
