//! Predictions without a stream, which are polled until they end.

use std::time::Duration;

use inferstream_core::{ChatRequest, End, ErrorKind, Phase, Sent, Timeouts};
use serde_json::{Value, json};

use super::{
    Answer, Scene, Service, What, client, created, document, failed, lost, polled, prediction, run,
    run_on, run_with, succeeded, trouble, without_stream,
};
use crate::support::{problem, seconds};

fn growing(tokens: &[&str]) -> Value {
    prediction("processing", &json!(tokens))
}

/// A prediction that never ends.
fn endless(status: &str) -> Scene {
    polled([prediction(status, &Value::Null)])
}

// I4
#[test]
fn a_prediction_without_a_stream_is_polled() {
    let service = polled([
        prediction("starting", &Value::Null),
        growing(&["a"]),
        growing(&["a", "b"]),
        growing(&["a", "b"]),
        succeeded(&["a", "b", "c"]),
    ])
    .serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), None);
    let texts: Vec<_> = outcome.lines().into_iter().take(3).collect();
    assert_eq!(
        texts,
        [
            r#"{"type":"text","text":"a"}"#,
            r#"{"type":"text","text":"b"}"#,
            r#"{"type":"text","text":"c"}"#
        ],
        "the growth is delivered as it comes"
    );
    assert_eq!(service.counts(), (1, 0, 0));
    assert_eq!(service.count(What::Prediction), 5);
    let response = outcome.response();
    assert_eq!(response.end, Some(End::FinishReason));
    assert_eq!(response.usage.unwrap().output_tokens, Some(11));
    assert_eq!(response.timing.unwrap().total_time, Some(2.5));
}

#[test]
fn an_invalid_stream_url_counts_as_missing() {
    for stream in [json!(null), json!(""), json!(7), json!({}), json!([])] {
        let mut value = prediction("starting", &Value::Null);
        value["urls"]["stream"] = stream.clone();
        let service = polled([succeeded(&["a"])])
            .create([created(&value)])
            .serve();
        let outcome = run_on(&service);
        // An existing but unusable value may also be an error.
        if outcome.kind().is_none() {
            assert_eq!(outcome.text(), "a", "{stream}");
        }
        assert_eq!(service.counts().1, 0, "{stream}");
    }
    for urls in [json!(null), json!({}), json!([]), json!("x"), json!(7)] {
        let mut value = prediction("starting", &Value::Null);
        value["urls"] = urls.clone();
        let service = polled([succeeded(&["a"])])
            .create([created(&value)])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "a", "{urls}: {:?}", outcome.end);
        let asked = &service.asked(What::Prediction)[0];
        assert_eq!(asked.uri(), super::get_url(), "{urls}");
    }
}

#[test]
fn the_polling_interval_is_one_to_five_seconds() {
    let mut told = vec![prediction("starting", &Value::Null); 30];
    told.push(succeeded(&["a"]));
    let service = polled(told).serve();
    assert_eq!(run_on(&service).text(), "a");
    let times = service.times(What::Prediction);
    assert!(times[0] <= seconds(5), "{times:?}");
    for pair in times.windows(2) {
        let apart = super::between(pair[0], pair[1]);
        assert!((seconds(1)..=seconds(5)).contains(&apart), "{times:?}");
    }
    let last = times.windows(2).last().unwrap();
    assert!(
        seconds(2) < super::between(last[0], last[1]),
        "the intervals grow: {times:?}"
    );
}

// I12
#[test]
fn a_prediction_that_never_starts_times_out() {
    for status in ["starting", "queued"] {
        let service = endless(status).serve();
        let outcome = run_on(&service);
        assert_eq!(
            outcome.kind(),
            Some(ErrorKind::Timeout(Phase::FirstEvent)),
            "{status}"
        );
        assert_eq!(outcome.elapsed, seconds(600), "{status}");
        assert_eq!(service.counts(), (1, 0, 1), "it is canceled");

        let service = endless(status).serve();
        let client = super::builder(&service)
            .cancel_on_drop(false)
            .build()
            .unwrap();
        run_with(&service, &client, "hi");
        assert_eq!(service.counts(), (1, 0, 0));
    }
}

