//! Creating a prediction: its endpoint, body and retries.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Phase, Repeat, ReplayStale, RetryPolicy, Sent,
};
use serde_json::{Value, json};

use super::{
    Answer, HOST, KEY, MODEL, Scene, Service, What, broken, builder, client, created, healthy,
    lost, piece, prediction, run, run_on, run_with, scene, starting,
};
use crate::support::{Piece, problem, seconds};

fn healthy_scene() -> Scene {
    healthy(&["a", "b"])
}

/// Makes the first creating request fail in this way; the others succeed.
fn first(answer: Answer) -> Service {
    healthy_scene().create([answer, starting()]).serve()
}

/// Makes every creating request fail in this way.
fn always(answer: Answer) -> Service {
    healthy_scene().create([answer]).serve()
}

#[track_caller]
fn check_path(model: &str, path: &str, version: Option<&[&str]>) {
    let service = healthy_scene().serve();
    let request = ChatRequest::new(model).user("hi");
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(outcome.text(), "ab", "{model}: {:?}", outcome.end);
    let create = &service.asked(What::Create)[0];
    assert_eq!(create.uri(), format!("https://{HOST}/v1/{path}"), "{model}");
    let body = create.json();
    match version {
        None => assert_eq!(body.get("version"), None, "{model}"),
        Some(any) => {
            let version = body["version"].as_str().unwrap();
            assert!(any.contains(&version), "{model}: {version}");
        }
    }
    // "Unknown top-level body keys → 422".
    let known = ["input", "stream", "version"];
    for name in body.as_object().unwrap().keys() {
        assert!(known.contains(&name.as_str()), "{model}: {name}");
    }
    assert_eq!(body["stream"], json!(true), "{model}");
    assert_eq!(body["input"]["prompt"], json!("hi"), "{model}");
}

#[test]
fn the_name_of_a_model_selects_the_path() {
    check_path("meta/llama-3", "models/meta/llama-3/predictions", None);
    check_path(
        "deployments/acme/my-app",
        "deployments/acme/my-app/predictions",
        None,
    );
    let hash = "02e509c789964a7ea8736978a43525956ef40397be9033abf9fd2badfe68c9e3";
    let both = format!("lucataco/qwen:{hash}");
    check_path(&both, "predictions", Some(&[hash, &both]));
}

#[test]
fn a_request_without_a_model_uses_the_default() {
    for request in [
        ChatRequest::from("hi"),
        ChatRequest::new("meta-llama/Meta-Llama-3-70B-Instruct").user("hi"),
    ] {
        let service = healthy_scene().serve();
        run_with(&service, &client(&service), request);
        let create = &service.asked(What::Create)[0];
        let path = format!("/v1/models/{MODEL}/predictions");
        assert_eq!(create.request.uri().path(), path);
    }
}

#[test]
fn an_invalid_model_name_is_refused_before_sending() {
    let names = [
        "",
        "/",
        "llama",
        "/llama",
        "meta/",
        "meta//llama",
        "a/b/c",
        "a/b/c/d",
        "meta/llama:",
        "a/:v",
        ":v",
        "meta/lla ma",
        "meta/llama?x=1",
        "meta/llama#x",
        "../account",
        "meta/..",
        "./x",
        "meta/%2e%2e",
        "meta/lla\nma",
        "meta\\llama",
        "meta/llama@evil",
        "deployments/",
        "deployments/a/",
        "deployments/a/b/c",
        "deployments/a/b:c",
        "méta/llama",
        "meta/llama:a b",
        "meta/llama:a/b",
        "meta/llama:a:b",
        "https://evil.example/a/b",
    ];
    for name in names {
        let service = healthy_scene().serve();
        let request = ChatRequest::new(name).user("hi");
        let outcome = run_with(&service, &client(&service), request);
        let kind = outcome.kind();
        let refused = [
            Some(ErrorKind::Config),
            Some(ErrorKind::ModelNotSupported),
            Some(ErrorKind::Unsupported),
        ];
        assert!(refused.contains(&kind), "{name:?}: {kind:?}");
        assert_eq!(service.all().len(), 0, "{name:?}");
    }
}

