//! The two event stream formats: messages, and the oldest one.

use inferstream_core::{ChatEvent, ErrorKind, FinishReason};

use super::{Outcome, PROMPT, piece, run_raw, sse, whole};

fn chunks(chunks: &[&str]) -> Outcome {
    whole(sse(chunks) + "data: [DONE]\n\n")
}

#[track_caller]
fn check_error(list: &[&str], kind: ErrorKind, line: &str) -> Outcome {
    let outcome = chunks(list);
    assert_eq!(outcome.kind(), Some(kind), "{list:?}");
    assert_eq!(outcome.error().to_string(), line);
    outcome
}

const DELTA: &str = r#"{"type":"text-delta","id":"0","delta":"a"}"#;

#[test]
fn messages_contain_text_and_reasoning() {
    let outcome = chunks(&[
        r#"{"type":"start","messageId":"m"}"#,
        r#"{"type":"reasoning-delta","id":"1","delta":"hm"}"#,
        DELTA,
        r#"{"type":"text-delta","id":"0","delta":"\ud83d"}"#,
        r#"{"type":"text-delta","id":"0","delta":"\ude00"}"#,
        r#"{"type":"text-delta","id":"0","delta":null}"#,
        r#"{"type":"text-delta"}"#,
        r#"{"type":"finish"}"#,
    ]);
    let response = outcome.response();
    assert_eq!((response.text(), response.reasoning()), ("a😀", "hm"));
    assert_eq!(response.id.as_deref(), Some("m"));
    assert_eq!(response.usage, None);
    assert_eq!(response.finish_reason(), Some(&FinishReason::Unknown));
}

