//! The shapes of error objects, anywhere in a response, and their kinds.

use inferstream_core::{ErrorKind, Repeat};

use super::{Answer, Client, FINISH, Outcome, TEXT, errors::refuse, plain_stream, run, sse};
use crate::support::{Piece, seconds};

/// Errors in the formats of services and gateways: body, kind, a part of the message.
///
/// Their sources: ggml-org/llama.cpp#16109; `MiniMax`, "Error Codes"; Baidu Qianfan, error codes of the
/// inference API; Zhipu, error codes of its API; Google, "Gemini API troubleshooting"; OpenRouter,
/// "Errors"; Groq, "API Error Codes"; anthropics/claude-code#4684; cline/cline#5140.
const ERRORS: &[(&str, ErrorKind, &str)] = &[
    (
        r#"{"error":{"code":500,"message":"Compute error.","type":"server_error"}}"#,
        ErrorKind::Provider,
        "Compute error.",
    ),
    (
        r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}]"#,
        ErrorKind::Auth,
        "API key not valid",
    ),
    (
        r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
        ErrorKind::Auth,
        "m",
    ),
    (
        r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. Please retry in 20.9s.","status":"RESOURCE_EXHAUSTED"}}"#,
        ErrorKind::RateLimited,
        "Please retry in",
    ),
    (
        r#"{"id":"1","choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
        ErrorKind::RateLimited,
        "rate limit",
    ),
    (
        r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
        ErrorKind::Quota,
        "insufficient balance",
    ),
    (
        r#"{"base_resp":{"status_code":"1004","status_msg":"login fail"}}"#,
        ErrorKind::Auth,
        "login fail",
    ),
    (
        r#"{"base_resp":{"status_code":1026,"status_msg":"m"}}"#,
        ErrorKind::ContentFilter,
        "m",
    ),
    (
        r#"{"error_code":110,"error_msg":"Access token invalid or no longer valid","id":"as-x"}"#,
        ErrorKind::Auth,
        "Access token invalid",
    ),
    (
        r#"{"error_code":18,"error_msg":"Open api qps request limit reached"}"#,
        ErrorKind::RateLimited,
        "qps",
    ),
    (
        r#"{"error_code":336003,"error_msg":"the max input characters is 5120"}"#,
        ErrorKind::ContextLength,
        "5120",
    ),
    (
        r#"{"code":1113,"msg":"Your balance is low: recharge","success":false}"#,
        ErrorKind::Quota,
        "recharge",
    ),
    (r#"{"success":false,"msg":"m"}"#, ErrorKind::Provider, "m"),
    (
        r#"{"id":"1","choices":[{"index":0,"delta":{}}],"x_groq":{"id":"r","error":"Over capacity"}}"#,
        ErrorKind::Provider,
        "Over capacity",
    ),
    (
        r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"m is temporarily rate-limited upstream","provider_name":"P"}}}"#,
        ErrorKind::RateLimited,
        "temporarily rate-limited upstream",
    ),
    (
        r#"{"error":{"code":400,"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 10 tokens\"}}"}}}"#,
        ErrorKind::ContextLength,
        "maximum context length is 10",
    ),
    (
        r#"{"error":{"message":"Your credit balance is too low to access the API.","type":"invalid_request_error"}}"#,
        ErrorKind::Quota,
        "too low",
    ),
    (
        r#"{"error":{"message":"too many prompt tokens: 12 > 10"}}"#,
        ErrorKind::ContextLength,
        "12 > 10",
    ),
    (
        r#"{"error":{"message":"Please reduce the length of the messages or completion.","code":400}}"#,
        ErrorKind::ContextLength,
        "reduce the length",
    ),
    (
        r#"{"error":{"message":"Overloaded","type":"overloaded_error"}}"#,
        ErrorKind::Provider,
        "Overloaded",
    ),
    (
        r#"{"error":{"message":"m","code":402}}"#,
        ErrorKind::Quota,
        "m",
    ),
    (
        r#"{"error":{"message":"m","code":"401"}}"#,
        ErrorKind::Auth,
        "m",
    ),
];

#[track_caller]
fn check(outcome: &Outcome, kind: ErrorKind, message: &str, at: &str) {
    let error = outcome.error();
    assert_eq!(error.kind(), kind, "{at}");
    let shown = error.provider_message().unwrap_or_default();
    assert!(shown.contains(message), "{shown:?}: {at}");
    assert!(error.to_string().contains(message), "{error}: {at}");
    assert_ne!(error.repeat(), Repeat::Safe, "{at}");
    assert_eq!(error.attempts(), 1, "{at}");
}