#[test]
fn a_create_has_a_user_agent_and_no_prefer_header() {
    let service = healthy_scene().serve();
    run_on(&service);
    let create = &service.asked(What::Create)[0];
    assert_eq!(
        create.header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    assert!(create.request.headers()["authorization"].is_sensitive());
    assert_eq!(create.header("content-type"), Some("application/json"));
    assert_eq!(create.header("prefer"), None);
    assert_eq!(create.header("cancel-after"), None);
    assert!(create.header("last-event-id").is_none());
    let stale = create.request.extensions().get::<ReplayStale>();
    assert_eq!(
        stale, None,
        "a create is not replayed on a stale connection"
    );
}

#[test]
fn prefer_wait_does_not_delay_the_text() {
    // With `Prefer: wait` the response is complete, although its status may be `processing`.
    for status in ["starting", "processing", "succeeded"] {
        let whole = prediction(status, &json!(["a", "b"]));
        let answer = created(&whole).header("preference-applied", "wait");
        let service = healthy_scene().create([answer]).serve();
        let header = HeaderName::from_static("prefer");
        let request = ChatRequest::from("hi").header(header, HeaderValue::from_static("wait=5"));
        let outcome = run_with(&service, &client(&service), request);
        assert_eq!(outcome.text(), "ab", "{status}");
        assert_eq!(outcome.kind(), None, "{status}");
        assert_eq!(service.count(What::Create), 1);
    }
}

#[test]
fn a_deadline_is_enforced_by_the_service() {
    let service = healthy_scene().serve();
    let client = builder(&service).cancel_after(seconds(90)).build().unwrap();
    run_with(&service, &client, "hi");
    for asked in service.all() {
        let value = asked.header("cancel-after");
        let expected = (asked.what == What::Create).then_some("90s");
        assert_eq!(value, expected, "{:?}", asked.what);
    }
    for deadline in [Duration::ZERO, Duration::from_millis(999)] {
        let built = builder(&service).cancel_after(deadline).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn any_success_status_is_a_prediction() {
    for status in [200, 201, 202] {
        let body = prediction("starting", &Value::Null).to_string();
        let outcome = run_on(&always(Answer::json(status, &body)));
        assert_eq!(outcome.text(), "ab", "{status}");
    }
}

// I1
#[test]
fn a_create_that_may_have_arrived_is_not_retried() {
    let errors = [
        lost(Sent::Maybe),
        lost(Sent::Yes),
        Error::timeout(Phase::Head, seconds(60)).with_sent(Sent::Yes),
        Error::timeout(Phase::Write, seconds(30)).with_sent(Sent::Maybe),
    ];
    for error in errors {
        for ambiguous in [false, true] {
            let service = always(Answer::error(error.clone()));
            let policy = RetryPolicy::default().retry_ambiguous(ambiguous);
            let request = ChatRequest::from("hi").retry(policy);
            let outcome = run_with(&service, &client(&service), request);
            assert_eq!(service.counts(), (1, 0, 0), "{error}");
            let found = outcome.error();
            assert_eq!(found.kind(), error.kind());
            assert_eq!(found.repeat(), Repeat::Ambiguous);
            assert_eq!(found.sent(), error.sent());
            assert_eq!(found.attempts(), 1);
            let line = found.to_string();
            assert!(
                line.contains("may have"),
                "the error mentions the prediction: {line}"
            );
        }
    }
}

#[test]
fn a_create_that_was_not_sent_is_retried() {
    let errors = [
        lost(Sent::No),
        Error::new(ErrorKind::Connect, "refused").with_sent(Sent::No),
        Error::new(ErrorKind::Dns, "no such host").with_sent(Sent::No),
        Error::timeout(Phase::Connect, seconds(5)).with_sent(Sent::No),
    ];
    for error in errors {
        let service = first(Answer::error(error.clone()));
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab", "{error}");
        assert_eq!(service.counts(), (2, 1, 0), "{error}");

        let service = always(Answer::error(error.clone()));
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(error.kind()));
        assert_eq!(service.counts(), (3, 0, 0), "{error}");
        assert_eq!(outcome.error().attempts(), 3);

        let service = always(Answer::error(error.clone()));
        let request = ChatRequest::from("hi").retry(RetryPolicy::never());
        run_with(&service, &client(&service), request);
        assert_eq!(service.counts(), (1, 0, 0), "{error}");
    }
}

#[test]
fn a_create_with_a_truncated_response_is_not_retried() {
    let body = prediction("starting", &Value::Null).to_string();
    for place in [0, 1, body.len() / 2, body.len() - 1] {
        let head = piece(&body.as_bytes()[..place]);
        let pieces = [vec![head.clone(), broken()], vec![head]];
        for (pieces, clean) in pieces.into_iter().zip([false, true]) {
            let answer = Answer::new(201, pieces).header("content-type", "application/json");
            let service = always(answer);
            let outcome = run_on(&service);
            let at = format!("{place}, clean {clean}");
            assert_eq!(service.counts(), (1, 0, 0), "{at}");
            let error = outcome.error();
            let other = if clean {
                ErrorKind::Protocol
            } else {
                ErrorKind::Disconnected
            };
            let kinds = [ErrorKind::Truncated, other];
            assert!(kinds.contains(&error.kind()), "{at}: {error:?}");
            assert_ne!(error.repeat(), Repeat::Safe, "{at}");
        }
    }
}

#[test]
fn a_response_without_an_id_is_a_protocol_error() {
    let bodies = [
        "{}",
        "[]",
        "null",
        "7",
        "\"x\"",
        "no JSON",
        "",
        r#"{"id":null,"status":"starting"}"#,
        r#"{"id":"","status":"starting"}"#,
        r#"{"id":7,"status":"starting"}"#,
        r#"{"id":{},"urls":{}}"#,
        r#"{"detail":"all is well"}"#,
    ];
    for body in bodies {
        let service = always(Answer::json(201, body));
        let outcome = run_on(&service);
        let kind = outcome.kind();
        // A numeric id might be read as its digits.
        if body.contains(":7") && kind != Some(ErrorKind::Protocol) {
            continue;
        }
        let empty = body.is_empty() && kind == Some(ErrorKind::Truncated);
        assert!(
            kind == Some(ErrorKind::Protocol) || empty,
            "{body}: {kind:?}"
        );
        assert_eq!(service.counts(), (1, 0, 0), "{body}");
        assert_ne!(outcome.error().repeat(), Repeat::Safe, "{body}");
    }
}

#[test]
fn an_id_that_is_invalid_in_a_path_is_a_protocol_error() {
    for id in ["../account", "a/b?c", "a b", "a#b", "é"] {
        let body = json!({"id": id, "status": "starting"}).to_string();
        let service = always(Answer::json(201, &body));
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{id}");
        assert_eq!(service.all().len(), 1, "{id}");
    }
}

// I2
#[test]
fn a_throttled_create_is_retried_after_the_delay_of_the_service() {
    let text = r#"{"detail":"Request was throttled. Your rate limit resets in ~30s."}"#;
    let member =
        r#"{"title":"Request was throttled","detail":"Slow down.","status":429,"retry_after":9}"#;
    let old = r#"{"detail":"Request was throttled. Expected available in 1 second."}"#;
    let cases = [
        (problem(429, "{}").header("retry-after", "2"), 2),
        (problem(429, text), 30),
        (problem(429, member), 9),
        (problem(429, old), 1),
        (problem(503, "{}").header("retry-after", "3"), 3),
    ];
    for (answer, wait) in cases {
        let service = first(answer.clone());
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab");
        assert_eq!(service.counts(), (2, 1, 0));
        let times = service.times(What::Create);
        let waited = super::between(times[0], times[1]);
        let wait = seconds(wait);
        assert!(
            wait <= waited && waited <= wait * 11 / 10,
            "{waited:?} for {wait:?}"
        );
        assert_eq!(outcome.meta().attempts, 2);

        let service = always(answer);
        let outcome = run_on(&service);
        assert_eq!(service.counts(), (3, 0, 0), "three attempts in all");
        assert_eq!(outcome.error().attempts(), 3);
        assert_eq!(outcome.error().retry_after(), Some(wait));
    }
}

#[test]
fn a_delay_that_is_too_long_fails_at_once() {
    let long = r#"{"detail":"Request was throttled. Your rate limit resets in ~86400s."}"#;
    for answer in [
        problem(429, "{}").header("retry-after", "86400"),
        problem(429, r#"{"retry_after":86400}"#),
        problem(429, long),
    ] {
        let service = always(answer);
        let outcome = run_on(&service);
        assert_eq!(service.counts(), (1, 0, 0));
        assert_eq!(outcome.kind(), Some(ErrorKind::RateLimited));
        assert_eq!(outcome.elapsed, Duration::ZERO);
        assert_eq!(outcome.error().retry_after(), Some(seconds(86_400)));
    }
}

#[test]
fn an_invalid_retry_after_is_replaced_by_the_default_delay() {
    let bodies = [
        r#"{"retry_after":-5}"#,
        r#"{"retry_after":1e400}"#,
        r#"{"retry_after":"soon"}"#,
        r#"{"retry_after":{}}"#,
        r#"{"retry_after":null}"#,
        r#"{"detail":"Your rate limit resets in ~s."}"#,
        r#"{"detail":"Your rate limit resets in ~-9s."}"#,
        r#"{"detail":"resets in ~99999999999999999999999999999999s."}"#,
        r#"{"detail":7}"#,
        "{}",
        "",
        "<html>",
    ];
    for body in bodies {
        let service = first(problem(429, body));
        let outcome = run_on(&service);
        // A very long wait is returned as an error immediately.
        if outcome.kind() == Some(ErrorKind::RateLimited) {
            assert_eq!(service.counts(), (1, 0, 0), "{body}");
            continue;
        }
        assert_eq!(outcome.text(), "ab", "{body}");
        let times = service.times(What::Create);
        let waited = super::between(times[0], times[1]);
        let own = Duration::from_millis(250)..=Duration::from_millis(500);
        assert!(own.contains(&waited), "{body}: {waited:?}");
    }
}

// I3
#[test]
fn a_create_that_failed_is_not_retried() {
    for status in [408, 500, 502, 504, 520, 521, 522, 523, 524, 529] {
        for ambiguous in [false, true] {
            let answer = Answer::new(status, [Piece::from("<html>oops</html>")])
                .header("content-type", "text/html");
            let service = always(answer);
            let policy = RetryPolicy::default().retry_ambiguous(ambiguous);
            let request = ChatRequest::from("hi").retry(policy);
            let outcome = run_with(&service, &client(&service), request);
            assert_eq!(service.counts(), (1, 0, 0), "{status}");
            let error = outcome.error();
            assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
            assert_eq!(error.attempts(), 1);
        }
    }
}

#[test]
fn a_503_is_retried_only_with_retry_after() {
    let service = always(problem(503, "{}"));
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Overloaded));
    assert_eq!(service.counts(), (1, 0, 0));
    // 502 and 500 with `Retry-After` are failures nevertheless.
    for status in [500, 502, 504] {
        let service = always(problem(status, "{}").header("retry-after", "1"));
        run_on(&service);
        assert_eq!(service.counts(), (1, 0, 0), "{status}");
    }
    // A header that allows a retry is ignored for requests that cost money.
    let service = always(problem(500, "{}").header("x-should-retry", "true"));
    run_on(&service);
    assert_eq!(service.counts(), (1, 0, 0));
    let answer = problem(429, "{}").header("x-should-retry", "false");
    let service = always(answer);
    run_on(&service);
    assert_eq!(service.counts(), (1, 0, 0), "`false` is never");
}

#[test]
fn a_client_without_a_key_sends_nothing() {
    let service = healthy_scene().serve();
    let client = inferstream_replicate::Replicate::builder()
        .transport(service.clone())
        .build()
        .unwrap();
    let outcome = run_with(&service, &client, "hi");
    assert_eq!(outcome.kind(), Some(ErrorKind::Auth));
    let line = outcome.error().to_string();
    assert!(line.contains("REPLICATE_API_TOKEN"), "{line}");
    assert!(
        line.contains("https://replicate.com/account/api-tokens"),
        "{line}"
    );
    assert_eq!(service.all().len(), 0);
}

#[test]
fn headers_of_the_client_are_sent_with_every_request() {
    let service = healthy_scene().serve();
    let client = builder(&service)
        .header(
            HeaderName::from_static("x-team"),
            HeaderValue::from_static("blue"),
        )
        .build()
        .unwrap();
    run_with(&service, &client, "hi");
    let create = &service.asked(What::Create)[0];
    assert_eq!(create.header("x-team"), Some("blue"));
    for name in ["authorization", "host", "content-length"] {
        let built = builder(&service)
            .header(HeaderName::from_static(name), HeaderValue::from_static("x"))
            .build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Config, "{name}");
    }
}