#[test]
fn a_finish_may_have_a_reason() {
    let reasons = [
        ("content-filter", FinishReason::ContentFilter),
        ("length", FinishReason::Length),
        ("other", FinishReason::Other("other".into())),
        ("stop", FinishReason::Stop),
        ("tool-calls", FinishReason::ToolCalls),
    ];
    for (word, reason) in reasons {
        let finish = format!(r#"{{"type":"finish","finishReason":"{word}"}}"#);
        let outcome = chunks(&[DELTA, &finish]);
        assert_eq!(outcome.response().finish_reason(), Some(&reason));
    }
    let line = "the playground reported an error without a message";
    check_error(
        &[DELTA, r#"{"type":"finish","finishReason":"error"}"#],
        ErrorKind::Provider,
        line,
    );
}

#[test]
fn metadata_may_have_usage() {
    let metadata = [
        (
            r#"{"usage":{"inputTokens":1,"outputTokens":2,"reasoningTokens":1}}"#,
            Some(1),
        ),
        (r#"{"usage":{"promptTokens":"1"}}"#, Some(1)),
        (
            r#"{"totalUsage":{"inputTokens":1},"usage":{"inputTokens":7}}"#,
            Some(1),
        ),
        (r#"{"inputTokens":1}"#, Some(1)),
        (r#"{"usage":{"inputTokens":null}}"#, None),
        (r#"{"model":"x"}"#, None),
        ("7", None),
    ];
    for (metadata, count) in metadata {
        let finish = format!(r#"{{"type":"finish","messageMetadata":{metadata}}}"#);
        let usage = chunks(&[DELTA, &finish]).response().usage;
        assert_eq!(
            usage.and_then(|usage| usage.input_tokens),
            count,
            "{metadata}"
        );
    }
}

#[test]
fn chunks_of_other_types_are_ignored() {
    let types = [
        "data-weather",
        "source-url",
        "source-document",
        "file",
        "message-metadata",
        "start-step",
        "finish-step",
        "text-start",
        "text-end",
        "reasoning-start",
        "reasoning-end",
        "tool-output-available",
        "tool-output-error",
        "something-new",
    ];
    for kind in types {
        let chunk = format!(r#"{{"type":"{kind}","errorText":"x","data":{{"error":1}}}}"#);
        let outcome = chunks(&[DELTA, &chunk, DELTA, r#"{"type":"finish"}"#]);
        assert_eq!(outcome.response().text(), "aa", "{kind}");
    }
}

#[test]
fn an_abort_is_a_cancellation() {
    let line = "the playground aborted the response";
    check_error(&[DELTA, r#"{"type":"abort"}"#], ErrorKind::Canceled, line);
    let line = "the playground aborted the response: too slow";
    let outcome = check_error(
        &[DELTA, r#"{"type":"abort","reason":"too slow"}"#, DELTA],
        ErrorKind::Canceled,
        line,
    );
    assert_eq!(outcome.text(), "a");
}

#[test]
fn errors_may_have_any_format() {
    let shapes = [
        r#"{"type":"error","errorText":"m"}"#,
        r#"{"type":"error","error":{"message":"m"}}"#,
        r#"{"error":"m"}"#,
        r#"{"error":{"message":"m","code":"c"}}"#,
        r#"{"errors":[{"message":"m","code":3}]}"#,
        r#"{"message":"m"}"#,
        r#"{"response":"","error":"m"}"#,
    ];
    for shape in shapes {
        check_error(
            &[shape],
            ErrorKind::Provider,
            "the playground reported an error: m",
        );
        let outcome = whole(format!("event: error\ndata: {shape}\n\n"));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{shape}");
    }
    let outcome = whole("event: error\ndata: m\n\n");
    assert_eq!(outcome.error().provider_message(), Some("m"));
    let line = "the playground reported an error without a message";
    check_error(&[r#"{"type":"error"}"#], ErrorKind::Provider, line);
}

#[test]
fn an_error_does_not_repeat_the_prompt() {
    let chunk = format!(r#"{{"type":"error","errorText":"bad: {PROMPT}"}}"#);
    check_error(
        &[&chunk],
        ErrorKind::Provider,
        "the playground reported an error: bad: …",
    );
}

#[test]
fn a_transient_error_is_retryable() {
    let is_retryable = |code: &str| {
        let outcome = chunks(&[&format!(r#"{{"error":{{"message":"m","code":{code}}}}}"#)]);
        outcome.error().is_retryable()
    };
    assert!(is_retryable("503") && is_retryable("\"429\""));
    assert!(!is_retryable("5007") && !is_retryable("\"x\"") && !is_retryable("null"));
}

#[test]
fn the_oldest_stream_is_text() {
    let outcome = chunks(&[
        r#"{"response":"a"}"#,
        r#"{"response":1}"#,
        r#"{"response":true}"#,
        r#"{"response":null}"#,
        r#"{"response":"</s>"}"#,
        r#"{"response":"\ud83d"}"#,
        r#"{"response":"\ude00"}"#,
    ]);
    assert_eq!(outcome.response().text(), "a1true😀");
    assert_eq!(
        outcome.response().finish_reason(),
        Some(&FinishReason::Length)
    );
    let outcome = chunks(&[r#"{"response":"a"}"#, r#"{"response":""}"#]);
    assert_eq!(
        outcome.response().finish_reason(),
        Some(&FinishReason::Stop)
    );
    let line = "invalid text fragment from the playground: expected a string";
    check_error(&[r#"{"response":{"a":1}}"#], ErrorKind::Protocol, line);
}

#[test]
fn the_oldest_stream_ends_only_with_its_marker() {
    let stream = sse(&[r#"{"response":"a"}"#, r#"{"response":""}"#]);
    assert_eq!(whole(&stream).kind(), Some(ErrorKind::Truncated));
    for marker in [
        "data: [DONE]\n\n",
        "data: [DONE]",
        "[DONE]\n",
        "data: \"[DONE]\"\n\n",
    ] {
        let outcome = whole(format!("{stream}{marker}"));
        assert_eq!(outcome.response().text(), "a", "{marker}");
    }
}

#[test]
fn protocols_are_not_mixed() {
    let line = "invalid stream from the playground: it mixes two protocols";
    check_error(&[DELTA, r#"{"response":"a"}"#], ErrorKind::Protocol, line);
    check_error(&[r#"{"response":"a"}"#, DELTA], ErrorKind::Protocol, line);
    let stream = sse(&[DELTA]) + "event: 0\ndata: \"a\"\n\n";
    assert_eq!(whole(stream).error().to_string(), line);
}

#[test]
fn chunks_of_another_protocol_are_an_error() {
    let foreign = [
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"type":"message_start"}"#,
        "[1]",
        "1",
        "null",
        "{}",
    ];
    for chunk in foreign {
        let line = "invalid stream from the playground: it ended without a response";
        check_error(&[chunk], ErrorKind::Protocol, line);
        let outcome = whole(sse(&[chunk]));
        let line = "invalid stream from the playground: unknown protocol";
        assert_eq!(outcome.error().to_string(), line, "{chunk}");
        let outcome = chunks(&[chunk, DELTA, r#"{"type":"finish"}"#]);
        assert_eq!(outcome.response().text(), "a", "{chunk}");
    }
}

#[test]
fn invalid_json_is_an_error_and_not_shown() {
    let outcome = check_error(
        &[DELTA, "{\"type\": secret"],
        ErrorKind::Protocol,
        "invalid chunk from the playground: expected JSON",
    );
    assert!(!format!("{:?}", outcome.error()).contains("secret"));
}

#[test]
fn keep_alive_events_are_ignored() {
    let stream = [
        ":\n\n: ping\n\nevent: ping\ndata: {}\n\ndata:\n\nevent: odd\ndata: odd\n\n",
        &sse(&[DELTA]),
        "event: keepalive\ndata: x\n\n",
        &sse(&[r#"{"type":"finish"}"#, "[DONE]"]),
    ];
    assert_eq!(whole(stream.concat()).response().text(), "a");
}

#[test]
fn raw_chunks_are_unchanged() {
    let outcome = run_raw([piece(sse(&[DELTA, "[DONE]"]).as_bytes())], true);
    let ChatEvent::Raw { chunk, .. } = &outcome.events[0] else {
        panic!("raw comes first: {outcome:?}");
    };
    assert_eq!(chunk.as_str(), DELTA);
}