#[test]
fn an_error_has_the_same_kind_and_message_everywhere() {
    for (body, kind, message) in ERRORS {
        let text = sse(&[TEXT]);
        let done = "data: [DONE]\n\n";
        for (bytes, before) in [
            (format!("data: {body}\n\n{done}"), ""),
            (format!("{text}data: {body}\n\n{done}"), "a"),
            (format!("{text}event: error\ndata: {body}\n\n{done}"), "a"),
            (format!("{text}error: {body}\n\n{done}"), "a"),
            (format!("error: {body}\n\n{done}"), ""),
            // Without blank lines around it.
            (format!("data: {TEXT}\nerror: {body}\n{done}"), "a"),
            (format!("{text}{body}\n\n{done}"), "a"),
            (format!("{text}{body}\n{done}"), "a"),
            (format!("data: {TEXT}\n{body}\n{done}"), "a"),
            (format!("{body}\n\n{done}"), ""),
            (body.to_string(), ""),
            // The last line is not terminated, or no blank line follows it.
            (format!("{text}data: {body}"), "a"),
            (format!("{text}data: {body}\n"), "a"),
            (format!("{text}error: {body}"), "a"),
            (format!("{text}{body}"), "a"),
            (format!("{text}{}error: {body}", sse(&[FINISH])), "a"),
        ] {
            let outcome = plain_stream(&bytes);
            check(&outcome, *kind, message, &bytes);
            assert_eq!(outcome.text(), before, "{bytes}");
        }
        let outcome = run(Client::Plain, Answer::json(200, body));
        check(&outcome, *kind, message, body);
    }
}

#[test]
fn the_same_errors_may_come_with_a_status() {
    for (body, kind, message) in ERRORS {
        let expected = match kind {
            // A failure of the service that is sent as a 400, as opposed to an ordinary 400.
            ErrorKind::Provider if body.contains("server_error") => ErrorKind::Server,
            ErrorKind::Provider if body.contains("overloaded_error") => ErrorKind::Overloaded,
            ErrorKind::Provider => ErrorKind::InvalidRequest,
            kind => *kind,
        };
        // The status that an error names counts inside a response; otherwise the HTTP status
        // counts.
        if body.contains(r#""code":402"#) || body.contains(r#""code":"401""#) {
            continue;
        }
        let error = refuse([Answer::json(400, body)]).error;
        assert_eq!(error.kind(), expected, "{body}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn an_error_on_several_lines_is_one_error() {
    let lines = "{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"slow down\"\n  }\n}";
    for body in [lines.to_owned(), format!("[{lines}\n]")] {
        for bytes in [
            format!("{}{body}\n\ndata: [DONE]\n\n", sse(&[TEXT])),
            format!("{}{body}\n", sse(&[TEXT])),
            body.clone(),
            format!("{body}\n\ndata: [DONE]\n\n"),
        ] {
            check(
                &plain_stream(&bytes),
                ErrorKind::RateLimited,
                "slow down",
                &bytes,
            );
        }
    }
}

#[test]
fn an_error_line_without_json_is_an_error() {
    for bytes in [
        format!(
            "{}error: upstream is down\n\ndata: [DONE]\n\n",
            sse(&[TEXT])
        ),
        format!("{}error: upstream is down", sse(&[TEXT, FINISH])),
        "error: upstream is down\n\n".to_owned(),
    ] {
        let outcome = plain_stream(&bytes);
        check(&outcome, ErrorKind::Provider, "upstream is down", &bytes);
    }
}

#[test]
fn a_success_with_fields_of_errors_is_a_success() {
    for members in [
        r#""base_resp":{"status_code":0,"status_msg":""}"#,
        r#""base_resp":{"status_code":"0","status_msg":"success"}"#,
        r#""base_resp":null"#,
        r#""error_code":0,"error_msg":"success""#,
        r#""x_groq":{"id":"r"}"#,
        r#""x_groq":{"id":"r","error":null}"#,
        r#""code":200,"msg":"ok","success":true"#,
        r#""code":0,"msg":"ok""#,
    ] {
        let with = |chunk: &str| format!("{{{members},{}", &chunk[1..]);
        let outcome = plain_stream(sse(&[&with(TEXT), &with(FINISH)]) + "data: [DONE]\n\n");
        assert_eq!(
            (outcome.kind(), outcome.text().as_str()),
            (None, "a"),
            "{members}"
        );
        // The same alone.
        let alone = format!("{{{members}}}");
        let outcome = plain_stream(sse(&[TEXT, &alone, FINISH]) + "data: [DONE]\n\n");
        assert_eq!(
            (outcome.kind(), outcome.text().as_str()),
            (None, "a"),
            "{members}"
        );
    }
}

#[test]
fn blank_plain_text_is_an_error() {
    for body in ["", "\n", " \r\n"] {
        let answer = Answer::new(200, [Piece::from(body)]);
        let outcome = run(
            Client::Plain,
            answer.header("content-type", "text/plain; charset=utf-8"),
        );
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{body:?}");
    }
    // Some services send their event streams as plain text.
    let answer = Answer::new(200, [Piece::from(&*sse(&[TEXT, FINISH]))]);
    let outcome = run(Client::Plain, answer.header("content-type", "text/plain"));
    assert_eq!((outcome.kind(), outcome.text().as_str()), (None, "a"));
}

#[test]
fn a_request_above_the_rate_limit_is_sent_once() {
    // Groq sends 413 with the code of a rate limit; OpenAI sends the same message with 429.
    let words = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size and try again.";
    let body = format!(
        r#"{{"error":{{"message":"{words}","type":"tokens","code":"rate_limit_exceeded"}}}}"#
    );
    for status in [413, 429] {
        let refusal = refuse([Answer::json(status, &body)]);
        assert_eq!(refusal.error.kind(), ErrorKind::RateLimited, "{status}");
        assert_eq!(refusal.attempts, 1, "{status}");
    }
}

#[test]
fn a_daily_limit_is_not_retried() {
    for body in [
        r#"{"message":"Tokens per day limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#,
        r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429}}"#,
        r#"{"error":{"code":429,"message":"m. Please retry in 3s.","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"retryDelay":"3s"}]}}"#,
        r#"{"error":{"message":"Rate limit reached for model `m` on requests per minute. Please try again in 7m12.3s.","code":"rate_limit_exceeded"}}"#,
    ] {
        let refusal = refuse([Answer::json(429, body)]);
        assert_eq!(refusal.error.kind(), ErrorKind::RateLimited, "{body}");
        assert_eq!(
            (refusal.attempts, refusal.waited),
            (1, seconds(0)),
            "{body}"
        );
    }
    // By the headers alone.
    let answer = Answer::json(429, "")
        .header("x-ratelimit-remaining-requests-day", "0")
        .header("x-ratelimit-reset-requests-day", "33011.382867");
    let refusal = refuse([answer]);
    assert_eq!((refusal.attempts, refusal.waited), (1, seconds(0)));
    assert_eq!(
        refusal.error.retry_after().map(|wait| wait.as_secs()),
        Some(33011)
    );
}

