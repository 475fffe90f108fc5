//! What services answer in place of an answer: kind, words, whether and when it is asked again.

use std::{fmt::Write, time::Duration};

use inferstream_core::{ChatRequest, Error, ErrorKind, Sent};

use super::{Answer, Client, KEY, Plain, Wire, broken, cerebras, piece, run, sse};
use crate::support::{Piece, Refusal, block_on, recordings, seconds};

#[track_caller]
fn refuse(answers: impl IntoIterator<Item = Answer>) -> Refusal {
    refuse_request(answers, ChatRequest::from("hi"))
}

#[track_caller]
fn refuse_request(answers: impl IntoIterator<Item = Answer>, request: ChatRequest) -> Refusal {
    let wire = Wire::new(answers);
    let error = block_on(&wire.clock, cerebras(&wire).stream(request)).unwrap_err();
    Refusal::new(&wire, error, KEY)
}

/// Checks the refusal of a status and a body: kind, code, the service's words, attempts.
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

const SERVER_ERROR: &str = r#"{"message":"Encountered a server error, please try again.","type":"server_error","param":"","code":"server_error"}"#;

#[test]
fn a_status_tells_the_kind() {
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
        check((525, body), Server, None, None, 1);
        check((501, body), Server, None, None, 1);
    }
}

#[test]
fn a_status_that_may_have_been_worked_on_is_not_asked_again() {
    for status in [520, 524] {
        let refusal = refuse([Answer::json(status, "")]);
        assert_eq!(refusal.attempts, 1, "{status}");
        assert_eq!(refusal.error.kind(), ErrorKind::Server);
    }
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let answer = Answer::new(status, []).header("location", "https://else.test/?key=h1dden");
        let refusal = refuse([answer]);
        assert_eq!(refusal.error.kind(), ErrorKind::Redirect);
        assert_eq!(refusal.attempts, 1);
        assert!(!format!("{0} {0:?}", refusal.error).contains("h1dden"));
    }
}

