//! Errors inside a response, and events that only look like errors.

use std::time::Duration;

use inferstream_core::ErrorKind;

use super::{Answer, Client, FINISH, TEXT, chunks, plain_stream, run, sse};
use crate::support::Piece;

#[test]
fn an_error_in_a_stream_ends_it_and_is_not_retried() {
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Par"}}]}"#;
    for (frame, code, message, retryable) in [
        (
            r#"data: {"error":{"message":"m","type":"server_error","code":"server_error"},"status_code":500}"#,
            Some("server_error"),
            Some("m"),
            true,
        ),
        (
            r#"data: {"error":{"message":"m","code":"bad"}}"#,
            Some("bad"),
            Some("m"),
            false,
        ),
        (r#"data: {"error":"m"}"#, None, Some("m"), false),
        (
            r#"data: {"error":{"message":"m"},"choices":[]}"#,
            None,
            Some("m"),
            false,
        ),
        (
            r#"data: {"message":"m","type":"server_error","param":"","code":"server_error"}"#,
            Some("server_error"),
            Some("m"),
            true,
        ),
        (r#"data: {"detail":"m"}"#, None, Some("m"), false),
        (
            r#"data: {"errors":[{"code":3040,"message":"m"}]}"#,
            Some("3040"),
            Some("m"),
            false,
        ),
        (
            "event: error\ndata: {\"error\":{\"message\":\"m\"}}",
            None,
            Some("m"),
            false,
        ),
        (
            "event: error\ndata: {\"message\":\"m\"}",
            None,
            Some("m"),
            false,
        ),
        ("event: error\ndata: m", None, Some("m"), false),
        ("event: error\ndata: \"m\"", None, Some("m"), false),
        ("event: error\ndata: {}", None, None, false),
        ("event: error\ndata:", None, None, false),
        ("event: error\ndata: {\"choices\":[]}", None, None, false),
    ] {
        for client in [Client::Cerebras, Client::Plain] {
            let bytes = sse(&[text]) + frame + "\n\n" + &sse(&[text]) + "data: [DONE]\n\n";
            // The body is dropped even if the service keeps the connection open.
            let outcome = run(
                client,
                Answer::sse([Piece::from(bytes.as_str()), Piece::Hang]),
            );
            let error = outcome.error();
            assert_eq!(error.kind(), ErrorKind::Provider, "{frame}");
            assert_eq!(error.code(), code, "{frame}");
            assert_eq!(error.provider_message(), message, "{frame}");
            assert_eq!(error.is_retryable(), retryable, "{frame}");
            assert_eq!(error.attempts(), 1, "{frame}");
            assert_eq!(outcome.text(), "Par", "{frame}");
            assert_eq!(outcome.elapsed, Duration::ZERO, "{frame}");
        }
    }
}

#[test]
fn empty_error_members_are_ignored() {
    for chunk in [
        r#"{"error":null,"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"error":"","choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"error":{},"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"message":"m","code":"","detail":null,"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"errors":[],"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
    ] {
        let outcome = super::chunks(&[chunk]);
        assert_eq!(outcome.kind(), None, "{chunk}");
        assert_eq!(outcome.text(), "a", "{chunk}");
    }
    // An error that the model writes about is text.
    let talk = r#"{"choices":[{"index":0,"delta":{"content":"{\"error\":{\"message\":\"m\"}}"}}]}"#;
    assert_eq!(
        super::chunks(&[talk]).text(),
        r#"{"error":{"message":"m"}}"#
    );
}

#[test]
fn an_event_named_error_is_an_error_whatever_its_data() {
    let outcome = plain_stream(sse(&[TEXT]) + "event: error\ndata: [DONE]\n\n");
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Provider),
        "{:?}",
        outcome.end
    );
}

#[test]
fn an_error_in_a_choice_is_an_error() {
    let outcome = chunks(&[
        TEXT,
        r#"{"choices":[{"index":0,"delta":{"content":""},"error":{"message":"m","code":502},"finish_reason":"error"}]}"#,
    ]);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Provider),
        "{:?}",
        outcome.end
    );
}

#[test]
fn in_stream_429_is_retryable() {
    let outcome = chunks(&[TEXT, r#"{"error":{"message":"boom","code":429}}"#]);
    assert!(outcome.error().is_retryable());
}

#[test]
fn an_event_with_another_name_is_not_an_error() {
    for data in [
        r#"{"type":"ping","message":"alive"}"#,
        r#"{"code":200,"message":"ok"}"#,
        r#"{"detail":"alive"}"#,
        "{ping}",
    ] {
        for name in ["ping", "keepalive", "news"] {
            let other = format!("event: {name}\ndata: {data}\n\n");
            let outcome = plain_stream(sse(&[TEXT]) + &other + &sse(&[TEXT, FINISH]));
            assert_eq!(
                (outcome.kind(), outcome.text().as_str()),
                (None, "aa"),
                "{other}"
            );
        }
    }
}

#[test]
fn an_event_with_another_name_may_have_any_data() {
    let ping = "event: ping\ndata: 2026-01-01\n\n";
    let outcome = plain_stream(format!("{ping}{}{ping}{}", sse(&[TEXT]), sse(&[FINISH])));
    assert_eq!((outcome.kind(), outcome.text().as_str()), (None, "a"));
}
