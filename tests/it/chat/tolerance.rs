//! What services send though the protocol does not say so.

use inferstream_core::{ChatEvent, ChatRequest, End, ErrorKind, FinishReason, Usage};

use super::{
    Answer, Client, FINISH, Outcome, TEXT, chunks, piece, plain_stream, run, run_request, sse,
};
use crate::support::{Piece, recordings};

/// Checks the text that chunks between two of text "a" leave.
#[track_caller]
fn check(list: &[&str], text: &str) -> Outcome {
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

/// Checks that a chunk ends the stream as broken.
#[track_caller]
fn check_broken(chunk: &str) {
    let outcome = chunks(&[TEXT, chunk, TEXT, FINISH]);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Protocol),
        "{chunk}: {:?}",
        outcome.end
    );
    assert_eq!(outcome.text(), "a", "what came before is kept: {chunk}");
    assert!(!outcome.error().is_retryable());
}

#[test]
fn chunks_without_choices_are_passed_over() {
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
fn deltas_without_text_are_passed_over() {
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
fn an_index_may_be_missing_or_odd() {
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
fn choices_that_were_not_asked_for_are_passed_over() {
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
            "",
        );
        assert_eq!(outcome.response().choices.len(), 1);
    }
}

#[test]
fn two_choices_come_interleaved() {
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
    }
    // One choice without its end is no whole answer.
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
fn reasons_to_end_are_told_as_they_came() {
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
    // An empty one is none.
    for none in ["\"\"", "null"] {
        let last = format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{none}}}]}}"#);
        let outcome = plain_stream(sse(&[TEXT, &last]));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{none}");
    }
}

#[test]
fn the_last_of_several_finish_reasons_holds_and_text_after_it_is_text() {
    let finish =
        |word| format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{word}"}}]}}"#);
    let (stop, length) = (finish("stop"), finish("length"));
    for end in ["", "data: [DONE]\n\n", "data: [DONE]\n\ndata: [DONE]\n\n"] {
        let outcome = plain_stream(sse(&[TEXT, &stop, TEXT, &stop, &length]) + end);
        assert_eq!(outcome.text(), "aa");
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Length)
        );
        assert_eq!(outcome.response().choices.len(), 1);
    }
}

#[test]
fn the_end_marker_has_several_forms() {
    for marker in [
        "data: [DONE]\n\n",
        "data:[DONE]\n\n",
        "data:  [DONE] \n\n",
        "data: \"[DONE]\"\n\n",
        "[DONE]\n\n",
        "data: [DONE]\r\n\r\n",
        "event: done\ndata: [DONE]\n\n",
        // Cut off by a clean end.
        "data: [DONE]\n",
        "data: [DONE]",
        "[DONE]",
    ] {
        let outcome = plain_stream(sse(&[TEXT]) + marker);
        assert_eq!(outcome.kind(), None, "{marker:?}");
        assert_eq!(outcome.response().end, Some(End::Marker), "{marker:?}");
        assert_eq!(
            outcome.response().finish_reason(),
            Some(&FinishReason::Unknown)
        );
    }
    for no_marker in [
        "data: [DON",
        "data: DONE\n\n",
        ": [DONE]\n\n",
        "id: [DONE]\n\n",
    ] {
        let outcome = plain_stream(sse(&[TEXT]) + no_marker);
        assert!(outcome.kind().is_some(), "{no_marker:?}");
    }
}

#[test]
fn nothing_after_the_end_marker_counts() {
    let late = "data: [DONE]\n\n".to_owned()
        + &sse(&[
            TEXT,
            r#"{"error":{"message":"late"}}"#,
            "no JSON",
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
        ]);
    let outcome = plain_stream(sse(&[TEXT, FINISH]) + &late);
    assert_eq!(outcome.text(), "a");
    assert_eq!(outcome.response().usage, None);
    assert_eq!(outcome.response().end, Some(End::Marker));
}

#[test]
fn usage_may_be_in_any_chunk_and_the_last_holds() {
    let usage = |count| {
        let mut usage = Usage::default();
        usage.input_tokens = Some(count);
        usage
    };
    let first = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
    let last = r#"{"choices":[],"usage":{"prompt_tokens":2}}"#;
    let with_text =
        r#"{"choices":[{"index":0,"delta":{"content":"b"}}],"usage":{"prompt_tokens":2}}"#;
    for (list, text) in [
        (&[first, TEXT, FINISH, last][..], "a"),
        (&[first, TEXT, last, FINISH], "a"),
        (&[TEXT, FINISH, first, last, last], "a"),
        (&[first, with_text, FINISH], "b"),
    ] {
        let outcome = chunks(list);
        assert_eq!(outcome.response().usage, Some(usage(2)), "{list:?}");
        assert_eq!(outcome.text(), text);
    }
}