#[test]
fn another_base_url_may_be_set() {
    for (url, expected) in [
        (
            "https://api.replicate.com",
            "https://api.replicate.com/v1/models",
        ),
        (
            "https://api.replicate.com/v1/",
            "https://api.replicate.com/v1/models",
        ),
        (
            "https://proxy.example/r/v1",
            "https://proxy.example/r/v1/models",
        ),
    ] {
        let service = healthy_scene().other([starting()]).serve();
        let client = builder(&service).base_url(url).build().unwrap();
        let request = crate::support::block_on(&service.clock, client.stream("hi"));
        drop(request);
        service.run_tasks();
        let uri = service.all()[0].uri();
        assert!(uri.starts_with(expected), "{url}: {uri}");
        assert!(service.all()[0].has_key());
    }
}

#[test]
fn a_delay_in_the_body_does_not_allow_a_retry() {
    let bodies = [
        r#"{"detail":"The result may be available in 1 second."}"#,
        r#"{"detail":"busy","retry_after":1}"#,
    ];
    for body in bodies {
        let service = scene("").create([problem(503, body)]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(ErrorKind::Overloaded));
        assert_eq!(service.counts(), (1, 0, 0));
    }
}

#[test]
fn an_empty_response_may_mean_that_a_prediction_exists() {
    for status in [500, 502, 504] {
        let outcome = run(scene("").create([problem(status, "")]));
        assert!(outcome.error().to_string().contains("may have created"));
    }
    let outcome = run(scene("").create([Answer::json(201, "")]));
    assert!(outcome.error().to_string().contains("may have created"));
}