#[test]
fn cerebras_says_its_errors_flat() {
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
fn three_kinds_of_429_are_for_the_moment() {
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
fn a_quota_that_is_gone_is_not_asked_again() {
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
fn a_prompt_that_is_too_long_is_a_kind_of_its_own() {
    for body in [
        r#"{"message":"Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}"#,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
    ] {
        let refusal = refuse([Answer::json(400, body)]);
        assert_eq!(refusal.error.kind(), ErrorKind::ContextLength, "{body}");
        assert_eq!(refusal.attempts, 1, "{body}");
    }
}

#[test]
fn errors_come_in_every_shape() {
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
    // Broken or endless JSON says nothing.
    check(r#"{"message":"m"#, None, None);
    check(&"[".repeat(60_000), None, None);
    check(&r#"{"error":"#.repeat(6_000), None, None);
}

#[test]
fn bytes_that_are_no_text_say_nothing_bad() {
    let refusal = refuse([Answer::new(500, [piece(b"\xFF\xFE\0\x1B[31m\r\n\x07")])]);
    assert_eq!(refusal.error.kind(), ErrorKind::Server);
    let line = refusal.error.to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
}

#[test]
fn an_endless_body_is_cut_and_an_endless_wait_too() {
    let refusal = refuse([Answer::new(400, vec![piece(&[b'x'; 4096]); 4096])]);
    assert_eq!(refusal.error.body().unwrap().len(), 64 << 10);

    let refusal = refuse([Answer::new(400, [Piece::from("no"), Piece::Hang])]);
    assert_eq!(refusal.error.provider_message(), Some("no"));
    assert!(refusal.waited <= seconds(5), "{:?}", refusal.waited);

    let refusal = refuse([Answer::new(401, [broken()])]);
    assert_eq!(refusal.error.kind(), ErrorKind::Auth);
}

#[test]
fn a_challenge_is_not_an_answer() {
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
fn a_page_of_html_is_not_shown() {
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
fn a_server_error_that_comes_as_a_400_is_asked_again() {
    let refusal = refuse([Answer::json(400, SERVER_ERROR)]);
    assert_eq!(refusal.attempts, 3);
    assert!(refusal.error.is_retryable());
    assert_eq!(refusal.error.code(), Some("server_error"));

    let answer = Answer::sse([piece(&recordings::read("cerebras/t-cb-1.sse"))]);
    let wire = Wire::new([Answer::json(400, SERVER_ERROR), answer]);
    let stream = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap();
    assert_eq!(stream.meta().attempts, 2);
    assert_eq!(
        block_on(&wire.clock, stream.finish()).unwrap().text(),
        "Oi!"
    );
}

#[test]
fn a_refusal_of_a_retired_model_names_the_successor() {
    let body = r#"{"message":"Model does not exist","type":"not_found_error","param":"model","code":"model_not_found"}"#;
    for model in [
        "llama3.1-8b",
        "llama-3.1-8b",
        "llama-3.3-70b",
        "deepseek-r1",
    ] {
        let request = ChatRequest::new(model).user("hi");
        let refusal = refuse_request([Answer::json(404, body)], request);
        assert_eq!(refusal.error.kind(), ErrorKind::NotFound);
        let line = refusal.error.to_string();
        assert!(line.contains("`gpt-oss-120b`"), "{line}");
    }
    let refusal = refuse_request(
        [Answer::json(404, body)],
        ChatRequest::new("new").user("hi"),
    );
    assert!(!refusal.error.to_string().contains("gpt-oss"));
}

#[test]
fn a_refused_key_says_where_to_look() {
    let refusal = refuse([Answer::json(
        401,
        r#"{"message":"Wrong API Key","code":"wrong_api_key"}"#,
    )]);
    let line = refusal.error.to_string();
    assert!(line.contains("CEREBRAS_API_KEY"), "{line}");
}

/// Returns how long was waited before the second attempt, which succeeds.
#[track_caller]
fn wait(answer: Answer) -> Option<Duration> {
    let whole = Answer::sse([piece(&recordings::read("cerebras/t-cb-1.sse"))]);
    let wire = Wire::new([answer, whole]);
    let stream = block_on(&wire.clock, cerebras(&wire).stream("hi"));
    let waited = wire.clock.elapsed();
    stream.ok().map(|stream| {
        assert_eq!(stream.meta().attempts, 2);
        waited
    })
}

#[track_caller]
fn check_wait(headers: &[(&'static str, &str)], least: Duration, most: Duration) {
    for _ in 0..20 {
        let mut answer = Answer::json(429, "");
        for (name, value) in headers {
            answer = answer.header(name, *value);
        }
        let waited = wait(answer).unwrap();
        assert!(least <= waited && waited <= most, "{headers:?}: {waited:?}");
    }
}

#[test]
fn a_hint_is_waited_for_and_garbage_is_not_a_hint() {
    let millis = Duration::from_millis;
    let own = (millis(250), millis(500));
    check_wait(&[], own.0, own.1);
    check_wait(&[("retry-after", "2")], seconds(2), millis(2200));
    check_wait(&[("retry-after", "1.5")], millis(1500), millis(1650));
    check_wait(&[("retry-after-ms", "700")], millis(700), millis(770));
    check_wait(
        &[("retry-after-ms", "700"), ("retry-after", "30")],
        millis(700),
        millis(770),
    );
    check_wait(
        &[
            ("date", "Wed, 18 Nov 2026 10:00:00 GMT"),
            ("retry-after", "Wed, 18 Nov 2026 10:00:03 GMT"),
        ],
        seconds(3),
        millis(3300),
    );
    check_wait(&[("retry-after", "60")], seconds(60), seconds(66));
    for garbage in [
        "-5",
        "nan",
        "1e400",
        "",
        "soon",
        "inf",
        "0",
        "Wed, 99 Nov 2026",
    ] {
        check_wait(&[("retry-after", garbage)], own.0, own.1);
    }
}

#[test]
fn a_hint_beyond_the_limit_is_given_at_once() {
    for hint in ["61", "86400"] {
        let refusal = refuse([Answer::json(429, "").header("retry-after", hint)]);
        assert_eq!(
            (refusal.attempts, refusal.waited),
            (1, Duration::ZERO),
            "{hint}"
        );
        assert_eq!(
            refusal.error.retry_after(),
            Some(seconds(hint.parse().unwrap()))
        );
        assert!(refusal.error.is_retryable());
    }
}

#[test]
fn the_recorded_429_is_waited_for() {
    let body = r#"{"message":"Tokens per minute limit exceeded - too many tokens processed.","type":"too_many_tokens_error","param":"quota","code":"token_quota_exceeded"}"#;
    let answer = Answer::json(429, body)
        .header("x-ratelimit-limit-requests-day", "14400")
        .header("x-ratelimit-remaining-tokens-minute", "0")
        .header("x-ratelimit-reset-tokens-minute", "11.38")
        .header("retry-after", "12");
    let Refusal {
        error,
        attempts,
        waited,
    } = refuse([answer]);
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(seconds(12)));
    assert_eq!(attempts, 3);
    assert!(
        seconds(24) <= waited && waited <= Duration::from_millis(26_400),
        "{waited:?}"
    );
    let limits = error.rate_limits();
    assert_eq!(limits.get("requests-day").unwrap().limit, Some(14_400));
    let minute = limits.get("tokens-minute").unwrap();
    assert_eq!(minute.remaining, Some(0));
    assert_eq!(minute.reset, Some(Duration::from_secs_f64(11.38)));
}

#[test]
fn what_the_head_says_is_kept() {
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
fn a_service_may_forbid_another_attempt_and_not_ask_for_one() {
    let attempts = |status, word: &str| {
        refuse([Answer::json(status, "").header("x-should-retry", word)]).attempts
    };
    for status in [429, 500, 503] {
        assert_eq!(attempts(status, "false"), 1, "{status}");
        assert_eq!(attempts(status, "true"), 3, "{status}");
        assert_eq!(attempts(status, "perhaps"), 3, "{status}");
    }
    for status in [409, 425] {
        assert_eq!(attempts(status, "true"), 3, "{status}");
    }
    for status in [400, 401, 403, 404, 422] {
        assert_eq!(attempts(status, "true"), 1, "{status}");
    }
}

#[test]
fn a_lost_connection_is_replaced_only_if_nothing_was_sent() {
    let lost = |sent| Answer::error(Error::new(ErrorKind::Disconnected, "reset").with_sent(sent));
    assert_eq!(refuse([lost(Sent::Maybe)]).attempts, 1);
    assert_eq!(refuse([lost(Sent::Yes)]).attempts, 1);
    assert_eq!(refuse([lost(Sent::No)]).attempts, 3);
    assert_eq!(
        refuse([Answer::error(Error::new(ErrorKind::Connect, "refused"))]).attempts,
        3
    );
    assert_eq!(
        refuse([Answer::error(Error::new(ErrorKind::Tls, "bad"))]).attempts,
        1
    );
}

#[test]
fn the_key_and_a_long_prompt_do_not_come_back() {
    let prompt = "The treasure lies\nunder the \"third\" oak; tell nobody, not even Anna.";
    let system = "Answer as a pirate would, and keep h1dden things so.";
    let echo = format!("bad key {KEY} for {prompt} with {system}");
    let quoted = serde_json::to_string(&echo).unwrap();
    for body in [
        format!("{{\"message\":{quoted},\"type\":\"t\",\"code\":{quoted}}}"),
        format!("{{\"error\":{{\"message\":{quoted},\"type\":{quoted}}}}}"),
        quoted.clone(),
        echo.clone(),
    ] {
        for status in [400, 401, 429, 500] {
            let request = ChatRequest::default().system(system).user(prompt);
            let Refusal { error, .. } = refuse_request([Answer::json(status, &body)], request);
            check_silence(&error);
        }
        let events = sse(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#])
            + &format!("event: error\ndata: {}\n\n", body.replace('\n', "\ndata: "));
        let request = ChatRequest::default().system(system).user(prompt);
        let answer = Answer::sse([Piece::from(events.as_str())]);
        let outcome = super::run_request(Client::Cerebras, answer, request);
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
        check_silence(outcome.error());
    }
}

#[track_caller]
fn check_silence(error: &Error) {
    let text = format!(
        "{error} {error:?} {:?} {:?}",
        error.provider_message(),
        error.code()
    );
    for secret in [KEY, "treasure", "Anna", "pirate", "h1dden"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn broken_json_is_not_shown() {
    let outcome = super::plain_stream("data: {\"choices\":[{\"delta\":{\"content\":\"h1dden\"\n\n");
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        write!(text, " {error} {error:?}").unwrap();
        source = error.source();
    }
    assert!(!text.contains("h1dden"), "{text}");
}

#[test]
fn an_error_in_a_stream_ends_it_and_is_not_asked_again() {
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
            // The body is let go though the service holds it open.
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
fn what_is_no_error_is_not_taken_for_one() {
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
    // An error that the model talks of is text.
    let talk = r#"{"choices":[{"index":0,"delta":{"content":"{\"error\":{\"message\":\"m\"}}"}}]}"#;
    assert_eq!(
        super::chunks(&[talk]).text(),
        r#"{"error":{"message":"m"}}"#
    );
}

#[test]
fn whole_answers_are_asked_for_again_alike() {
    let whole = Answer::json(200, r#"{"choices":[{"message":{"content":"a"}}]}"#);
    let wire = Wire::new([Answer::json(503, ""), whole]);
    let response = block_on(&wire.clock, cerebras(&wire).chat("hi")).unwrap();
    assert_eq!((response.text(), wire.count()), ("a", 2));

    let wire = Wire::new([Answer::json(503, "")]);
    let chat = super::chat_of(Plain, &wire);
    let error = block_on(&wire.clock, chat.models()).unwrap_err();
    assert_eq!((error.kind(), wire.count()), (ErrorKind::Overloaded, 3));
}
