//! Deviations of services from the protocol.

use inferstream_core::{ChatEvent, ChatRequest, End, ErrorKind, FinishReason};

use super::{
    Answer, Client, FINISH, Outcome, TEXT, chunks, piece, plain_stream, run, run_request, sse,
};
use crate::support::{Piece, recordings};

/// Checks the text of a response with chunks between two of the text "a".
#[track_caller]
pub(super) fn check(list: &[&str], text: &str) -> Outcome {
    let mut all = vec![TEXT];
    all.extend(list);
    all.extend([TEXT, FINISH]);
    let outcome = chunks(&all);
    assert_eq!(outcome.kind(), None, "{list:?}: {:?}", outcome.end);
    assert_eq!(outcome.text(), format!("a{text}a"), "{list:?}");
    assert_eq!(
        outcome.response().finish_reason(),
        Some(&FinishReason::Stop)
    );
    outcome
}

/// Checks that a chunk ends the stream with an error.
#[track_caller]
fn check_broken(chunk: &str) {
    let outcome = chunks(&[TEXT, chunk, TEXT, FINISH]);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Protocol),
        "{chunk}: {:?}",
        outcome.end
    );
    assert_eq!(outcome.text(), "a", "the partial response is kept: {chunk}");
    assert!(!outcome.error().is_retryable());
}

#[test]
fn chunks_without_choices_are_ignored() {
    for chunk in [
        r#"{"choices":[]}"#,
        r#"{"choices":null}"#,
        "{}",
        r#"{"id":"x","object":"chat.completion.chunk"}"#,
        r#"{"prompt_filter_results":[{"prompt_index":0}],"choices":[]}"#,
        r#"{"type":"ping"}"#,
    ] {
        check(&[chunk], "");
    }
}

#[test]
fn deltas_without_text_are_ignored() {
    for delta in [
        "null",
        "{}",
        r#"{"role":"assistant"}"#,
        r#"{"role":"assistant","content":""}"#,
        r#"{"role":"assistant","content":null}"#,
        r#"{"role":null,"content":null,"tool_calls":null,"reasoning":null,"refusal":null}"#,
    ] {
        check(
            &[&format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)],
            "",
        );
    }
    check(&[r#"{"choices":[{"index":0}]}"#], "");
    check(&[r#"{"choices":[null]}"#], "");
}

#[test]
fn content_may_be_any_scalar_or_parts() {
    for (content, text) in [
        ("1", "1"),
        ("0", "0"),
        ("-1.5", "-1.5"),
        ("true", "true"),
        ("false", "false"),
        (
            r#"[{"type":"text","text":"x"},{"type":"text","text":"y"}]"#,
            "xy",
        ),
        (r#"["x","y"]"#, "xy"),
        (r#"{"type":"text","text":"x"}"#, "x"),
        ("[]", ""),
        ("{}", ""),
        (r#""\u0000""#, "\0"),
        (r#""\\n""#, "\\n"),
        (r#"" \n\t ""#, " \n\t "),
        (r#""[DONE]""#, "[DONE]"),
        (r#""data: [DONE]\n\n""#, "data: [DONE]\n\n"),
        ("\"\u{2028}\u{85}\"", "\u{2028}\u{85}"),
    ] {
        check(
            &[&format!(
                r#"{{"choices":[{{"index":0,"delta":{{"content":{content}}}}}]}}"#
            )],
            text,
        );
    }
}

#[test]
fn an_index_may_be_missing_or_invalid() {
    for index in ["0", "0.0", "\"0\"", "null", "-1", "\"x\"", "[]"] {
        check(
            &[&format!(
                r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}}}}]}}"#
            )],
            "x",
        );
    }
    check(&[r#"{"choices":[{"delta":{"content":"x"}}]}"#], "x");
}

#[test]
fn any_index_is_accepted_for_a_single_choice() {
    for index in [
        "1",
        "7",
        "1e9",
        "1000000000",
        "4294967295",
        "4294967296",
        "1e19",
    ] {
        let outcome = check(
            &[&format!(
                r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":"stop"}}]}}"#
            )],
            "x",
        );
        assert_eq!(outcome.response().choices.len(), 1);
    }
}

#[test]
fn two_choices_may_be_interleaved() {
    let list = [
        r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"x"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"y"}}]}"#,
        r#"{"choices":[{"index":2,"delta":{"content":"never"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    ];
    let bytes = sse(&list);
    for request in [
        ChatRequest::from("hi").n(2),
        ChatRequest::from("hi").n(1).extra("n", 2),
    ] {
        let answer = Answer::sse([Piece::from(bytes.as_str())]);
        let outcome = run_request(Client::Plain, answer, request);
        assert_eq!(
            (outcome.text(), outcome.text_of(1)),
            ("ab".into(), "xy".into())
        );
        let [first, second] = &*outcome.response().choices else {
            panic!("{outcome:?}");
        };
        assert_eq!((first.index, second.index), (0, 1));
        assert_eq!(first.finish_reason, Some(FinishReason::Stop));
        assert_eq!(second.finish_reason, Some(FinishReason::Length));
        assert_eq!(
            outcome.response().meta.warnings,
            ["plain sent more choices than the 2 requested: the others were dropped"]
        );
    }
    // With one unfinished choice the response is incomplete.
    let answer = Answer::sse([Piece::from(sse(&list[..5]).as_str())]);
    let outcome = run_request(Client::Plain, answer, ChatRequest::from("hi").n(2));
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}

#[test]
fn reasoning_has_two_names() {
    for name in ["reasoning", "reasoning_content"] {
        let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"{name}":"t"}}}}]}}"#);
        let outcome = check(&[&chunk, &chunk], "");
        assert_eq!(outcome.response().reasoning(), "tt");
    }
    let both = r#"{"choices":[{"index":0,"delta":{"reasoning":"t","reasoning_content":"t"}}]}"#;
    let outcome = check(&[both], "");
    assert_eq!(outcome.response().reasoning(), "t", "once");
    let mixed = r#"{"choices":[{"index":0,"delta":{"reasoning":"t","content":"x"}}]}"#;
    let outcome = check(&[mixed], "x");
    assert_eq!(outcome.response().reasoning(), "t");
}