#[test]
fn a_prediction_with_an_invalid_id_is_canceled_at_its_cancel_url() {
    let mut value = prediction("starting", &Value::Null);
    value["id"] = json!("a/b");
    let service = scene("").create([created(&value)]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
    assert_eq!(service.counts(), (1, 0, 1));
    for path in [
        "account",
        "predictions/a%2Fb/cancel",
        "predictions/cancel",
        "x/y/cancel",
    ] {
        let url = format!("https://{}/v1/{path}", super::HOST);
        let value = super::with_url(value.clone(), "cancel", &url);
        let service = scene("").create([created(&value)]).serve();
        run_on(&service);
        assert_eq!(service.all().len(), 1, "{path}");
    }
}

#[test]
fn an_incomplete_deployment_name_is_refused() {
    for model in ["deployments/a", "deployments", "deployments/a/b/c"] {
        let service = scene("").serve();
        let outcome = run_with(
            &service,
            &client(&service),
            ChatRequest::new(model).user("hi"),
        );
        assert_eq!(outcome.kind(), Some(ErrorKind::Config), "{model}");
        assert_eq!(service.counts(), (0, 0, 0));
    }
}

#[test]
fn an_input_that_is_not_an_object_is_refused() {
    let service = scene("").serve();
    let request = ChatRequest::new("a/b").extra("input", "text");
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(outcome.kind(), Some(ErrorKind::Config));
}
