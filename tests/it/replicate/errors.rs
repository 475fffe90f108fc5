//! Error responses of the service, also with missing members.

use inferstream_core::{ChatRequest, ErrorKind, RetryPolicy};
use serde_json::json;

use super::{
    Answer, Outcome, Service, builder, client, document, failed, output, prediction, run_on,
    run_with, scene, starting,
};
use crate::support::{Piece, problem, seconds};

/// Responds to every creating request in this way; nothing is retried.
fn refused(answer: Answer) -> Outcome {
    let service = scene("").create([answer]).serve();
    let request = ChatRequest::from("hi").retry(RetryPolicy::never());
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(service.counts(), (1, 0, 0));
    outcome
}

#[track_caller]
fn check(status: u16, body: &str, kind: ErrorKind, message: &str) {
    let outcome = refused(problem(status, body));
    let error = outcome.error();
    assert_eq!(error.kind(), kind, "{status} {body}: {error:?}");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
    assert!(error.to_string().contains(message), "{error}");
    assert_eq!(error.body().map(|body| &body[..]), Some(body.as_bytes()));
}

#[test]
fn a_refusal_has_its_kind_and_message() {
    check(
        401,
        r#"{"title":"Unauthenticated","detail":"You did not pass a valid authentication token","status":401}"#,
        ErrorKind::Auth,
        "You did not pass a valid authentication token",
    );
    check(
        401,
        r#"{"detail":"Invalid token."}"#,
        ErrorKind::Auth,
        "Invalid token",
    );
    check(
        402,
        r#"{"title":"Insufficient credit","detail":"You have insufficient credit to run this model.","status":402}"#,
        ErrorKind::Quota,
        "insufficient credit",
    );
    check(
        403,
        r#"{"detail":"no access"}"#,
        ErrorKind::Permission,
        "no access",
    );
    check(
        404,
        r#"{"detail":"The requested resource could not be found.","status":404}"#,
        ErrorKind::NotFound,
        "The requested resource could not be found",
    );
    check(
        422,
        r#"{"title":"Invalid version or not permitted","detail":"The specified version does not exist","status":422}"#,
        ErrorKind::InvalidRequest,
        "The specified version does not exist",
    );
    check(
        429,
        r#"{"detail":"Request was throttled. Your rate limit resets in ~30s."}"#,
        ErrorKind::RateLimited,
        "resets in ~30s",
    );
    check(500, r#"{"detail":"boom"}"#, ErrorKind::Server, "boom");
    check(503, r#"{"detail":"full"}"#, ErrorKind::Overloaded, "full");
}

#[test]
fn a_model_that_is_not_official_has_a_hint() {
    let body = r#"{"detail":"The requested resource could not be found.","status":404}"#;
    let outcome = refused(problem(404, body));
    let line = outcome.error().to_string();
    assert!(line.contains("version"), "{line}");
    assert!(
        line.contains(":version"),
        "the expected spelling is shown: {line}"
    );
}

#[test]
fn invalid_fields_are_named() {
    let body = json!({
        "title": "Input validation failed",
        "detail": "- input: prompt is required\n",
        "status": 422,
        "invalid_fields": [
            {"type": "required", "field": "input", "description": "prompt is required"},
            {"type": "type", "field": "input.top_k", "description": "must be an integer"},
        ],
    });
    let outcome = refused(problem(422, &body.to_string()));
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let line = error.to_string();
    assert!(line.contains("prompt is required"), "{line}");
    assert!(line.contains("input.top_k"), "{line}");
    assert!(!line.contains('\n'), "one line: {line:?}");
    // Without `detail`, the fields are enough.
    let body = r#"{"invalid_fields":[{"field":"input.seed","description":"must be an integer"}]}"#;
    let line = refused(problem(422, body)).error().to_string();
    assert!(
        line.contains("input.seed") && line.contains("must be an integer"),
        "{line}"
    );
}

#[test]
fn members_may_be_missing_or_of_another_type() {
    let bodies = [
        "",
        "{}",
        "[]",
        "null",
        "7",
        "\"text\"",
        "no JSON",
        "{",
        "<html><body>Bad</body></html>",
        r#"{"title":7,"detail":{},"status":"x"}"#,
        r#"{"detail":null}"#,
        r#"{"detail":["a","b"]}"#,
        r#"{"status":1e400}"#,
        r#"{"status":-1,"type":7,"instance":[]}"#,
        r#"{"status":99999}"#,
        r#"{"invalid_fields":null}"#,
        r#"{"invalid_fields":[7,null,{},{"field":7},[]]}"#,
        r#"{"title":"\u0000\u001b[31m"}"#,
        "\u{feff}{}",
    ];
    let kinds = [
        (400, ErrorKind::InvalidRequest),
        (401, ErrorKind::Auth),
        (402, ErrorKind::Quota),
        (403, ErrorKind::Permission),
        (404, ErrorKind::NotFound),
        (422, ErrorKind::InvalidRequest),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Server),
        (503, ErrorKind::Overloaded),
    ];
    for body in bodies {
        for (status, kind) in kinds {
            let outcome = refused(problem(status, body));
            let error = outcome.error();
            assert_eq!(error.kind(), kind, "{status} {body}");
            let line = error.to_string();
            assert!(
                !line.chars().any(char::is_control),
                "{status} {body}: {line:?}"
            );
            assert!(line.len() < 2000);
        }
    }
}

#[test]
fn invalid_utf8_is_an_error_with_its_status() {
    for bytes in [
        &b"\xff\xfe\x00"[..],
        &[0xC3],
        &vec![b'['; 100_000],
        &vec![b' '; 100_000],
    ] {
        let outcome = refused(Answer::new(500, [super::piece(bytes)]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Server));
        assert!(outcome.error().body().unwrap().len() <= 64 << 10);
    }
}

#[test]
fn an_endless_error_body_is_read_for_two_seconds() {
    let endless = std::iter::repeat_n([Piece::Wait(seconds(1)), Piece::from("x")], 100);
    let pieces: Vec<_> = endless.flatten().collect();
    let outcome = refused(Answer::new(500, pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::Server));
    assert_eq!(outcome.elapsed, seconds(2));
    let outcome = refused(Answer::new(500, [Piece::Hang]));
    assert_eq!(outcome.elapsed, seconds(2));
}

#[test]
fn a_failed_prediction_is_an_error_with_its_message() {
    let texts = [
        "CUDA out of memory",
        "Prediction failed: E1001",
        "line one\nline two",
        "(Code: PA) Prediction interrupted",
    ];
    for text in texts {
        let service = scene(&output(0, "a"))
            .prediction([document(&failed(text))])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
        let error = outcome.error();
        let message = error.provider_message().unwrap();
        assert!(message.contains(text.lines().next().unwrap()), "{message}");
        assert!(error.to_string().contains(text.lines().next().unwrap()));
        assert!(!error.to_string().contains('\n'));
        assert_eq!(outcome.text(), "a");
    }
}

#[test]
fn an_error_has_the_request_id() {
    let answer = problem(500, "{}").header("x-request-id", "req-7");
    let outcome = refused(answer);
    assert_eq!(outcome.error().request_id(), Some("req-7"));
}

#[test]
fn an_error_of_an_open_stream_has_the_partial_response() {
    let mut value = prediction("starting", &json!(null));
    value["model"] = json!("meta/other");
    let service = scene(&output(0, "a"))
        .create([super::created(&value)])
        .prediction([super::trouble()])
        .stream([
            Answer::sse([Piece::from(&*output(0, "a"))]),
            super::trouble(),
        ])
        .serve();
    let outcome = run_on(&service);
    let partial = outcome.error().partial().unwrap();
    assert_eq!(partial.id.as_deref(), Some(super::ID));
    assert_eq!(partial.text(), "a");
    assert_eq!(partial.finish_reason(), None);
    assert_eq!(partial.end, None);
}

#[test]
fn an_html_page_is_not_a_prediction() {
    let answer = Answer::new(200, [Piece::from("<html>Just a moment</html>")])
        .header("content-type", "text/html");
    let service = scene("").create([answer]).serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
    assert_eq!(service.counts(), (1, 0, 0));
}

#[test]
fn an_invalid_key_is_refused_and_not_shown() {
    let service: Service = scene("").create([starting()]).serve();
    for key in [
        "",
        "  ",
        "r8_se\ncret",
        "r8_se cret",
        "r8_sécret",
        "r8_se\0cret",
    ] {
        let built = builder(&service).api_key(key).build();
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{key:?}");
        assert!(!super::shown(&error).contains("r8_"), "{error:?}");
    }
    let client = builder(&service).api_key(" r8_good\n").build().unwrap();
    let _ = run_with(&service, &client, "hi");
    let create = &service.all()[0];
    assert_eq!(create.header("authorization"), Some("Bearer r8_good"));
}
