//! Token counts: where they come from, and what they show about the end.

use inferstream_cloudflare::{ChatRequest, End, Endpoint, ErrorKind};

use super::{Answer, Outcome, chunks, open_chunks, run_request, sse, stream_of, streams::TAIL};

#[test]
fn a_response_may_have_only_usage() {
    let outcome = chunks(&[TAIL]);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
}

#[test]
fn counts_are_never_added_up() {
    let increment = |text: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":{{"prompt_tokens":0,"completion_tokens":1,"total_tokens":1}}}}"#
        )
    };
    let (a, b) = (increment("a"), increment("b"));
    let heartbeat =
        r#"{"choices":[],"usage":{"prompt_tokens":147,"completion_tokens":0,"total_tokens":147}}"#;
    let outcome = chunks(&[heartbeat, &a, &b, heartbeat, TAIL]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    // A keep-alive chunk after the final usage does not replace it.
    let outcome = chunks(&[&a, &b, TAIL, heartbeat]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    // Usage after the finish reason counts, even without an end marker.
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#;
    let outcome = open_chunks(&[&a, finish, heartbeat, TAIL]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
}

#[test]
fn the_last_chunk_may_have_only_usage() {
    let tail = r#"{"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}"#;
    let text = r#"{"response":"a"}"#;
    let outcome = chunks(&[text, tail]);
    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let outcome = open_chunks(&[text, finish, tail]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    // A usage does not end the response.
    let outcome = open_chunks(&[text, tail]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    let bytes = sse(&[text, tail, "[DONE]"]);
    let request = ChatRequest::from("hi").max_tokens(2);
    let outcome = run_request(Endpoint::Native, stream_of(bytes), request);
    assert_eq!(outcome.reason(), "length");
}

#[test]
fn counts_of_unexpected_types_are_ignored() {
    for usage in [
        r#"{"prompt_tokens":null,"completion_tokens":2.0,"total_tokens":"12"}"#,
        "null",
        "[]",
        "7",
        r#"{"neurons":1e400}"#.replace("e400", "e40").as_str(),
        r#"{"prompt_tokens":-1,"completion_tokens":99999999999999999999}"#,
    ] {
        let tail = format!(r#"{{"response":"","usage":{usage}}}"#);
        let outcome = chunks(&[r#"{"response":"a"}"#, &tail]);
        assert_eq!(outcome.kind(), None, "{usage}");
        assert_eq!(outcome.text(), "a");
    }
}

#[test]
fn a_keep_alive_chunk_has_no_events() {
    let outcome = chunks(&[
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[{"index":0,"delta":null,"finish_reason":null}]}"#,
        "{}",
    ]);
    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.reason(), "stop");
}

/// Reads a response that ends only with the marker and reports this many tokens.
#[track_caller]
fn counted(request: ChatRequest, tokens: u64) -> Outcome {
    let tail = format!(
        r#"{{"response":"","usage":{{"prompt_tokens":3000,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
        3000 + tokens
    );
    let bytes = sse(&[r#"{"response":"a"}"#, &tail, "[DONE]"]);
    run_request(Endpoint::Native, stream_of(bytes), request)
}

#[test]
fn counts_at_the_limit_mean_the_finish_reason_length() {
    let request = || ChatRequest::from("hi");
    assert_eq!(counted(request(), 2047).reason(), "stop");
    assert_eq!(counted(request(), 2048).reason(), "length");
    assert_eq!(counted(request().max_tokens(5), 4).reason(), "stop");
    assert_eq!(counted(request().max_tokens(5), 5).reason(), "length");
    assert_eq!(counted(request().max_tokens(4000), 2048).reason(), "stop");
}

#[test]
fn a_token_limit_in_extra_counts() {
    let request = || ChatRequest::from("hi");
    assert_eq!(
        counted(request().extra("max_tokens", 5), 5).reason(),
        "length"
    );
    assert_eq!(
        counted(request().extra("max_tokens", 5), 4).reason(),
        "stop"
    );
}

#[test]
fn a_finish_reason_takes_precedence_over_counts() {
    let request = || ChatRequest::from("hi");
    let bytes = sse(&[
        r#"{"response":"a","finish_reason":"stop"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}}"#,
        "[DONE]",
    ]);
    let outcome = run_request(Endpoint::Native, stream_of(bytes), request().max_tokens(5));
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_document_at_the_limit_has_the_finish_reason_length() {
    let document = r#"{"result":{"response":"a","usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}},"success":true,"errors":[],"messages":[]}"#;
    let request = || ChatRequest::from("hi");
    let of = |request| run_request(Endpoint::Native, Answer::json(200, document), request);
    assert_eq!(of(request()).reason(), "stop");
    assert_eq!(of(request().max_tokens(5)).reason(), "length");
}