#[test]
fn finish_reasons_are_returned_as_received() {
    for (word, reason) in [
        ("stop", FinishReason::Stop),
        ("length", FinishReason::Length),
        ("content_filter", FinishReason::ContentFilter),
        ("tool_calls", FinishReason::ToolCalls),
        ("eos_token", FinishReason::Other("eos_token".into())),
        ("Stop ", FinishReason::Other("Stop ".into())),
    ] {
        let last =
            format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{word}"}}]}}"#);
        let outcome = plain_stream(sse(&[TEXT, &last]));
        assert_eq!(outcome.response().finish_reason(), Some(&reason));
        assert_eq!(outcome.response().end, Some(End::FinishReason));
    }
    // An empty one counts as missing.
    for none in ["\"\"", "null"] {
        let last = format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{none}}}]}}"#);
        let outcome = plain_stream(sse(&[TEXT, &last]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{none}");
    }
}

#[test]
fn unknown_members_and_events_are_ignored() {
    let chunk = r#"{"x":[[[{}]]],"choices":[{"index":0,"delta":{"content":"x","annotations":[],"role":{"a":1}},"native_finish_reason":"STOP","content_filter_results":{}}],"obj":{"choices":[{"delta":{"content":"no"}}]}}"#;
    check(&[chunk], "x");
    let bytes = "event: ping\ndata: {}\n\nevent: completion\nid: 7\nretry: 10\nfoo: bar\n"
        .to_owned()
        + &sse(&[TEXT, FINISH]);
    assert_eq!(plain_stream(bytes).text(), "a");
}

