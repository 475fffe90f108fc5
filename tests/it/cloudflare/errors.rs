//! Error responses of the service: every code in every format.

use std::time::Duration;

use inferstream_cloudflare::{Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, TOKEN, Wire, builder, check_line, sse, stream_of};
use crate::support::{Refusal, block_on, seconds};

#[track_caller]
pub(super) fn refuse(endpoint: Endpoint, answers: impl IntoIterator<Item = Answer>) -> Refusal {
    let wire = Wire::new(answers);
    let client = builder(&wire).endpoint(endpoint).build().unwrap();
    let error = match block_on(&wire.clock, client.stream("hi")) {
        Err(error) => error,
        Ok(stream) => block_on(&wire.clock, stream.finish()).unwrap_err(),
    };
    check_line(&error);
    Refusal::new(&wire, error, TOKEN)
}

const UUID: &str = "983e5e13-234a-48d2-abef-0eb6eb55b753";

/// Returns an error in each of the service's formats.
fn shapes(code: u32, status: u16, words: &str) -> Vec<String> {
    vec![
        format!(
            r#"{{"result":null,"success":false,"errors":[{{"code":{code},"message":"{words}"}}],"messages":[]}}"#
        ),
        format!(
            r#"{{"errors":[{{"message":"AiError: AiError: {words} ({UUID})","code":{code}}}],"success":false,"result":{{}},"messages":[]}}"#
        ),
        format!(
            r#"{{"success":false,"errors":[{{"code":{code},"message":"{words}","documentation_url":"https://developers.cloudflare.com","source":{{"pointer":"/x"}},"error_chain":[{{"code":1,"message":"inner"}}]}},{{"code":1,"message":"second"}}],"messages":[],"result":null}}"#
        ),
        format!(
            r#"{{"name":"AiError","internalCode":{code},"httpCode":{status},"message":"AiError: AiError: {words} ({UUID})","description":"{words}","requestId":"{UUID}"}}"#
        ),
        format!(
            r#"{{"success":false,"result":[],"messages":[],"error":[{{"code":{code},"message":"{words}"}}],"name":"AiGatewayError","httpCode":{status},"internalCode":{code},"message":"{words}","description":"{words}"}}"#
        ),
        format!(
            r#"{{"error":{{"message":"AiError: AiError: {words}","type":"gateway_error","code":{code}}}}}"#
        ),
        format!(r#"{{"error":{{"code":"{code}","message":"{words}"}}}}"#),
    ]
}

/// Checks a code in every format on both paths: kind, message, and number of requests.
#[track_caller]
fn check(code: u32, status: u16, words: &str, kinds: &[ErrorKind], attempts: usize) {
    for body in shapes(code, status, words) {
        for endpoint in ENDPOINTS {
            let refusal = refuse(endpoint, [Answer::json(status, &body)]);
            let error = &refusal.error;
            let at = format!("{status} {body}");
            assert!(kinds.contains(&error.kind()), "{:?}: {at}", error.kind());
            assert_eq!(error.code(), Some(code.to_string().as_str()), "{at}");
            assert!(error.to_string().contains(words), "{error}: {at}");
            assert_eq!(refusal.attempts, attempts, "{at}");
            assert_eq!(error.is_retryable(), 1 < attempts, "{at}");
            assert_eq!(error.status().unwrap().as_u16(), status, "{at}");
        }
    }
}

const BUSY: &str = "Capacity temporarily exceeded, please try again.";
const QUOTA: &str = "you have used up your daily free allocation of 10,000 neurons, please upgrade to Cloudflare's Workers Paid plan if you would like to continue usage.";
const CONTEXT: &str = "The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8192)";

#[test]
fn a_service_without_capacity_is_retried() {
    check(3040, 429, BUSY, &[ErrorKind::RateLimited], 3);
    let words = "No more data centers to forward the request to";
    check(3040, 429, words, &[ErrorKind::RateLimited], 3);
}

#[test]
fn an_exhausted_quota_is_not_retried() {
    check(3036, 429, QUOTA, &[ErrorKind::Quota], 1);
    check(4006, 429, QUOTA, &[ErrorKind::Quota], 1);
    check(
        2021,
        402,
        "Insufficient balance; add money to your gateway or use BYOK",
        &[ErrorKind::Quota],
        1,
    );
}

#[test]
fn the_retry_hint_of_a_quota_is_ignored() {
    for body in shapes(4006, 429, QUOTA) {
        let refusal = refuse(
            Endpoint::Native,
            [Answer::json(429, &body).header("retry-after", "1")],
        );
        assert_eq!(refusal.attempts, 1, "{body}");
        assert_eq!(refusal.waited, Duration::ZERO);
    }
}

#[test]
fn a_prompt_that_is_too_long_is_context_length() {
    for code in [5021, 3010] {
        for status in [413, 400] {
            check(code, status, CONTEXT, &[ErrorKind::ContextLength], 1);
        }
    }
}

#[test]
fn a_forbidden_action_is_a_permission_error() {
    for (code, words) in [
        (5035, "This model is not available on the Workers Free plan"),
        (5018, "This account is not allowed to access this model"),
        (3041, "This model is private"),
        (3023, "This account is blocked"),
        (5016, "You must agree to the terms of the model"),
    ] {
        check(code, 403, words, &[ErrorKind::Permission], 1);
    }
}

#[test]
fn a_refused_key_is_an_auth_error() {
    for status in [401, 403] {
        check(10000, status, "Authentication error", &[ErrorKind::Auth], 1);
    }
    check(2009, 401, "Unauthorized", &[ErrorKind::Auth], 1);
}

#[test]
fn a_401_is_an_auth_error_whatever_the_general_code() {
    check(
        9109,
        401,
        "Unauthorized to access requested resource",
        &[ErrorKind::Auth],
        1,
    );
}

#[test]
fn a_missing_model_is_not_found() {
    check(
        5007,
        400,
        "No such model @cf/x/y or task",
        &[ErrorKind::NotFound],
        1,
    );
    check(3042, 404, "Invalid model name", &[ErrorKind::NotFound], 1);
    check(
        7003,
        404,
        "Could not route to /accounts/x/ai, perhaps your object identifier is invalid?",
        &[ErrorKind::NotFound],
        1,
    );
    check(
        7003,
        400,
        "Could not route to /accounts/x/ai",
        &[ErrorKind::NotFound],
        1,
    );
    check(
        7000,
        404,
        "No route for that URI",
        &[ErrorKind::NotFound],
        1,
    );
}

#[test]
fn a_refusal_of_the_content_is_content_filter() {
    check(
        8007,
        400,
        "Input prompt contains NSFW content.",
        &[ErrorKind::ContentFilter],
        1,
    );
}

#[test]
fn an_invalid_request_is_not_retried() {
    let kinds = &[ErrorKind::InvalidRequest];
    check(5004, 400, "Invalid data: type error", kinds, 1);
    check(
        5006,
        400,
        "Bad input: Error: required properties at '/' are 'prompt'",
        kinds,
        1,
    );
    check(
        5006,
        400,
        "Bad input: Error: oneOf at '/' not met",
        kinds,
        1,
    );
    check(
        3003,
        400,
        "Incomplete request: missing headers or body",
        kinds,
        1,
    );
    check(3039, 400, "The finetune lacks model.safetensors", kinds, 1);
    check(3006, 413, "Request is too large", kinds, 1);
    check(
        2001,
        400,
        "Please configure AI Gateway in the Cloudflare dashboard",
        kinds,
        1,
    );
    check(
        2008,
        400,
        "Model not found",
        &[ErrorKind::InvalidRequest, ErrorKind::NotFound],
        1,
    );
    let kinds = &[
        ErrorKind::InvalidRequest,
        ErrorKind::Unsupported,
        ErrorKind::Server,
    ];
    check(5005, 405, "LoRA unsupported", kinds, 1);
    check(5019, 405, "SDK too old", kinds, 1);
}

#[test]
fn transient_errors_are_retried() {
    check(3007, 408, "Request timeout", &[ErrorKind::Server], 3);
    check(3008, 408, "Request was aborted", &[ErrorKind::Server], 3);
    check(3046, 408, "Request timeout", &[ErrorKind::Server], 3);
    for status in [500, 502, 503, 504] {
        let kinds = &[ErrorKind::Server, ErrorKind::Overloaded];
        check(7009, status, "Upstream service unavailable", kinds, 3);
    }
}

#[test]
fn the_code_is_more_specific_than_the_status() {
    for status in [400, 500] {
        let kinds = &[ErrorKind::Server, ErrorKind::Overloaded];
        check(3007, status, "Request timeout", kinds, 3);
        check(3046, status, "Request timeout", kinds, 3);
        check(7009, status, "Upstream service unavailable", kinds, 3);
    }
    check(4006, 400, QUOTA, &[ErrorKind::Quota], 1);
    check(
        3040,
        503,
        BUSY,
        &[ErrorKind::RateLimited, ErrorKind::Overloaded],
        3,
    );
}

#[test]
fn a_refusal_with_status_200_is_an_error() {
    for (code, words, kind, retryable) in [
        (3040, BUSY, ErrorKind::RateLimited, true),
        (
            7009,
            "Upstream service unavailable",
            ErrorKind::Overloaded,
            true,
        ),
        (3036, QUOTA, ErrorKind::Quota, false),
        (4006, QUOTA, ErrorKind::Quota, false),
        (5021, CONTEXT, ErrorKind::ContextLength, false),
        (10000, "Authentication error", ErrorKind::Auth, false),
        (
            8007,
            "Input prompt contains NSFW content.",
            ErrorKind::ContentFilter,
            false,
        ),
        (5007, "No such model x or task", ErrorKind::NotFound, false),
    ] {
        for body in shapes(code, 200, words) {
            for answer in [
                Answer::json(200, &body),
                stream_of(&body),
                stream_of(sse(&[&body])),
            ] {
                let refusal = refuse(Endpoint::Native, [answer]);
                let error = &refusal.error;
                // A failure of the service inside a response is `Provider`.
                let kind = match kind {
                    ErrorKind::Overloaded => ErrorKind::Provider,
                    kind => kind,
                };
                assert_eq!(error.kind(), kind, "{body}");
                assert_eq!(error.code(), Some(code.to_string().as_str()), "{body}");
                assert!(error.to_string().contains(words), "{error}: {body}");
                assert_eq!(error.is_retryable(), retryable, "{body}");
                if !retryable {
                    assert_eq!(refusal.attempts, 1, "{body}");
                }
            }
        }
    }
}

/// After the response has started, no request is repeated; the code says whether the caller may do
/// so.
#[test]
fn a_refusal_with_status_200_may_be_retryable() {
    for (code, message, kind, retryable) in [
        (3040, BUSY, ErrorKind::RateLimited, true),
        (4006, QUOTA, ErrorKind::Quota, false),
    ] {
        let body = format!(
            r#"{{"result":null,"success":false,"errors":[{{"code":{code},"message":"{message}"}}],"messages":[]}}"#
        );
        for endpoint in ENDPOINTS {
            let refusal = refuse(endpoint, [Answer::json(200, &body)]);
            assert_eq!(refusal.error.kind(), kind);
            assert_eq!(refusal.error.is_retryable(), retryable);
            assert_eq!(refusal.error.code(), Some(&*code.to_string()));
            assert_eq!(refusal.attempts, 1);
        }
    }
}

#[test]
fn a_message_that_is_json_is_unwrapped() {
    for message in [
        r#"AiError: AiError: {\"error\":{\"message\":\"the words\",\"code\":400}}"#,
        r#"AiError: {\"error\":{\"message\":\"the words\"}}"#,
        r#"{\"error\":{\"message\":\"the words\"}}"#,
    ] {
        let body = format!(
            r#"{{"errors":[{{"code":5006,"message":"{message}"}}],"success":false,"result":{{}},"messages":[]}}"#
        );
        let refusal = refuse(Endpoint::Native, [Answer::json(400, &body)]);
        assert_eq!(refusal.error.code(), Some("5006"), "{body}");
        let line = refusal.error.to_string();
        assert!(line.contains("the words"), "{line}");
        assert!(!line.contains("AiError") && !line.contains('{'), "{line}");
    }
}

#[test]
fn the_prefixes_of_a_message_are_removed() {
    for body in shapes(3040, 429, BUSY) {
        let refusal = refuse(Endpoint::Native, [Answer::json(429, &body)]);
        let words = refusal.error.provider_message().unwrap();
        assert!(words.starts_with(BUSY), "{words}: {body}");
    }
}

#[test]
fn the_delays_of_the_service_are_used() {
    let body = shapes(3040, 429, BUSY).remove(0);
    let refusal = refuse(
        Endpoint::OpenAi,
        [Answer::json(429, &body).header("retry-after", "7")],
    );
    assert_eq!(refusal.attempts, 3);
    assert!(seconds(14) <= refusal.waited, "{:?}", refusal.waited);
    let day = Answer::json(429, &body).header("retry-after", "86400");
    let refusal = refuse(Endpoint::OpenAi, [day]);
    assert_eq!(refusal.attempts, 1, "a delay of a day is not waited for");
    assert_eq!(refusal.error.retry_after(), Some(seconds(86400)));
}

#[test]
fn a_retry_can_succeed() {
    for body in shapes(3040, 429, BUSY) {
        let wire = Wire::new([
            Answer::json(429, &body),
            stream_of(sse(&[r#"{"response":"a"}"#, "[DONE]"])),
        ]);
        let stream = block_on(&wire.clock, super::client(&wire).stream("hi")).unwrap();
        assert_eq!(stream.meta().attempts, 2);
        let response = block_on(&wire.clock, stream.finish()).unwrap();
        assert_eq!(response.text(), "a");
        let requests = wire.all();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].body(), requests[1].body());
        assert_eq!(requests[0].headers(), requests[1].headers());
    }
}

#[test]
fn a_complete_response_has_the_same_errors() {
    for (code, status, kind, attempts) in [
        (3040, 429, ErrorKind::RateLimited, 3),
        (4006, 429, ErrorKind::Quota, 1),
        (10000, 401, ErrorKind::Auth, 1),
        (5021, 413, ErrorKind::ContextLength, 1),
    ] {
        for body in shapes(code, status, "words") {
            let wire = Wire::new([Answer::json(status, &body)]);
            let error = block_on(&wire.clock, super::client(&wire).chat("hi")).unwrap_err();
            assert_eq!(error.kind(), kind, "{body}");
            assert_eq!(wire.count(), attempts, "{body}");
        }
    }
}

#[test]
fn errors_of_unexpected_types_are_classified_by_their_status() {
    for body in [
        r#"{"errors":null,"success":false}"#,
        r#"{"errors":{},"success":false}"#,
        r#"{"errors":[],"success":false}"#,
        r#"{"errors":[null],"success":false}"#,
        r#"{"errors":["x"],"success":false}"#,
        r#"{"errors":[{"code":null,"message":null}]}"#,
        r#"{"errors":[{"code":{},"message":[]}]}"#,
        r#"{"errors":[{"code":-1,"message":7}]}"#,
        r#"{"errors":[{"code":1e99,"message":"x"}]}"#,
        r#"{"internalCode":null,"message":null}"#,
        r#"{"internalCode":[],"message":{}}"#,
        r#"{"error":[]}"#,
        r#"{"error":[null]}"#,
        r#"{"error":{}}"#,
        r#"{"error":null}"#,
        r#"{"success":0}"#,
        "[{\"error\":{}}]",
        "null",
        "\"text\"",
        "7",
        "",
        "plain text",
    ] {
        for endpoint in ENDPOINTS {
            let refusal = refuse(endpoint, [Answer::json(401, body)]);
            assert_eq!(refusal.error.kind(), ErrorKind::Auth, "{body}");
            let refusal = refuse(endpoint, [Answer::json(429, body)]);
            assert_eq!(refusal.error.kind(), ErrorKind::RateLimited, "{body}");
            assert_eq!(refusal.attempts, 3, "{body}");
            let refusal = refuse(endpoint, [Answer::json(500, body)]);
            assert_eq!(refusal.error.kind(), ErrorKind::Server, "{body}");
        }
    }
}