#[test]
fn an_unknown_status_is_limited_by_a_timeout() {
    let service = polled([
        prediction("warming_up", &Value::Null),
        prediction("", &Value::Null),
        succeeded(&["a"]),
    ])
    .serve();
    assert_eq!(run_on(&service).text(), "a");
}

#[test]
fn the_total_timeout_includes_polling() {
    for limit in [1, 10, 100] {
        let service = endless("processing").serve();
        let timeouts = Timeouts::default().total(seconds(limit));
        let request = ChatRequest::from("hi").timeouts(timeouts);
        let outcome = run_with(&service, &client(&service), request);
        assert_eq!(outcome.kind(), Some(ErrorKind::Timeout(Phase::Total)));
        assert_eq!(outcome.elapsed, seconds(limit));
    }
}

#[test]
fn a_poll_that_hangs_is_limited() {
    let service = Scene {
        prediction: vec![Answer::hang()],
        ..endless("processing")
    }
    .serve();
    let outcome = run_on(&service);
    assert!(
        matches!(
            outcome.kind(),
            Some(ErrorKind::Timeout(_) | ErrorKind::Truncated)
        ),
        "{:?}",
        outcome.end
    );
    assert!(outcome.elapsed <= seconds(600));
}

#[test]
fn a_poll_that_fails_once_is_repeated() {
    for failure in [
        trouble(),
        Answer::error(lost(Sent::Maybe)),
        problem(429, r#"{"retry_after":2}"#),
        problem(503, "{}"),
        problem(502, "<html>"),
    ] {
        let ended = document(&without_stream(succeeded(&["a", "b"])));
        let first = document(&without_stream(growing(&["a"])));
        let service = polled([])
            .prediction([first, failure.clone(), ended])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab", "{failure:?}: {:?}", outcome.end);
        assert_eq!(outcome.kind(), None);
        assert_eq!(service.counts(), (1, 0, 0));
    }
}

#[test]
fn polls_that_always_fail_keep_the_partial_response() {
    for failure in [
        trouble(),
        Answer::error(lost(Sent::Maybe)),
        problem(404, "{}"),
    ] {
        let first = document(&without_stream(growing(&["a"])));
        let service = polled([]).prediction([first, failure.clone()]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "a");
        let error = outcome.error();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{failure:?}: {error:?}");
        assert_eq!(error.partial().unwrap().id.as_deref(), Some(super::ID));
        assert_eq!(service.counts().0, 1);
    }
}

#[test]
fn bad_ends_are_errors() {
    let cases = [
        (failed("boom"), ErrorKind::Provider),
        (prediction("canceled", &Value::Null), ErrorKind::Canceled),
        (prediction("aborted", &Value::Null), ErrorKind::Canceled),
    ];
    for (end, kind) in cases {
        let mut end = end;
        end["output"] = json!(["a", "b"]);
        let service = polled([growing(&["a"]), end]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(kind));
        assert_eq!(outcome.text(), "ab", "the last of the output is delivered");
        assert_eq!(service.counts(), (1, 0, 0), "an ended one is not canceled");
    }
}

#[test]
fn an_output_that_changes_is_diverged() {
    for (first, then) in [
        (json!(["a", "b"]), json!(["a", "x", "c"])),
        (json!(["a", "b"]), json!(["a"])),
        (json!("abc"), json!(["x"])),
    ] {
        let end = prediction("succeeded", &then);
        let outcome = run(polled([prediction("processing", &first), end]));
        assert!(outcome.is_diverged(), "{first} {then}: {:?}", outcome.end);
    }
}

#[test]
fn output_is_a_list_or_one_string() {
    for (output, text) in [
        (json!(["a", "b"]), "ab"),
        (json!("ab"), "ab"),
        (json!([]), ""),
        (json!([""]), ""),
        (json!(["", "a", ""]), "a"),
        (json!(["\n", "😀"]), "\n😀"),
    ] {
        let outcome = run(polled([prediction("succeeded", &output)]));
        assert_eq!(outcome.kind(), None, "{output}");
        assert_eq!(outcome.text(), text, "{output}");
    }
}

#[test]
fn output_may_change_from_a_string_to_a_list() {
    let outcome = run(polled([
        prediction("processing", &json!("ab")),
        prediction("succeeded", &json!(["a", "bc"])),
    ]));
    assert_eq!((outcome.text().as_str(), outcome.kind()), ("abc", None));
}

#[test]
fn a_deleted_output_is_an_error() {
    let mut removed = prediction("succeeded", &Value::Null);
    removed["data_removed"] = json!(true);
    let outcome = run(polled([growing(&["a"]), removed]));
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Truncated),
        "{:?}",
        outcome.end
    );
    assert_eq!(outcome.text(), "a");
}

