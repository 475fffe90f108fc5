//! Errors inside a response.

use inferstream_cloudflare::ErrorKind;

use super::chunks;

#[test]
fn an_error_may_come_in_place_of_a_chunk() {
    for (error, code, retryable) in [
        (r#"{"error":{"message":"boom"}}"#, None, None),
        (r#"{"error":"boom"}"#, None, None),
        (
            r#"{"error":{"message":"boom","code":"c"}}"#,
            Some("c"),
            None,
        ),
        (
            r#"{"errors":[{"code":3040,"message":"AiError: boom"}],"success":false,"result":{},"messages":[]}"#,
            Some("3040"),
            Some(true),
        ),
        (
            r#"{"success":false,"errors":[{"code":3040,"message":"boom"}]}"#,
            Some("3040"),
            Some(true),
        ),
        (
            r#"{"success":false,"errors":[{"code":5006,"message":"boom"}],"result":null,"messages":[]}"#,
            Some("5006"),
            Some(false),
        ),
        (
            r#"{"errors":[{"code":7009,"message":"boom"}]}"#,
            Some("7009"),
            Some(true),
        ),
        (
            r#"{"errors":[{"code":3036,"message":"AiError: AiError: boom"}]}"#,
            Some("3036"),
            Some(false),
        ),
        (
            r#"{"name":"AiError","internalCode":4006,"httpCode":429,"message":"AiError: AiError: boom","description":"boom"}"#,
            Some("4006"),
            Some(false),
        ),
        (
            r#"{"success":false,"result":[],"messages":[],"error":[{"code":2009,"message":"boom"}],"name":"AiGatewayError","httpCode":401,"internalCode":2009,"message":"boom","description":"boom"}"#,
            Some("2009"),
            Some(false),
        ),
        (
            r#"{"response":"","errors":[{"code":5006,"message":"boom"}],"success":false}"#,
            Some("5006"),
            Some(false),
        ),
    ] {
        for list in [
            &[error][..],
            &[r#"{"response":"a"}"#, error, r#"{"response":"b"}"#],
        ] {
            let outcome = chunks(list);
            // The codes have the same meaning inside a response.
            let kind = match code {
                Some("2009") => ErrorKind::Auth,
                Some("3036" | "4006") => ErrorKind::Quota,
                Some("3040") => ErrorKind::RateLimited,
                _ => ErrorKind::Provider,
            };
            assert_eq!(outcome.kind(), Some(kind), "{error}");
            let found = outcome.error();
            assert_eq!(found.code(), code, "{error}");
            assert!(found.to_string().ends_with("boom"), "{found}: {error}");
            if let Some(retryable) = retryable {
                assert_eq!(found.is_retryable(), retryable, "{error}");
            }
            assert_eq!(
                outcome.attempts, 1,
                "a response that has begun is not retried"
            );
            let text = if list.len() == 1 { "" } else { "a" };
            assert_eq!(outcome.text(), text, "{error}");
        }
    }
}

#[test]
fn a_failure_without_an_error_is_an_error() {
    for failure in [
        r#"{"success":false}"#,
        r#"{"success":false,"errors":[]}"#,
        r#"{"response":"b","success":false,"errors":null}"#,
    ] {
        let outcome = chunks(&[r#"{"response":"a"}"#, failure]);
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{failure}");
        assert_eq!(outcome.text(), "a", "{failure}");
    }
}

#[test]
fn an_empty_list_of_errors_is_not_an_error() {
    let outcome = chunks(&[r#"{"response":"a","errors":[],"success":true}"#]);
    assert_eq!(outcome.text(), "a");
    let outcome = chunks(&[r#"{"response":"a","error":null}"#]);
    assert_eq!(outcome.text(), "a");
}

#[test]
fn invalid_json_is_the_last_error() {
    let outcome = chunks(&[
        r#"{"response":"a"}"#,
        "{\"response\":",
        r#"{"response":"b"}"#,
    ]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
    assert_eq!(outcome.text(), "a");
}
