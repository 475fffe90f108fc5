//! Error responses of services: their kinds and messages.

use inferstream_core::{ChatRequest, ErrorKind, Phase, Timeouts};

use super::{Answer, KEY, Wire, broken, cerebras, piece};
use crate::support::{Piece, Refusal, block_on, recordings, seconds};

#[track_caller]
pub(super) fn refuse(answers: impl IntoIterator<Item = Answer>) -> Refusal {
    refuse_request(answers, ChatRequest::from("hi"))
}

#[track_caller]
pub(super) fn refuse_request(
    answers: impl IntoIterator<Item = Answer>,
    request: ChatRequest,
) -> Refusal {
    let wire = Wire::new(answers);
    let error = block_on(&wire.clock, cerebras(&wire).stream(request)).unwrap_err();
    Refusal::new(&wire, error, KEY)
}

/// Checks the error of a status and a body: kind, code, message, number of attempts.
#[track_caller]
fn check(
    (status, body): (u16, &str),
    kind: ErrorKind,
    code: Option<&str>,
    message: Option<&str>,
    attempts: usize,
) {
    let refusal = refuse([Answer::json(status, body)]);
    let error = &refusal.error;
    let at = format!("{status} {body}");
    assert_eq!(error.kind(), kind, "{at}");
    assert_eq!(error.code(), code, "{at}");
    assert_eq!(error.provider_message(), message, "{at}");
    assert_eq!(error.status().unwrap().as_u16(), status, "{at}");
    assert_eq!(refusal.attempts, attempts, "{at}");
    assert_eq!(error.is_retryable(), 1 < attempts, "{at}");
    assert_eq!(error.body().unwrap(), body, "{at}");
    let line = error.to_string();
    assert!(line.contains(&status.to_string()), "{at}: {line}");
    if let Some(message) = message {
        assert!(line.contains(message), "{at}: {line}");
    }
}

#[test]
fn a_status_determines_the_kind() {
    use ErrorKind::{
        Auth, InvalidRequest, NotFound, Overloaded, Permission, Quota, RateLimited, Server,
    };
    for body in ["", "null", "{}", "[]", "true"] {
        check((400, body), InvalidRequest, None, None, 1);
        check((401, body), Auth, None, None, 1);
        check((402, body), Quota, None, None, 1);
        check((403, body), Permission, None, None, 1);
        check((404, body), NotFound, None, None, 1);
        check((408, body), Server, None, None, 3);
        check((409, body), InvalidRequest, None, None, 1);
        check((413, body), InvalidRequest, None, None, 1);
        check((422, body), InvalidRequest, None, None, 1);
        check((429, body), RateLimited, None, None, 3);
        check((500, body), Server, None, None, 3);
        check((502, body), Server, None, None, 3);
        check((503, body), Overloaded, None, None, 3);
        check((504, body), Server, None, None, 3);
        check((529, body), Overloaded, None, None, 3);
        check((521, body), Server, None, None, 3);
        check((525, body), Server, None, None, 3);
        check((501, body), Server, None, None, 1);
    }
}

#[test]
fn an_ambiguous_status_is_not_retried() {
    for status in [520, 524] {
        let refusal = refuse([Answer::json(status, "")]);
        assert_eq!(refusal.attempts, 1, "{status}");
        assert_eq!(refusal.error.kind(), ErrorKind::Server);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let answer = Answer::empty(status).header("location", "https://else.test/?key=h1dden");
        let refusal = refuse([answer]);
        assert_eq!(refusal.error.kind(), ErrorKind::Redirect);
        assert_eq!(refusal.attempts, 1);
        assert!(!format!("{0} {0:?}", refusal.error).contains("h1dden"));
    }
}

#[test]
fn errors_of_cerebras_are_flat() {
    let words = "Unknown property 'store'";
    let body = format!(
        r#"{{"message":"{words}","type":"invalid_request_error","param":"store","code":"wrong_api_format"}}"#
    );
    let code = Some("wrong_api_format");
    check(
        (400, &body),
        ErrorKind::InvalidRequest,
        code,
        Some(words),
        1,
    );
    check(
        (422, &body),
        ErrorKind::InvalidRequest,
        code,
        Some(words),
        1,
    );

    let words = "Model x does not exist or you do not have access to it.";
    let body = format!(
        r#"{{"message":"{words}","type":"not_found_error","param":"model","code":"model_not_found"}}"#
    );
    check(
        (404, &body),
        ErrorKind::NotFound,
        Some("model_not_found"),
        Some(words),
        1,
    );
}