#[test]
fn the_last_of_two_equal_members_counts() {
    check(
        &[r#"{"choices":[],"choices":[{"index":0,"delta":{"content":"no","content":"x"}}]}"#],
        "x",
    );
    check(
        &[
            r#"{"choices":[{"index":9,"index":0,"delta":{"content":"no"},"delta":{"content":"x"}}]}"#,
        ],
        "x",
    );
}

#[test]
fn names_of_members_may_be_escaped() {
    check(
        &[r#"{"\u0063hoices":[{"index":0,"d\u0065lta":{"content":"x"}}]}"#],
        "x",
    );
}

#[test]
fn invalid_chunks_end_the_stream() {
    for chunk in [
        "{",
        "}",
        "null null",
        r#"{"choices":[{"index":0,"delta":{"content":"x"}}]} x"#,
        r#"{"choices":[{"index":0,"delta":{"content":"x"}}]}{"choices":[]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"x}"#,
        "hello",
        "<html></html>",
        r#"{"choices":"x"}"#,
        r#"{"choices":[7]}"#,
        r#"{"choices":[{"delta":"x"}]}"#,
        "NaN",
        "'single'",
    ] {
        check_broken(chunk);
    }
}

#[test]
fn deep_json_does_not_exhaust_the_stack() {
    for open in [
        "[",
        "{\"a\":",
        "{\"choices\":[",
        "{\"choices\":[{\"delta\":{\"content\":[",
    ] {
        check_broken(&open.repeat(128 * 1024 / open.len()));
    }
    let deep = "[".repeat(64 * 1024) + &"]".repeat(64 * 1024);
    check(&[&format!(r#"{{"choices":[],"unknown":{deep}}}"#)], "");
    check_broken(&format!(
        r#"{{"choices":[{{"delta":{{"content":{deep}}}}}]}}"#
    ));
}

#[test]
fn raw_chunks_are_returned_on_request() {
    let chunk = r#"{"z":1, "choices":[{"index":0,"delta":{"content":"a"}}],"a":[ ]}"#;
    let bytes = sse(&[chunk, FINISH]) + "data: [DONE]\n\n";
    let request = ChatRequest::from("hi").raw(true);
    let outcome = run_request(
        Client::Plain,
        Answer::sse([piece(bytes.as_bytes())]),
        request,
    );
    let raw: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            ChatEvent::Raw { chunk, .. } => Some(chunk.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(raw, [chunk, FINISH]);
    assert!(
        matches!(outcome.events[0], ChatEvent::Raw { .. }),
        "the raw chunk comes before its events"
    );
    assert_eq!(outcome.text(), "a");
}

#[test]
fn log_probabilities_are_returned() {
    let chunk = r#"{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-0.1}]}}]}"#;
    let outcome = check(&[chunk], "x");
    let [logprobs] = &*outcome.response().choices[0].logprobs else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        logprobs.as_str(),
        r#"{"content":[{"token":"x","logprob":-0.1}]}"#
    );
}

#[test]
fn log_probabilities_of_reasoning_are_separated_in_each_choice() {
    let chunks = [
        r#"{"choices":[{"index":1,"delta":{"reasoning":"r"},"reasoning_logprobs":{"content":[1]},"logprobs":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[2]},"reasoning_logprobs":null}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"y"},"logprobs":{"content":[3]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}"#,
    ];
    let whole = r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"content":"x"},"logprobs":{"content":[2]},"reasoning_logprobs":null},{"index":1,"finish_reason":"stop","message":{"content":"y","reasoning":"r"},"logprobs":{"content":[3]},"reasoning_logprobs":{"content":[1]}}]}"#;
    for answer in [
        Answer::sse([piece(sse(&chunks).as_bytes())]),
        Answer::json(200, whole),
    ] {
        let outcome = run_request(Client::Plain, answer, ChatRequest::from("hi").n(2));
        let choices = &outcome.response().choices;
        let texts = |list: &[inferstream_core::Json]| {
            let texts = list.iter().map(|json| json.as_str().to_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(texts(&choices[0].logprobs), ["{\"content\":[2]}"]);
        assert!(choices[0].reasoning_logprobs.is_empty());
        assert_eq!(texts(&choices[1].logprobs), ["{\"content\":[3]}"]);
        assert_eq!(texts(&choices[1].reasoning_logprobs), ["{\"content\":[1]}"]);
    }
}

#[test]
fn id_and_model_are_those_of_the_response() {
    let bytes = recordings::read("cerebras/t-cb-1.sse");
    let outcome = run(Client::Cerebras, Answer::sse([piece(&bytes)]));
    let response = outcome.response();
    assert_eq!(response.model.as_deref(), Some("qwen-3-coder-480b"));
    assert!(response.id.as_deref().unwrap().starts_with("chatcmpl-07ac"));
    let answer = Answer::sse([piece(&bytes[..bytes.len() - 9])]);
    let outcome = run(Client::Cerebras, answer);
    let partial = outcome.error().partial().unwrap();
    assert_eq!(partial.model.as_deref(), Some("qwen-3-coder-480b"));
    assert_eq!(partial.text(), "Oi!");
}

#[test]
fn a_huge_index_is_accepted_for_a_single_choice() {
    for index in ["18446744073709551615", "1e300"] {
        let odd = format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}}}}]}}"#);
        assert_eq!(chunks(&[TEXT, &odd, FINISH]).text(), "ax", "{index}");
    }
}

#[test]
fn a_message_next_to_a_delta_is_ignored() {
    let odd = r#"{"choices":[{"index":0,"delta":{"content":"x"},"message":{"content":"x"}}]}"#;
    assert_eq!(chunks(&[odd, FINISH]).text(), "x");
}

#[test]
fn a_final_message_does_not_double_the_text() {
    let outcome = chunks(&[
        TEXT,
        TEXT,
        r#"{"choices":[{"index":0,"delta":{},"message":{"role":"assistant","content":"aa"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(outcome.text(), "aa");
}

#[test]
fn a_number_is_read_as_text() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":1.0}}]}"#,
        FINISH,
    ]);
    assert_eq!(outcome.text(), "1.0");
}

#[test]
fn content_of_an_unknown_format_is_an_error() {
    let odd = r#"{"choices":[{"index":0,"delta":{"content":{"a":"lost"}}}]}"#;
    assert_eq!(
        chunks(&[TEXT, odd, FINISH]).kind(),
        Some(ErrorKind::Protocol)
    );
}