#[test]
fn counts_may_be_of_any_type() {
    for (wire, count) in [
        ("3", Some(3)),
        ("3.0", Some(3)),
        ("\"3\"", Some(3)),
        ("0", Some(0)),
        ("null", None),
        ("-1", None),
        ("\"many\"", None),
        ("[]", None),
        ("{}", None),
        ("1e400", None),
        ("1e30", None),
    ] {
        let chunk =
            format!(r#"{{"choices":[],"usage":{{"prompt_tokens":{wire},"total_tokens":9}}}}"#);
        let outcome = check(&[&chunk], "");
        let usage = outcome.response().usage.unwrap();
        assert_eq!(
            (usage.input_tokens, usage.total_tokens),
            (count, Some(9)),
            "{wire}"
        );
    }
    for usage in ["null", "{}"] {
        let chunk = format!(r#"{{"choices":[],"usage":{usage},"time_info":{usage}}}"#);
        let outcome = check(&[&chunk], "");
        assert_eq!(
            (outcome.response().usage, outcome.response().timing),
            (None, None)
        );
    }
    let odd = r#"{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":"2","image_tokens":{}}}}"#;
    assert_eq!(
        check(&[odd], "").response().usage.unwrap().reasoning_tokens,
        Some(2)
    );
}

#[test]
fn unknown_members_and_events_are_passed_over() {
    let chunk = r#"{"x":[[[{}]]],"choices":[{"index":0,"delta":{"content":"x","annotations":[],"role":{"a":1}},"native_finish_reason":"STOP","content_filter_results":{}}],"obj":{"choices":[{"delta":{"content":"no"}}]}}"#;
    check(&[chunk], "x");
    let bytes = "event: ping\ndata: {}\n\nevent: completion\nid: 7\nretry: 10\nfoo: bar\n"
        .to_owned()
        + &sse(&[TEXT, FINISH]);
    assert_eq!(plain_stream(bytes).text(), "a");
}

#[test]
fn the_last_of_two_equal_members_holds() {
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
fn what_is_no_chunk_ends_the_stream() {
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
fn halves_of_surrogate_pairs_are_joined_over_chunks() {
    let chunk =
        |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    for (pieces, text) in [
        (&["\\ud83d", "\\ude00"][..], "😀"),
        (&["x\\uD83D", "\\uDE00y"], "x😀y"),
        (&["\\ud83d\\ude00\\ud83d", "\\ude00"], "😀😀"),
        (&["\\ud83d", "", "\\ude00"], "😀"),
        (&["\\ud83d\\ude00"], "😀"),
        (&["\\ude00"], "\u{fffd}"),
        (&["\\ud83dx"], "\u{fffd}x"),
        (&["\\ud83d\\ud83d\\ude00"], "\u{fffd}😀"),
        (&["\\\\ud83d"], "\\ud83d"),
        (&["\\\\\\ud83d\\ude00"], "\\😀"),
        (&["\\ud83d\\n"], "\u{fffd}\n"),
    ] {
        let list: Vec<_> = pieces.iter().map(|piece| chunk(piece)).collect();
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        check(&list, text);
    }
}

#[test]
fn halves_in_unknown_members_do_no_harm() {
    check(
        &[r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":"\ud83dab"}"#],
        "x",
    );
    check(
        &[r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"\ud83d":1}"#],
        "x",
    );
}

#[test]
fn bytes_that_are_no_utf_8_become_replacement_characters() {
    let mut bytes =
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\xFFb\xC3\"}}]}\n\n".to_vec();
    bytes.extend(sse(&[FINISH]).bytes());
    assert_eq!(plain_stream(bytes).text(), "a\u{fffd}b\u{fffd}");
}

#[test]
fn any_content_type_but_a_page_s_is_looked_into() {
    let bytes = sse(&[TEXT, FINISH]) + "data: [DONE]\n\n";
    let answer = || Answer::new(200, [Piece::from(bytes.as_str())]);
    for content_type in [
        "text/event-stream",
        "Text/Event-Stream;charset=UTF-8",
        "text/x-unknown",
        "text/plain",
        "application/octet-stream",
        "application/x-ndjson",
        "application/json",
        "",
    ] {
        let outcome = run(Client::Plain, answer().header("content-type", content_type));
        assert_eq!(outcome.text(), "a", "{content_type}");
        assert_eq!(outcome.kind(), None, "{content_type}");
    }
    assert_eq!(run(Client::Plain, answer()).kind(), None);
    for content_type in ["text/html", "text/html; charset=utf-8", "TEXT/HTML"] {
        let outcome = run(Client::Plain, answer().header("content-type", content_type));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{content_type}");
        assert_eq!(outcome.error().attempts(), 1);
    }
}

#[test]
fn a_stream_declared_in_another_encoding_is_not_read() {
    let answer = Answer::sse([Piece::from(sse(&[TEXT, FINISH]).as_str())]);
    let answer = answer.header("content-type", "text/event-stream; charset=utf-16");
    let outcome = run(Client::Plain, answer);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
}

#[test]
fn a_page_declared_as_a_stream_is_no_answer() {
    for page in [
        "<!DOCTYPE html>\n<html><body>data: nothing</body></html>\n",
        "\n\n  <html>\n\ndata: {\"choices\":[]}\n\n",
        "\u{feff}<?xml version=\"1.0\"?><error/>",
        "Bad Gateway\n",
        "upstream connect error or disconnect/reset before headers\n\n",
        "0:\"Hel\"\n0:\"lo\"\nd:{\"finishReason\":\"stop\"}\n",
    ] {
        for client in [Client::Plain, Client::Cerebras] {
            let outcome = run(client, Answer::sse([Piece::from(page)]));
            let kind = outcome.kind();
            assert!(
                matches!(kind, Some(ErrorKind::Protocol | ErrorKind::Truncated)),
                "{page}: {kind:?}"
            );
            assert!(outcome.events.is_empty());
            assert!(!outcome.error().to_string().contains('<'));
        }
    }
}

#[test]
fn an_answer_without_a_body_is_no_answer() {
    for status in [204, 205] {
        let outcome = run(Client::Cerebras, Answer::new(status, []));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{status}");
    }
    for bytes in ["", "\n", "\n\n\n", " ", ": hi\n\n", "data:\n\n", "\u{feff}"] {
        let outcome = plain_stream(bytes);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{bytes:?}");
    }
    let outcome = run(Client::Cerebras, Answer::new(200, []));
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
}

#[test]
fn another_protocol_that_ends_by_the_marker_is_no_answer() {
    for list in [
        &[][..],
        &[r#"{"response":"tok","p":"abc"}"#, r#"{"response":" en"}"#],
        &[r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}"#],
        &[r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#],
        &[r#"{"type":"text-delta","delta":"Hi"}"#],
        &[r#"{"choices":[],"usage":{"prompt_tokens":1}}"#],
        &[r#"{"choices":null}"#],
        &["{}"],
        &["[]"],
        &["null"],
        &["7"],
        &["\"text\""],
    ] {
        for client in [Client::Plain, Client::Cerebras] {
            let bytes = sse(list) + "data: [DONE]\n\n";
            let outcome = run(client, Answer::sse([Piece::from(bytes.as_str())]));
            assert_eq!(
                outcome.kind(),
                Some(ErrorKind::Protocol),
                "{list:?}: {:?}",
                outcome.end
            );
        }
    }
}

#[test]
fn a_chunk_is_given_as_it_came_where_that_is_asked_for() {
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
        "before what is made of it"
    );
    assert_eq!(outcome.text(), "a");
}

#[test]
fn logprobs_are_passed_on() {
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
fn id_and_model_are_those_of_the_answer() {
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
fn a_line_without_an_end_is_cut_off() {
    let endless = vec![piece(&vec![b'x'; 64 << 10]); 64];
    let mut pieces = vec![Piece::from(sse(&[TEXT]).as_str()), Piece::from("data: ")];
    pieces.extend(endless.clone());
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
    assert_eq!(outcome.text(), "a");
    let mut pieces = vec![Piece::from("{\"choices\":[{\"message\":{\"content\":\"")];
    pieces.extend(vec![piece(&vec![b'x'; 64 << 10]); 65]);
    let outcome = run(Client::Plain, Answer::sse(pieces));
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
}