#[test]
fn a_short_delay_of_the_service_is_respected() {
    let by_words = r#"{"error":{"message":"Rate limit reached. Please try again in 20s.","code":"rate_limit_exceeded"}}"#;
    for answer in [
        Answer::json(429, by_words),
        Answer::json(429, "").header("retry-after", "20s"),
        Answer::json(429, "")
            .header("x-ratelimit-remaining-tokens", "0")
            .header("x-ratelimit-reset-tokens", "20s")
            .header("x-ratelimit-remaining-requests", "7")
            .header("x-ratelimit-reset-requests", "6m0s"),
        Answer::json(429, "").header("ratelimit", r#""default";r=0;t=20"#),
    ] {
        let refusal = refuse([answer]);
        assert_eq!(refusal.error.retry_after(), Some(seconds(20)));
        assert_eq!(refusal.attempts, 3);
        assert!(seconds(40) <= refusal.waited, "{:?}", refusal.waited);
    }
}

#[test]
fn an_error_page_of_a_gateway_is_a_server_error() {
    // Cloudflare's own page, after earendil-works/pi#6239 and anthropics/claude-code#16737.
    let page = "<!DOCTYPE html>\n<!--[if lt IE 7]> <html class=\"no-js ie6 oldie\" lang=\"en-US\"> <![endif]-->\n<head><title>api.example.ai | 502: Bad gateway</title></head><body><div id=\"cf-wrapper\"><div id=\"cf-error-details\"><div id=\"cf-browser-status\">You</div><div id=\"cf-cloudflare-status\">Cloudflare</div><div id=\"cf-host-status\">Host</div></div></div><script src=\"/cdn-cgi/challenge-platform/scripts/jsd/main.js\"></script></body></html>";
    let nginx =
        "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>nginx</body></html>";
    for body in [page, nginx] {
        for (status, attempts) in [
            (500, 3),
            (502, 3),
            (504, 3),
            (520, 1),
            (521, 3),
            (522, 3),
            (523, 3),
            (524, 1),
            (525, 3),
            (526, 3),
            (527, 1),
        ] {
            let answer = Answer::json(status, body).header("content-type", "text/html");
            let refusal = refuse([answer]);
            assert_eq!(refusal.error.kind(), ErrorKind::Server, "{status}");
            assert_eq!(refusal.attempts, attempts, "{status}");
            assert!(refusal.error.is_retryable(), "{status}");
        }
    }
}

#[test]
fn a_challenge_is_recognized_by_a_header_or_its_page() {
    for (header, word) in [
        ("cf-mitigated", "challenge"),
        ("x-vercel-mitigated", "challenge"),
        ("x-amzn-waf-action", "captcha"),
    ] {
        let refusal = refuse([Answer::json(403, "").header(header, word)]);
        assert_eq!(refusal.error.kind(), ErrorKind::Challenge, "{header}");
    }
    for page in [
        "<html><title>Just a moment...</title>",
        "\u{feff}\n<html><head><title>Attention Required! | Cloudflare</title>",
        // In another language.
        "<html lang=\"de\"><title>Nur einen Moment…</title><script>window._cf_chl_opt={}</script>",
    ] {
        let refusal = refuse([Answer::json(403, page).header("content-type", "text/html")]);
        assert_eq!(refusal.error.kind(), ErrorKind::Challenge, "{page}");
        assert_eq!(refusal.attempts, 1);
    }
    let talk = r#"{"error":{"message":"Attention Required! | Cloudflare: cf-chl-x"}}"#;
    assert_eq!(
        refuse([Answer::json(403, talk)]).error.kind(),
        ErrorKind::Permission
    );
}