#[test]
fn three_kinds_of_429_are_temporary() {
    for (words, kind, param, code) in [
        (
            "Requests per minute limit exceeded - too many requests sent.",
            "too_many_requests_error",
            "quota",
            "request_quota_exceeded",
        ),
        (
            "Tokens per minute limit exceeded - too many tokens processed.",
            "too_many_tokens_error",
            "quota",
            "token_quota_exceeded",
        ),
        (
            "We're experiencing high traffic right now! Please try again soon.",
            "too_many_requests_error",
            "queue",
            "queue_exceeded",
        ),
    ] {
        let body =
            format!(r#"{{"message":"{words}","type":"{kind}","param":"{param}","code":"{code}"}}"#);
        check(
            (429, &body),
            ErrorKind::RateLimited,
            Some(code),
            Some(words),
            3,
        );
    }
}

#[test]
fn an_exhausted_quota_is_not_retried() {
    for body in [
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        r#"{"error":{"message":"x","type":"insufficient_quota"}}"#,
        r#"{"error":{"message":"x","code":"billing_hard_limit_reached"}}"#,
        r#"{"message":"Insufficient credits. Add more at the console.","type":"","code":""}"#,
    ] {
        let refusal = refuse([Answer::json(429, body)]);
        assert_eq!(refusal.error.kind(), ErrorKind::Quota, "{body}");
        assert_eq!(refusal.attempts, 1, "{body}");
        assert!(!refusal.error.is_retryable());
    }
}

#[test]
fn a_prompt_that_is_too_long_is_context_length() {
    for body in [
        r#"{"message":"Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}"#,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
        // llama.cpp's server.
        r#"{"error":{"code":400,"message":"request (543 tokens) exceeds the available context size (512 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":543,"n_ctx":512}}"#,
    ] {
        let refusal = refuse([Answer::json(400, body)]);
        assert_eq!(refusal.error.kind(), ErrorKind::ContextLength, "{body}");
        assert_eq!(refusal.attempts, 1, "{body}");
    }
}

#[test]
fn errors_may_have_any_format() {
    let check = |body: &str, code: Option<&str>, message: Option<&str>| {
        check((400, body), ErrorKind::InvalidRequest, code, message, 1);
    };
    check(
        r#"{"error":{"message":"m","type":"t","code":"c"}}"#,
        Some("c"),
        Some("m"),
    );
    check(
        r#"{"error":{"message":"m","type":"t","code":null}}"#,
        Some("t"),
        Some("m"),
    );
    check(
        r#"{"error":{"message":"m","code":17}}"#,
        Some("17"),
        Some("m"),
    );
    check(r#"{"error":"m"}"#, None, Some("m"));
    check(r#"{"error":null,"message":"m"}"#, None, Some("m"));
    check(
        r#"{"errors":[{"message":"m","code":7}]}"#,
        Some("7"),
        Some("m"),
    );
    check(r#"{"detail":"m"}"#, None, Some("m"));
    check(
        r#"[{"error":{"message":"m","code":"c"}}]"#,
        Some("c"),
        Some("m"),
    );
    check(r#"[[{"error":{"message":"m"}}]]"#, None, Some("m"));
    check(r#""m""#, None, Some("m"));
    check("m", None, Some("m"));
    check(" \r\n{\"message\":\"m\"}\r\n", None, Some("m"));
    check(r#"{"message":""}"#, None, None);
    check(r#"{"error":{"message":{"a":1}}}"#, None, None);
    // Invalid or endless JSON contains no message.
    check(r#"{"message":"m"#, None, None);
    check(&"[".repeat(60_000), None, None);
    check(&r#"{"error":"#.repeat(6_000), None, None);
}

#[test]
fn invalid_utf8_in_an_error_is_replaced() {
    let refusal = refuse([Answer::new(500, [piece(b"\xFF\xFE\0\x1B[31m\r\n\x07")])]);
    assert_eq!(refusal.error.kind(), ErrorKind::Server);
    let line = refusal.error.to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn an_endless_error_body_is_limited_in_size_and_time() {
    let refusal = refuse([Answer::new(400, vec![piece(&[b'x'; 4096]); 4096])]);
    assert_eq!(refusal.error.body().unwrap().len(), 64 << 10);

    let refusal = refuse([Answer::new(400, [Piece::from("no"), Piece::Hang])]);
    assert_eq!(refusal.error.provider_message(), Some("no"));
    assert_eq!(refusal.waited, seconds(2));

    let refusal = refuse([Answer::new(401, [broken()])]);
    assert_eq!(refusal.error.kind(), ErrorKind::Auth);
}

#[test]
fn an_error_body_respects_the_timeouts_of_its_request() {
    let slow = || Answer::new(401, [Piece::from("no"), Piece::Hang]);
    let millis = std::time::Duration::from_millis;
    let idle = |limit| Timeouts::default().idle(limit);
    for (timeouts, waited) in [
        (idle(None), seconds(2)),
        (idle(Some(seconds(60))), seconds(2)),
        (idle(Some(millis(300))), millis(300)),
        (idle(Some(millis(0))), millis(0)),
    ] {
        let refusal = refuse_request([slow()], ChatRequest::from("hi").timeouts(timeouts));
        assert_eq!(refusal.waited, waited, "{timeouts:?}");
        assert_eq!(refusal.error.kind(), ErrorKind::Auth);
    }
    // The total timeout includes it, over all attempts.
    let timeouts = Timeouts::default().total(Some(millis(700)));
    let refusal = refuse_request([slow()], ChatRequest::from("hi").timeouts(timeouts));
    assert_eq!(refusal.error.kind(), ErrorKind::Timeout(Phase::Total));
    assert_eq!(refusal.waited, millis(700));
}

#[test]
fn a_challenge_is_an_error() {
    let page = "<!DOCTYPE html><html lang=\"en-US\"><head><title>Just a moment...</title></head><body>…</body></html>";
    for status in [403, 503] {
        let answer = Answer::json(status, page).header("content-type", "text/html; charset=UTF-8");
        let refusal = refuse([answer]);
        assert_eq!(refusal.error.kind(), ErrorKind::Challenge);
        assert_eq!(refusal.attempts, 1);
        assert!(!refusal.error.is_retryable());
        assert_eq!(refusal.error.provider_message(), None);
    }
    let answer = Answer::json(403, "").header("cf-mitigated", "challenge");
    assert_eq!(refuse([answer]).error.kind(), ErrorKind::Challenge);
}

#[test]
fn an_html_page_is_not_shown() {
    let page = "<html><head><title>Worker exceeded resource limits | x | Cloudflare</title></head><body>error code 1102</body></html>";
    let answer = Answer::json(503, page).header("content-type", "text/html");
    let refusal = refuse([answer]);
    assert_eq!(refusal.error.kind(), ErrorKind::Overloaded);
    assert_eq!(refusal.attempts, 3);
    assert!(refusal.error.is_retryable());
    assert_eq!(refusal.error.provider_message(), None);
    assert!(!refusal.error.to_string().contains("resource"));
}

#[test]
fn a_refused_key_has_a_hint() {
    let refusal = refuse([Answer::json(
        401,
        r#"{"message":"Wrong API Key","code":"wrong_api_key"}"#,
    )]);
    let line = refusal.error.to_string();
    assert!(line.contains("CEREBRAS_API_KEY"), "{line}");
}

#[test]
fn the_headers_of_an_error_are_kept() {
    let head = |answer: Answer| {
        answer
            .header("inference-id", "chatcmpl-5af19e85")
            .header("x-ratelimit-remaining-requests", "4")
    };
    let Refusal { error, .. } = refuse([head(Answer::json(400, "{}"))]);
    assert_eq!(error.request_id(), Some("chatcmpl-5af19e85"));
    assert_eq!(
        error.rate_limits().get("requests").unwrap().remaining,
        Some(4)
    );

    let bytes = recordings::read("cerebras/t-cb-1.sse");
    for length in [bytes.len(), 200] {
        let wire = Wire::new([head(Answer::sse([piece(&bytes[..length])]))]);
        let mut stream = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap();
        let meta = stream.meta();
        assert_eq!((meta.attempts, meta.status.as_u16()), (1, 200));
        assert_eq!(meta.request_id(), Some("chatcmpl-5af19e85"));
        assert_eq!(
            meta.rate_limits().get("requests").unwrap().remaining,
            Some(4)
        );
        while let Some(event) = block_on(&wire.clock, stream.next()) {
            let Err(error) = event else { continue };
            assert_eq!(error.kind(), ErrorKind::Truncated);
            assert_eq!(error.request_id(), Some("chatcmpl-5af19e85"));
        }
    }
}

#[test]
fn a_status_without_a_name_is_shown_as_its_number() {
    let wire = Wire::new([Answer::json(529, "")]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert!(!error.to_string().contains("<unknown"), "{error}");
}

#[test]
fn a_low_balance_is_a_quota() {
    let body = r#"{"error":{"message":"Your credit balance is too low to access the API.","type":"invalid_request_error"}}"#;
    let wire = Wire::new([Answer::json(429, body)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert_eq!((error.kind(), wire.count()), (ErrorKind::Quota, 1));
}
