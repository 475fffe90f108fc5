//! Responses that are one JSON document, requested or not.

use inferstream_cloudflare::{End, Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, Wire, client, run, sse, stream_of};
use crate::support::block_on;

#[test]
fn a_document_is_a_valid_response_to_a_stream_request() {
    for (document, text) in [
        (
            r#"{"result":{"response":"a"},"success":true,"errors":[],"messages":[]}"#,
            "a",
        ),
        (
            r#"{"result":{"response":"a","tool_calls":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}},"success":true,"errors":[],"messages":[]}"#,
            "a",
        ),
        (
            r#"{"errors":[],"messages":[],"success":true,"result":{"response":"a"}}"#,
            "a",
        ),
        (r#"{"response":"a"}"#, "a"),
        (
            r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#,
            "a",
        ),
        (
            r#"{"result":{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"t"},"finish_reason":"length"}]},"success":true}"#,
            "",
        ),
        (
            "\n  {\"result\":{\"response\":\"a\"},\"success\":true}\n",
            "a",
        ),
    ] {
        for endpoint in ENDPOINTS {
            for content_type in [
                "application/json",
                "text/event-stream",
                "application/octet-stream",
                "",
            ] {
                let answer = Answer::json(200, document).header("content-type", content_type);
                let outcome = run(endpoint, answer);
                assert_eq!(outcome.kind(), None, "{content_type} {document}");
                assert_eq!(outcome.text(), text, "{content_type} {document}");
                assert_eq!(outcome.response().end, Some(End::FinishReason));
            }
        }
    }
}

#[test]
fn a_truncated_document_is_an_error() {
    let document = r#"{"result":{"response":"a"},"success":true,"errors":[],"messages":[]}"#;
    for place in 0..document.len() {
        let outcome = run(Endpoint::Native, Answer::json(200, &document[..place]));
        let kind = outcome.kind();
        assert!(
            matches!(kind, Some(ErrorKind::Truncated | ErrorKind::Protocol)),
            "{kind:?} at {place}"
        );
        assert_eq!(outcome.text(), "");
    }
}

#[test]
fn a_document_without_a_response_is_an_error() {
    for document in [
        r#"{"result":null,"success":true,"errors":[],"messages":[]}"#,
        r#"{"result":{},"success":false,"errors":[],"messages":[]}"#,
        r#"{"result":{"response":"a"},"success":false,"errors":[],"messages":[]}"#,
        r#"{"success":true}"#,
        "[]",
        "null",
        "",
    ] {
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, Answer::json(200, document));
            assert!(outcome.end.is_err(), "{document}: {outcome:?}");
        }
    }
}

#[test]
fn a_complete_response_equals_the_stream() {
    let document = r#"{"result":{"response":"a","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}},"success":true,"errors":[],"messages":[]}"#;
    let wire = Wire::new([Answer::json(200, document)]);
    let response = block_on(&wire.clock, client(&wire).chat("hi")).unwrap();
    assert_eq!(response.text(), "a");
    assert_eq!(response.usage.unwrap().total_tokens, Some(2));
    let body = wire.json();
    assert_ne!(body.get("stream"), Some(&serde_json::json!(true)));
    assert_eq!(body["max_tokens"], 2048);
    assert_eq!(wire.count(), 1);
    // A stream in response is read or refused; it is never an empty success.
    let wire = Wire::new([stream_of(sse(&[r#"{"response":"a"}"#, "[DONE]"]))]);
    if let Ok(response) = block_on(&wire.clock, client(&wire).chat("hi")) {
        assert_eq!(response.text(), "a");
    }
}
