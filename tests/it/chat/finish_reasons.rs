//! The finish reasons of services.

use inferstream_core::{End, ErrorKind, FinishReason};

use super::{Answer, Client, TEXT, chunks, plain_stream, run, sse};

fn finish(word: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{word}"}}]}}"#)
}

#[test]
fn a_reason_that_reports_a_failure_is_an_error() {
    for word in [
        "error",
        "abort",
        "aborted",
        "network_error",
        "model-error",
        "insufficient_system_resource",
        "MALFORMED_FUNCTION_CALL",
        "function_call_filter: MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "cancelled",
        "failed",
        "timeout",
        "error: upstream closed",
        "ERROR_LIMIT",
        "USER_CANCEL",
    ] {
        for end in ["", "data: [DONE]\n\n"] {
            let outcome = plain_stream(sse(&[TEXT, &finish(word)]) + end);
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{word}");
            let error = outcome.error();
            assert_eq!(error.code(), Some(word));
            assert_eq!(
                error.partial().unwrap().text(),
                "a",
                "the partial response is kept"
            );
            assert_eq!(
                error.to_string(),
                format!("plain failed: the response ended with the finish reason `{word}`")
            );
        }
        // The text of the same chunk is kept, too.
        let last = format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"b"}},"finish_reason":"{word}"}}]}}"#
        );
        assert_eq!(chunks(&[TEXT, &last]).text(), "ab");
        let document = format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"{word}"}}]}}"#
        );
        let outcome = run(Client::Plain, Answer::json(200, &document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{document}");
        assert_eq!(outcome.error().partial().unwrap().text(), "a");
    }
}

/// NVIDIA Dynamo ends a tool call with both (ai-dynamo/dynamo#4153).
#[test]
fn a_stop_after_tool_calls_is_ignored() {
    let outcome = chunks(&[TEXT, &finish("tool_calls"), &finish("stop")]);
    assert_eq!(outcome.reason(), "tool_calls");
    let outcome = chunks(&[TEXT, &finish("stop"), &finish("tool_calls")]);
    assert_eq!(outcome.reason(), "tool_calls");
    let outcome = chunks(&[TEXT, &finish("tool_calls"), &finish("length")]);
    assert_eq!(outcome.reason(), "length");
}

#[test]
fn a_finish_reason_may_be_an_object() {
    let reason = |word: &str| {
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{{"type":"{word}"}}}}]}}"#)
    };
    let outcome = chunks(&[TEXT, &reason("length")]);
    assert_eq!(outcome.reason(), "length");
    let outcome = chunks(&[TEXT, &reason("abort")]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}

#[test]
fn other_words_are_finish_reasons() {
    for word in [
        "sensitive",
        "repetition",
        "terror",
        "eos",
        "SAFETY",
        "stop_error_free",
    ] {
        let outcome = chunks(&[TEXT, &finish(word)]);
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Other(word.into()))
        );
    }
    for word in ["max_tokens", "MAX_TOKENS", "model_length", "length"] {
        assert_eq!(chunks(&[TEXT, &finish(word)]).reason(), "length");
    }
    assert_eq!(
        chunks(&[TEXT, &finish("function_call")]).reason(),
        "tool_calls"
    );
}

#[test]
fn a_null_finish_reason_does_not_end_a_choice() {
    for word in ["null", "", " ", "None", "false"] {
        let outcome = chunks(&[&finish(word), TEXT, &finish(word), TEXT, &finish("stop")]);
        assert_eq!(outcome.text(), "aa", "{word:?}");
        assert_eq!(outcome.reason(), "stop");
        let outcome = plain_stream(sse(&[TEXT, &finish(word)]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{word:?}");
        let outcome = chunks(&[TEXT, &finish(word)]);
        assert_eq!(outcome.response().end, Some(End::Marker));
        assert_eq!(outcome.reason(), "unknown");
    }
}