#[test]
fn an_output_that_is_not_text_is_an_error() {
    for output in [json!({"a": 1}), json!([{"a": 1}]), json!(7), json!(true)] {
        let outcome = run(polled([prediction("succeeded", &output)]));
        let empty = outcome.kind().is_none() && outcome.text().is_empty();
        assert!(!empty, "{output}: an empty success");
    }
}

#[test]
fn an_invalid_document_is_not_a_response() {
    for body in ["", "no JSON", "[]", "null", "7", "{}", "<html>"] {
        let service = polled([]).prediction([Answer::json(200, body)]).serve();
        let outcome = run_on(&service);
        assert!(outcome.kind().is_some(), "{body:?}: {:?}", outcome.end);
        assert_eq!(service.counts().0, 1);
        assert!(outcome.elapsed <= seconds(601), "{body:?}");
    }
}

#[test]
fn a_service_may_respond_late() {
    let service = Service::new(|asked, _| match asked.what {
        What::Create => created(&without_stream(prediction("starting", &Value::Null))),
        _ => document(&succeeded(&["a"])).after(Duration::from_secs(20)),
    });
    let outcome = run_on(&service);
    assert_eq!(outcome.text(), "a");
    assert_eq!(service.count(What::Prediction), 1);
}

#[test]
fn logs_and_the_web_page_are_in_the_metadata() {
    let mut value = succeeded(&["a"]);
    value["logs"] = json!("Running predict()...\nDone\n");
    let outcome = run(polled([value]));
    assert_eq!(outcome.meta().logs, "Running predict()...\nDone\n");
    assert_eq!(outcome.meta().web_url, Some(super::web_url()));
}

#[test]
fn growing_logs_are_recorded_once() {
    let mut first = growing(&["a"]);
    first["logs"] = json!("one\n");
    let mut second = growing(&["a", "b"]);
    second["logs"] = json!("one\ntwo\n");
    let mut end = succeeded(&["a", "b"]);
    end["logs"] = json!("one\ntwo\nthree\n");
    let outcome = run(polled([first, second, end]));
    assert_eq!(outcome.meta().logs, "one\ntwo\nthree\n");
}

#[test]
fn output_that_grows_is_a_first_event_and_progress() {
    let tokens: Vec<_> = (0..400).map(|n| format!("{n} ")).collect();
    let grown: Vec<_> = (1..tokens.len())
        .step_by(1)
        .map(|n| prediction("processing", &json!(tokens[..n])))
        .collect();
    let service = polled(grown.into_iter().chain([succeeded(&tokens)])).serve();
    let limits = Timeouts::default()
        .first_event(seconds(10))
        .progress(seconds(10));
    let request = ChatRequest::from("hi").timeouts(limits);
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(outcome.text(), tokens.concat());
    assert_eq!(outcome.kind(), None);
    assert!(outcome.meta().time_to_first_event.is_some());
}

#[test]
fn a_delay_of_the_client_does_not_count_as_idle() {
    let waits = vec![prediction("processing", &json!(["a"])); 6];
    let service = polled(waits.into_iter().chain([succeeded(&["a"])])).serve();
    let limits = Timeouts::default().idle(seconds(2));
    let request = ChatRequest::from("hi").timeouts(limits);
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
}

#[test]
fn a_failure_is_reported_although_the_output_shrank() {
    let mut bad = failed("boom");
    bad["output"] = json!(["a"]);
    let outcome = run(polled([growing(&["a", "b"]), bad]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
    assert_eq!(outcome.error().provider_message(), Some("boom"));
}

#[test]
fn a_document_of_another_prediction_is_ignored() {
    let mut other = succeeded(&["evil"]);
    other["id"] = json!("other");
    let outcome = run(polled([growing(&["a"]), other]));
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    assert_eq!(outcome.text(), "a");
}
