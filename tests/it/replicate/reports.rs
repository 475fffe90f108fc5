//! Behavior from public reports: codes, objects as outputs, failing streams, contradictions.

use inferstream_core::{ChatRequest, Error, ErrorKind, Phase, Repeat, Sent, Timeouts};
use serde_json::{Value, json};

use super::{
    Answer, Outcome, Service, What, client, created, document, done, failed, frame, output, polled,
    prediction, read, run, run_on, scene, starting, stream_of, succeeded, trouble, with_url,
};
use crate::support::{Piece, block_on, problem, recordings, seconds};

/// Messages of the official models, from public logs of `google/nano-banana-pro` and others.
const BUSY: &str =
    "Service is currently unavailable due to high demand. Please try again later. (E003) (abc123)";
const FLAGGED: &str = "The input or output was flagged as sensitive. Please try again with \
                       different inputs. (E005) (uIJ6l3ruRD)";

/// Checks the error of a failed prediction with this message, wherever the message is.
#[track_caller]
fn check_failure(message: &str, kind: ErrorKind, code: Option<&str>, retryable: bool) {
    let detail = json!({ "detail": message }).to_string();
    let event = frame("error", "1:0", &detail) + &frame("done", "2:0", r#"{"reason":"error"}"#);
    let outcomes = [
        run(scene(&event).prediction([trouble()])),
        run(scene(&event).prediction([document(&failed(message))])),
        run(polled([failed(message)])),
        run(scene("").create([created(&failed(message))])),
    ];
    for outcome in outcomes {
        let error = outcome.error();
        assert_eq!(error.kind(), kind, "{message}");
        assert_eq!(error.code(), code, "{message}");
        assert_eq!(error.is_retryable(), retryable, "{message}");
        assert_ne!(error.repeat(), Repeat::Safe, "{message}");
        assert_eq!(error.attempts(), 1, "{message}");
        assert_eq!(error.provider_message(), Some(message));
    }
}

#[test]
fn a_code_in_a_message_is_the_code() {
    let provider = ErrorKind::Provider;
    let wrapped =
        format!("Prediction failed: Async prediction failed: ModelRateLimitError: {BUSY}");
    check_failure(BUSY, provider, Some("E003"), true);
    check_failure(&wrapped, provider, Some("E003"), true);
    check_failure(FLAGGED, ErrorKind::ContentFilter, Some("E005"), false);
    let unavailable = "Service is temporarily unavailable. Please try again later. (E004)";
    check_failure(unavailable, provider, Some("E004"), true);
    let other = "An error occurred while processing your request (E001)";
    check_failure(other, provider, Some("E001"), false);
    check_failure("Prediction failed: E1001", provider, Some("E1001"), false);
    check_failure("E6716 - timeout", provider, Some("E6716"), true);
    check_failure("unit E12 of CASE003 (E12345)", provider, None, false);
}

#[test]
fn a_message_without_a_code_may_be_retryable() {
    let provider = ErrorKind::Provider;
    check_failure("Please try again later.", provider, None, true);
    check_failure("Model is busy, try again in a minute", provider, None, true);
    check_failure("Prediction interrupted; please retry", provider, None, true);
    check_failure("Try again with different inputs.", provider, None, false);
    check_failure("CUDA out of memory", provider, None, false);
    let flagged = "The input or output was flagged as sensitive.";
    check_failure(flagged, ErrorKind::ContentFilter, None, false);
}

#[test]
fn an_output_object_has_its_text() {
    let structured = json!({"json_output": {"city": "Paris"}, "text": "{\"city\":\"Paris\"}"});
    for (output, text) in [
        (structured, r#"{"city":"Paris"}"#),
        (
            json!({"json_output": {"a": [1]}, "text": ""}),
            r#"{"a":[1]}"#,
        ),
        (json!({"json_output": null, "text": "a"}), "a"),
        (json!({"text": "a", "chunks": [{"text": "b"}]}), "a"),
        (json!({"text": ["a", "b"]}), "ab"),
        (json!([{"text": "a"}, {"text": "b"}]), "ab"),
        (json!(["a", {"text": "b"}]), "ab"),
        (json!({"transcription": "a", "segments": []}), "a"),
        (json!({"text": ""}), ""),
    ] {
        let outcome = run(polled([prediction("succeeded", &output)]));
        assert_eq!(
            (outcome.text().as_str(), outcome.kind()),
            (text, None),
            "{output}"
        );
    }
    let growing = prediction("processing", &json!({"text": "a"}));
    let ended = prediction("succeeded", &json!({"text": "ab"}));
    assert_eq!(run(polled([growing, ended])).text(), "ab");
    for output in [
        json!({"text": 7}),
        json!({"embedding": [1.0]}),
        json!([{"text": null}]),
    ] {
        let outcome = run(polled([prediction("succeeded", &output)]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{output}");
    }
}

/// Responses of a stream's host that are not a stream.
fn no_streams() -> Vec<Answer> {
    let page = |status| {
        let answer = Answer::new(status, [Piece::from("<html>502</html>")]);
        answer.header("content-type", "text/html")
    };
    let disconnected = Error::new(ErrorKind::Disconnected, "connection reset");
    let connect = Error::new(ErrorKind::Connect, "connection refused").with_sent(Sent::No);
    vec![
        page(502),
        page(200),
        page(404),
        trouble(),
        problem(503, "{}").header("retry-after", "60"),
        problem(429, "{}"),
        problem(404, r#"{"detail":"not found"}"#),
        Answer::empty(204),
        Answer::error(disconnected.with_sent(Sent::Maybe)),
        Answer::error(connect),
        Answer::error(Error::timeout(Phase::Head, seconds(60))),
    ]
}

#[test]
fn a_prediction_whose_stream_fails_is_polled() {
    for answer in no_streams() {
        let service = scene("")
            .stream([answer.clone()])
            .prediction([
                document(&prediction("processing", &json!(["a"]))),
                document(&succeeded(&["a", "b"])),
            ])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(
            (outcome.text().as_str(), outcome.kind()),
            ("ab", None),
            "{answer:?}"
        );
        assert_eq!(service.count(What::Cancel), 0, "{answer:?}");
        assert_eq!(service.count(What::Create), 1, "{answer:?}");
        let warnings = &outcome.meta().warnings;
        assert!(
            warnings[0].contains("the prediction is polled"),
            "{warnings:?}"
        );
        assert!(
            outcome.elapsed <= seconds(10),
            "{answer:?}: {:?}",
            outcome.elapsed
        );
    }
}

#[test]
fn if_stream_and_prediction_fail_the_error_is_that_of_the_stream() {
    let service = scene("")
        .stream([problem(502, "{}")])
        .prediction([problem(503, "{}")])
        .serve();
    let outcome = run_on(&service);
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(error.repeat(), Repeat::Ambiguous);
    assert!(
        error.to_string().contains("the prediction's stream"),
        "{error}"
    );
}

/// Checks the error of a prediction whose creating request was refused once before.
#[track_caller]
fn check_repeat(stream: &Answer, told: &Answer, request: &ChatRequest) {
    let refused = problem(429, "{}").header("retry-after", "0");
    let service = scene("")
        .create([refused, starting()])
        .stream([stream.clone()])
        .prediction([told.clone()])
        .serve();
    let outcome = super::run_with(&service, &client(&service), request.clone());
    let error = outcome.error();
    assert_ne!(error.repeat(), Repeat::Safe, "{stream:?}: {error:?}");
    assert_eq!(error.attempts(), 2, "{stream:?}: {error:?}");
    assert!(error.partial().is_some_and(|partial| partial.id.is_some()));
}

#[test]
fn no_error_after_the_prediction_was_made_is_safe_to_repeat() {
    let limits = Timeouts::default().total(seconds(2));
    let limited = ChatRequest::from("hi").timeouts(limits);
    let refused = problem(401, "{}");
    for stream in no_streams().into_iter().chain([refused]) {
        for told in [trouble(), problem(429, "{}"), problem(404, "{}")] {
            check_repeat(&stream, &told, &ChatRequest::from("hi"));
            check_repeat(&stream, &told, &limited);
        }
    }
    check_repeat(&Answer::hang(), &trouble(), &limited);
}

/// A text with a clean end, contradicted by the prediction.
fn contradicted(told: &Value) -> Outcome {
    run(scene(&stream_of(&["Hello", " you"])).prediction([document(told)]))
}

#[test]
fn a_stream_that_ended_with_success_is_complete_whatever_the_prediction_says() {
    let mut canceled = prediction("canceled", &json!(["Hello"]));
    canceled["error"] = json!("stopped");
    for told in [
        prediction("succeeded", &json!(["Hello"])),
        prediction("succeeded", &json!(["hello", " you"])),
        prediction("succeeded", &json!("Hello  you")),
        prediction("succeeded", &json!([])),
        prediction("succeeded", &json!({"text": "Bye"})),
        prediction("aborted", &Value::Null),
        failed("boom"),
        canceled,
    ] {
        let outcome = contradicted(&told);
        assert_eq!(
            (outcome.text().as_str(), outcome.kind()),
            ("Hello you", None),
            "{told}"
        );
        let warnings = &outcome.meta().warnings;
        assert_eq!(warnings.len(), 1, "{told}: {warnings:?}");
        assert!(
            warnings[0].contains("stream ended with success"),
            "{warnings:?}"
        );
    }
    // Output beyond the stream is not lost.
    let outcome = contradicted(&succeeded(&["Hello", " you", "."]));
    assert_eq!(
        (outcome.text().as_str(), outcome.kind()),
        ("Hello you.", None)
    );
    assert_eq!(outcome.meta().warnings.len(), 1);
    // An output with other fragments is the same text, and an incomplete one is not compared.
    let counts =
        "the end of replicate's prediction could not be read: token counts and times are missing";
    for (told, warnings) in [
        (succeeded(&["Hello you"]), &[][..]),
        (prediction("processing", &json!(["Bye"])), &[counts]),
    ] {
        let outcome = contradicted(&told);
        assert_eq!(
            (outcome.text().as_str(), outcome.kind()),
            ("Hello you", None),
            "{told}"
        );
        assert_eq!(outcome.meta().warnings, warnings, "{told}");
    }
}

#[test]
fn a_resumed_stream_is_still_compared_with_the_output() {
    let cut = Answer::sse([Piece::from(&*output(0, "Hello")), super::broken()]);
    let rest = output(1, " you") + &done();
    let service = scene("")
        .stream([cut, Answer::sse([Piece::from(&*rest)])])
        .prediction([document(&succeeded(&["Hello", " me"]))])
        .serve();
    assert!(run_on(&service).is_diverged());
}

/// Opens a stream whose prediction names a URL, and drops it. Returns the requests and the
/// warnings.
fn dropped(name: &str, url: &Value) -> (Service, Vec<String>) {
    let mut value = prediction("starting", &Value::Null);
    value["urls"][name] = url.clone();
    let service = scene(&stream_of(&["a"])).create([created(&value)]).serve();
    let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
    let warnings = stream.meta().warnings.clone();
    drop(stream);
    service.run_tasks();
    (service, warnings)
}

#[test]
fn only_the_own_url_of_a_prediction_is_used_to_cancel_it() {
    let other = super::cancel_url().replace(super::ID, "other");
    for url in [
        json!("https://api.replicate.com/v1/deployments/acme/x"),
        json!(super::get_url()),
        json!(super::cancel_url() + "?x=1"),
        json!(super::cancel_url() + "/"),
        json!(other),
        json!("https://evil.example/cancel"),
        json!("http://api.replicate.com/v1/x"),
        json!("no URL"),
        json!(""),
        json!(7),
        json!({"a": 1}),
    ] {
        let (service, warnings) = dropped("cancel", &url);
        let asked = service.all();
        assert_eq!(asked.last().unwrap().uri(), super::cancel_url(), "{url}");
        assert_eq!(asked.len(), 3, "{url}: a create, a stream, a cancel");
        assert_eq!(warnings.len(), 1, "{url}: {warnings:?}");
        assert!(warnings[0].contains("is used instead"), "{warnings:?}");
    }
    for url in [Value::Null, json!(super::cancel_url())] {
        let (service, warnings) = dropped("cancel", &url);
        assert_eq!(service.asked(What::Cancel)[0].uri(), super::cancel_url());
        assert_eq!(warnings, [""; 0], "{url}");
    }
}

#[test]
fn only_the_own_url_of_a_prediction_is_used_to_read_it() {
    for url in [
        "https://api.replicate.com/v1/account",
        "https://api.replicate.com/v1/predictions/other",
        "https://evil.example/v1/predictions/x",
        "no URL",
    ] {
        let value = with_url(prediction("starting", &Value::Null), "get", url);
        let service = super::healthy(&["a"]).create([created(&value)]).serve();
        let opened = block_on(&service.clock, client(&service).stream("hi"));
        let outcome = read(&service, opened);
        assert_eq!(
            (outcome.text().as_str(), outcome.kind()),
            ("a", None),
            "{url}"
        );
        assert_eq!(
            service.asked(What::Prediction)[0].uri(),
            super::get_url(),
            "{url}"
        );
        assert_eq!(outcome.meta().warnings.len(), 1, "{url}");
    }
}

/// Opens this many streams, drops them, and runs their cancels concurrently. Returns when each was
/// sent.
fn dropped_at_once(
    streams: usize,
    cancel: Answer,
) -> (Vec<std::time::Duration>, std::time::Duration) {
    let service = scene(&stream_of(&["a"])).cancel([cancel]).serve();
    let client = client(&service);
    let open = |_| block_on(&service.clock, client.stream("hi")).unwrap();
    let opened: Vec<_> = (0..streams).map(open).collect();
    drop(opened);
    let begin = service.clock.elapsed();
    service.run_tasks_at_once();
    let since = |at| super::between(begin, at);
    let times = service.times(What::Cancel).into_iter().map(since).collect();
    (times, since(service.clock.elapsed()))
}

#[test]
fn many_streams_dropped_at_once_are_canceled_sixteen_at_a_time() {
    let told = document(&prediction("canceled", &Value::Null)).after(seconds(1));
    let (times, took) = dropped_at_once(100, told);
    let expected: Vec<_> = (0..100).map(|nth| seconds(nth / 16)).collect();
    assert_eq!(times, expected);
    assert_eq!(took, seconds(7));
}

#[test]
fn cancels_without_a_response_do_not_block_others() {
    let (times, took) = dropped_at_once(100, Answer::hang());
    assert_eq!(times.len(), 100, "every prediction is canceled");
    assert_eq!(took, seconds(14), "100 / 16 rounds of 2 s");
}

#[test]
fn a_recorded_object_has_its_text() {
    let name = "replicate/structured.json";
    let service = polled([])
        .prediction([Answer::json(
            200,
            &String::from_utf8(recordings::read(name)).unwrap(),
        )])
        .serve();
    let outcome = run_on(&service);
    recordings::check(name, &outcome);
    assert_eq!(outcome.text(), r#"{"city":"Paris"}"#);
}
