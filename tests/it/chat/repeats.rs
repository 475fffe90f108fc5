//! Retries and their delays.

use std::time::Duration;

use inferstream_core::{Error, ErrorKind, Provider as _, Sent};

use super::{Answer, Plain, Wire, cerebras, errors::refuse, piece};
use crate::support::{Refusal, block_on, recordings, seconds};

const SERVER_ERROR: &str = r#"{"message":"Encountered a server error, please try again.","type":"server_error","param":"","code":"server_error"}"#;

#[test]
fn a_server_error_with_status_400_is_retried() {
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
fn a_400_with_envelope_and_status() {
    let body = r#"{"error":{"message":"Encountered a server error, please try again.","type":"server_error","code":"server_error"},"status_code":500}"#;
    let wire = Wire::new([Answer::json(400, body)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert_eq!((wire.count(), error.is_retryable()), (3, true));
}

/// Returns the delay before the second attempt, which succeeds.
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
fn retry_after_is_respected_if_it_is_valid() {
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
fn a_retry_after_above_the_limit_fails_at_once() {
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
fn the_delay_of_the_recorded_429_is_respected() {
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
fn a_service_may_forbid_a_retry_but_not_request_one() {
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
fn a_lost_connection_is_retried_only_if_nothing_was_sent() {
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
fn complete_responses_are_retried_in_the_same_way() {
    let whole = Answer::json(200, r#"{"choices":[{"message":{"content":"a"}}]}"#);
    let wire = Wire::new([Answer::json(503, ""), whole]);
    let response = block_on(&wire.clock, cerebras(&wire).chat("hi")).unwrap();
    assert_eq!((response.text(), wire.count()), ("a", 2));

    let wire = Wire::new([Answer::json(503, "")]);
    let chat = super::chat_of(Plain, &wire);
    let error = block_on(&wire.clock, chat.models()).unwrap_err();
    assert_eq!((error.kind(), wire.count()), (ErrorKind::Overloaded, 3));
}
