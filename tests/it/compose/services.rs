//! This workspace's providers in a fallback, over scripted transports.

use inferstream_cerebras::Cerebras;
use inferstream_cloudflare::Cloudflare;
use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{ChatRequest, ErrorKind, Provider, RetryPolicy};

use crate::support::{Answer, Outcome, Piece, Wire, block_on, seconds, sse};

const KEY: &str = "csk-5ecret-0f-the-test";

fn cerebras(wire: &Wire) -> Cerebras {
    let builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
    builder.build().unwrap()
}

fn cloudflare(wire: &Wire) -> Cloudflare {
    Cloudflare::builder()
        .account_id("0123456789abcdef0123456789abcdef")
        .api_token(KEY)
        .transport(wire.clone())
        .build()
        .unwrap()
}

/// Two transports with the same clock.
fn wires(first: Answer, second: Answer) -> [Wire; 2] {
    let first = Wire::new([first]);
    let mut second = Wire::new([second]);
    second.clock = first.clock.clone();
    [first, second]
}

fn request() -> ChatRequest {
    ChatRequest::new("gpt-oss-120b")
        .user("Why is the sky blue?")
        .retry(RetryPolicy::never())
}

fn answers() -> Answer {
    let text = sse(&[
        r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    Answer::sse([Piece::from(&*text)])
}

#[track_caller]
fn check(first: Answer, warning: &str) {
    let [one, two] = wires(first, answers());
    let fallback =
        Fallback::new(cerebras(&one)).or_with_model(cloudflare(&two), "@cf/openai/gpt-oss-120b");
    let opened = block_on(&one.clock, fallback.stream(request()));
    let outcome = Outcome::read(&two, opened);
    assert_eq!(outcome.text(), "Hello");
    assert_eq!([one.count(), two.count()], [1, 1]);
    assert!(two.text().contains("Why is the sky blue?"));
    let [told] = outcome.meta().warnings.as_slice() else {
        panic!("{:?}", outcome.meta().warnings);
    };
    assert!(told.starts_with("`cerebras` failed ("), "{told}");
    assert!(told.contains(warning), "{told}");
    assert!(!told.contains(KEY), "{told}");
}

#[test]
fn a_busy_service_falls_back() {
    check(
        Answer::json(503, r#"{"message":"busy"}"#),
        "busy); asked `cloudflare` for `@cf/openai/gpt-oss-120b`",
    );
}

#[test]
fn a_silent_service_falls_back() {
    check(Answer::sse([Piece::Hang]), "no first event arrived");
}

#[test]
fn a_service_interrupted_before_content_falls_back() {
    let role = sse(&[r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#]);
    check(Answer::sse([Piece::from(&*role)]), "");
}

#[test]
fn a_service_interrupted_after_content_does_not_fall_back() {
    let text = sse(&[r#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#]);
    let [one, two] = wires(Answer::sse([Piece::from(&*text)]), answers());
    let fallback = Fallback::new(cerebras(&one)).or(cloudflare(&two));
    let opened = block_on(&one.clock, fallback.stream(request()));
    let outcome = Outcome::read(&one, opened);
    assert_eq!(outcome.text(), "Hel");
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    assert_eq!(two.count(), 0);
}

#[test]
fn each_provider_first_retries_by_its_own_policy() {
    let [one, two] = wires(Answer::json(503, "{}"), answers());
    let fallback = Fallback::new(cerebras(&one)).or(cloudflare(&two));
    let mut request = request();
    request.retry = None;
    let opened = block_on(&one.clock, fallback.stream(request));
    assert_eq!(Outcome::read(&two, opened).text(), "Hello");
    assert_eq!([one.count(), two.count()], [3, 1]);
}

#[test]
fn many_requests_succeed_in_a_limited_fallback() {
    let busy = Answer::json(503, "{}").after(seconds(1));
    let whole = r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    let [one, two] = wires(busy, Answer::json(200, whole).after(seconds(1)));
    let fallback = Fallback::new(cerebras(&one)).or(cloudflare(&two));
    let limit = ConcurrencyLimit::new(fallback).max_in_flight(5);
    let all = super::together(limit, request(), 20, 20);
    let answers = block_on(&one.clock, all);
    assert_eq!(answers.len(), 20);
    for answer in answers {
        assert_eq!(answer.unwrap().text(), "Hello");
    }
    assert_eq!([one.count(), two.count()], [20, 20]);
    assert_eq!(
        one.clock.elapsed(),
        seconds(8),
        "four rounds of two seconds"
    );
}

#[test]
fn inherent_methods_accept_anything_that_is_a_request() {
    let [one, _] = wires(answers(), answers());
    let shared = std::sync::Arc::new(cerebras(&one));
    // With the trait in scope, and in an `Arc`.
    let stream = block_on(&one.clock, shared.stream("hi")).unwrap();
    let provider: std::sync::Arc<dyn Provider> = shared;
    assert_eq!(provider.info().id, "cerebras");
    drop(stream);
}
