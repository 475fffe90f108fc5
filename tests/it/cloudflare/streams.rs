//! What chunks say, alone and together, and how an answer ends.

use inferstream_cloudflare::{ChatRequest, Door, End, ErrorKind};

use super::{Answer, DOORS, Outcome, chunks, open_chunks, run, run_request, sse, stream_of};
use crate::support::{Piece, seconds};

const TAIL: &str =
    r#"{"response":"","usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}"#;

/// Checks what one native chunk's `response` is as text.
#[track_caller]
fn check_response(value: &str, text: &str) {
    let chunk = format!(r#"{{"response":{value},"p":"abc"}}"#);
    let outcome = chunks(&[&chunk]);
    assert_eq!(outcome.kind(), None, "{value}");
    assert_eq!(outcome.text(), text, "{value}");
    assert_eq!(outcome.reason(), "stop");
    let document =
        format!(r#"{{"result":{{"response":{value}}},"success":true,"errors":[],"messages":[]}}"#);
    for door in DOORS {
        let outcome = run(door, Answer::json(200, &document));
        assert_eq!(outcome.kind(), None, "{document}");
        assert_eq!(outcome.text(), text, "{document}");
    }
}

#[test]
fn a_token_is_text_whatever_its_type() {
    check_response("\"a\"", "a");
    check_response("\" \\n\\u0000é\\ud83d\\ude00\"", " \n\0é😀");
    check_response("1", "1");
    check_response("0", "0");
    check_response("-7", "-7");
    check_response("0.5", "0.5");
    check_response("18446744073709551615", "18446744073709551615");
    check_response("true", "true");
    check_response("false", "false");
}

#[test]
fn an_answer_without_text_is_an_answer() {
    check_response("\"\"", "");
    check_response("null", "");
}

#[test]
fn counts_alone_are_an_answer() {
    let outcome = chunks(&[TAIL]);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
}

#[test]
fn a_number_keeps_its_digits() {
    check_response("1.50", "1.50");
    check_response("10000000000000000000000", "10000000000000000000000");
    check_response("1e3", "1e3");
}

#[test]
fn an_object_is_its_json() {
    check_response(r#"{"name":"Paris"}"#, r#"{"name":"Paris"}"#);
    check_response(r#"{"b":1,"a":[2,null,"x"]}"#, r#"{"b":1,"a":[2,null,"x"]}"#);
}

#[test]
fn tokens_of_all_types_are_one_text() {
    let outcome = chunks(&[
        r#"{"response":"In "}"#,
        r#"{"response":2,"p":"x"}"#,
        r#"{"response":0}"#,
        r#"{"p":"only padding"}"#,
        r#"{"response":null}"#,
        r#"{"response":""}"#,
        r#"{"response":true}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"!"}}]}"#,
        TAIL,
    ]);
    assert_eq!(outcome.text(), "In 20true!");
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
}

#[test]
fn a_number_as_content_is_text() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":1}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(outcome.text(), "1a");
}

#[test]
fn thoughts_have_two_names() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"reasoning":"a","reasoning_content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning":null,"reasoning_content":"b"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning":"c"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"d"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(outcome.reasoning(), "abcd");
    assert_eq!(outcome.text(), "x");
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
    // A heart-beat after the tail is no tail.
    let outcome = chunks(&[&a, &b, TAIL, heartbeat]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    // The tail after the reason counts, also without an end marker.
    let finish = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#;
    let outcome = open_chunks(&[&a, finish, heartbeat, TAIL]);
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
}

#[test]
fn counts_of_any_type_are_no_error() {
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
fn a_heart_beat_says_nothing() {
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

#[test]
fn noise_is_no_content() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"token_ids":[1],"logprobs":null,"matched_stop":106}],"p":"zz","prompt_token_ids":[1,2],"kv_transfer_params":null,"finish_reason":null}"#,
        r#"{"response":"b","finish_reason":null,"tool_calls":null}"#,
        r#"{"tool_calls":[],"p":"abdefgh"}"#,
    ]);
    assert_eq!(outcome.text(), "ab");
    assert!(outcome.response().tool_calls().is_empty());
}

#[test]
fn the_last_reason_holds() {
    let choice = |text: &str, reason: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{reason}}}]}}"#
        )
    };
    let length = choice("a", "\"length\"");
    let stop = choice("b", "\"stop\"");
    let none = choice("c", "null");
    let outcome = chunks(&[&length, &stop, &none, TAIL]);
    assert_eq!(outcome.text(), "abc");
    assert_eq!(outcome.reason(), "stop");
    let outcome = chunks(&[&stop, &length]);
    assert_eq!(outcome.reason(), "length");
    let outcome = open_chunks(&[&stop, &none]);
    assert_eq!(outcome.text(), "abc".replace('a', ""));
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_reason_may_stand_at_the_top() {
    let outcome = open_chunks(&[
        r#"{"response":"a"}"#,
        r#"{"response":"","finish_reason":"length"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
    let outcome = open_chunks(&[
        r#"{"response":"a","finish_reason":"length"}"#,
        r#"{"response":"b"}"#,
        r#"{"finish_reason":"stop"}"#,
    ]);
    assert_eq!(outcome.text(), "ab");
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_choice_s_own_reason_comes_first() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}],"finish_reason":"stop"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"finish_reason":"length"}"#,
    ]);
    assert_eq!(outcome.reason(), "length");
}

#[test]
fn every_reason_has_its_name() {
    for (word, reason) in [
        ("stop", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("other", "other"),
        ("something_new", "something_new"),
    ] {
        let choice = format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":"a"}},"finish_reason":"{word}"}}]}}"#
        );
        assert_eq!(open_chunks(&[&choice]).reason(), reason);
        let top = format!(r#"{{"response":"a","finish_reason":"{word}"}}"#);
        assert_eq!(open_chunks(&[&top]).reason(), reason);
        let document = format!(
            r#"{{"result":{{"choices":[{{"index":0,"message":{{"content":"a"}},"finish_reason":"{word}"}}]}},"success":true,"errors":[],"messages":[]}}"#
        );
        for door in DOORS {
            assert_eq!(run(door, Answer::json(200, &document)).reason(), reason);
        }
    }
}

#[test]
fn unknown_is_a_reason_too() {
    let choice = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"unknown"}]}"#;
    assert_eq!(open_chunks(&[choice]).reason(), "unknown");
}

#[test]
fn the_reason_error_is_an_error() {
    for chunk in [
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"error"}]}"#,
        r#"{"response":"a","finish_reason":"error"}"#,
    ] {
        for outcome in [
            open_chunks(&[chunk]),
            chunks(&[chunk]),
            chunks(&[chunk, TAIL]),
        ] {
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{chunk}");
        }
    }
    let document = r#"{"result":{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"error"}]},"success":true}"#;
    let outcome = run(Door::OpenAi, Answer::json(200, document));
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{document}");
}

#[test]
fn a_marker_without_a_reason_is_a_stop() {
    let outcome = chunks(&[r#"{"response":"a"}"#]);
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.response().end, Some(End::Marker));
    for marker in [
        "[DONE]\n\n",
        "data:[DONE]\n\n",
        "data: [DONE]\r\r",
        "data: [DONE]",
        "[DONE]",
    ] {
        let bytes = [r#"data: {"response":"a"}"#, "\n\n", marker].concat();
        for door in DOORS {
            let outcome = run(door, stream_of(&bytes));
            assert_eq!(outcome.kind(), None, "{marker:?}");
            assert_eq!((outcome.text().as_str(), outcome.reason()), ("a", "stop"));
        }
    }
}

/// Reads an answer that ends by the marker alone, and counted this many tokens.
#[track_caller]
fn counted(request: ChatRequest, tokens: u64) -> Outcome {
    let tail = format!(
        r#"{{"response":"","usage":{{"prompt_tokens":3000,"completion_tokens":{tokens},"total_tokens":{}}}}}"#,
        3000 + tokens
    );
    let bytes = sse(&[r#"{"response":"a"}"#, &tail, "[DONE]"]);
    run_request(Door::Native, stream_of(bytes), request)
}

#[test]
fn counts_at_the_limit_tell_that_it_was_met() {
    let request = || ChatRequest::from("hi");
    assert_eq!(counted(request(), 2047).reason(), "stop");
    assert_eq!(counted(request(), 2048).reason(), "length");
    assert_eq!(counted(request().max_tokens(5), 4).reason(), "stop");
    assert_eq!(counted(request().max_tokens(5), 5).reason(), "length");
    assert_eq!(counted(request().max_tokens(4000), 2048).reason(), "stop");
}

#[test]
fn a_limit_given_as_a_member_of_the_body_is_a_limit() {
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
fn a_reason_is_not_overruled_by_counts() {
    let request = || ChatRequest::from("hi");
    let bytes = sse(&[
        r#"{"response":"a","finish_reason":"stop"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}}"#,
        "[DONE]",
    ]);
    let outcome = run_request(Door::Native, stream_of(bytes), request().max_tokens(5));
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_document_at_the_limit_tells_so_too() {
    let document = r#"{"result":{"response":"a","usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}},"success":true,"errors":[],"messages":[]}"#;
    let request = || ChatRequest::from("hi");
    let of = |request| run_request(Door::Native, Answer::json(200, document), request);
    assert_eq!(of(request()).reason(), "stop");
    assert_eq!(of(request().max_tokens(5)).reason(), "length");
}

#[test]
fn data_without_an_end_is_truncated() {
    for list in [
        &[r#"{"response":"a"}"#][..],
        &[r#"{"response":"a"}"#, TAIL],
        &[r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#],
        &[r#"{"response":"a","finish_reason":null}"#],
        &[r#"{"response":"a","finish_reason":""}"#],
        &[],
    ] {
        let outcome = open_chunks(list);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{list:?}");
        let text = if list.is_empty() { "" } else { "a" };
        assert_eq!(outcome.text(), text);
    }
}

#[test]
fn nothing_after_the_marker_is_read() {
    let outcome = chunks(&[
        r#"{"response":"a"}"#,
        "[DONE]",
        r#"{"response":"late"}"#,
        "no JSON",
    ]);
    assert_eq!(outcome.text(), "a");
    let bytes = sse(&[r#"{"response":"a"}"#, "[DONE]"]);
    let pieces = [Piece::from(bytes.as_str()), Piece::Hang];
    let outcome = run(Door::Native, Answer::sse(pieces));
    assert_eq!(
        outcome.elapsed,
        seconds(0),
        "the marker is not waited after"
    );
}

#[test]
fn a_marker_in_the_text_is_text() {
    let outcome = chunks(&[r#"{"response":"data: [DONE]\n\n"}"#, r#"{"response":"a"}"#]);
    assert_eq!(outcome.text(), "data: [DONE]\n\na");
}

#[test]
fn the_tail_is_waited_for_two_seconds() {
    let finish = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
    let pieces = [Piece::from(sse(&[finish]).as_str()), Piece::Hang];
    let outcome = run(Door::OpenAi, Answer::sse(pieces.clone()));
    assert_eq!(outcome.elapsed, seconds(2));
    assert_eq!(outcome.reason(), "stop");
    let [finish, hang] = pieces;
    let late = [
        finish,
        Piece::Wait(seconds(1)),
        Piece::from(sse(&[TAIL]).as_str()),
        hang,
    ];
    let outcome = run(Door::OpenAi, Answer::sse(late));
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
}

#[test]
fn a_document_in_answer_to_a_stream_is_an_answer() {
    for (document, text) in [
        (
            r#"{"result":{"response":"a"},"success":true,"errors":[],"messages":[]}"#,
            "a",
        ),
        (
            r#"{"result":{"response":"a","tool_calls":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}},"success":true,"errors":[],"messages":[]}"#,
            "a",
        ),
        (
            r#"{"errors":[],"messages":[],"success":true,"result":{"response":"a"}}"#,
            "a",
        ),
        (r#"{"response":"a"}"#, "a"),
        (
            r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#,
            "a",
        ),
        (
            r#"{"result":{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"t"},"finish_reason":"length"}]},"success":true}"#,
            "",
        ),
        (
            "\n  {\"result\":{\"response\":\"a\"},\"success\":true}\n",
            "a",
        ),
    ] {
        for door in DOORS {
            for content_type in [
                "application/json",
                "text/event-stream",
                "application/octet-stream",
                "",
            ] {
                let answer = Answer::json(200, document).header("content-type", content_type);
                let outcome = run(door, answer);
                assert_eq!(outcome.kind(), None, "{content_type} {document}");
                assert_eq!(outcome.text(), text, "{content_type} {document}");
                assert_eq!(outcome.response().end, Some(End::FinishReason));
            }
        }
    }
}

#[test]
fn a_document_cut_short_is_no_answer() {
    let document = r#"{"result":{"response":"a"},"success":true,"errors":[],"messages":[]}"#;
    for place in 0..document.len() {
        let outcome = run(Door::Native, Answer::json(200, &document[..place]));
        let kind = outcome.kind();
        assert!(
            matches!(kind, Some(ErrorKind::Truncated | ErrorKind::Protocol)),
            "{kind:?} at {place}"
        );
        assert_eq!(outcome.text(), "");
    }
}

#[test]
fn a_document_without_an_answer_is_no_success() {
    for document in [
        r#"{"result":null,"success":true,"errors":[],"messages":[]}"#,
        r#"{"result":{},"success":false,"errors":[],"messages":[]}"#,
        r#"{"result":{"response":"a"},"success":false,"errors":[],"messages":[]}"#,
        r#"{"success":true}"#,
        "[]",
        "null",
        "",
    ] {
        for door in DOORS {
            let outcome = run(door, Answer::json(200, document));
            assert!(outcome.end.is_err(), "{document}: {outcome:?}");
        }
    }
}

#[test]
fn a_whole_answer_is_asked_for_and_read_alike() {
    use super::{Wire, client};
    use crate::support::block_on;
    let document = r#"{"result":{"response":"a","usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}},"success":true,"errors":[],"messages":[]}"#;
    let wire = Wire::new([Answer::json(200, document)]);
    let response = block_on(&wire.clock, client(&wire).chat("hi")).unwrap();
    assert_eq!(response.text(), "a");
    assert_eq!(response.usage.unwrap().total_tokens, Some(2));
    let body = wire.json();
    assert_ne!(body.get("stream"), Some(&serde_json::json!(true)));
    assert_eq!(body["max_tokens"], 2048);
    assert_eq!(wire.count(), 1);
    // A stream in answer to it is read too, or refused: it is no empty success.
    let wire = Wire::new([stream_of(sse(&[r#"{"response":"a"}"#, "[DONE]"]))]);
    if let Ok(response) = block_on(&wire.clock, client(&wire).chat("hi")) {
        assert_eq!(response.text(), "a");
    }
}

#[test]
fn an_error_may_come_in_place_of_a_chunk() {
    for (error, code, retryable) in [
        (r#"{"error":{"message":"boom"}}"#, None, None),
        (r#"{"error":"boom"}"#, None, None),
        (
            r#"{"error":{"message":"boom","code":"c"}}"#,
            Some("c"),
            None,
        ),
        (
            r#"{"errors":[{"code":3040,"message":"AiError: boom"}],"success":false,"result":{},"messages":[]}"#,
            Some("3040"),
            Some(true),
        ),
        (
            r#"{"errors":[{"code":7009,"message":"boom"}]}"#,
            Some("7009"),
            Some(true),
        ),
        (
            r#"{"errors":[{"code":3036,"message":"AiError: AiError: boom"}]}"#,
            Some("3036"),
            Some(false),
        ),
        (
            r#"{"name":"AiError","internalCode":4006,"httpCode":429,"message":"AiError: AiError: boom","description":"boom"}"#,
            Some("4006"),
            Some(false),
        ),
        (
            r#"{"success":false,"result":[],"messages":[],"error":[{"code":2009,"message":"boom"}],"name":"AiGatewayError","httpCode":401,"internalCode":2009,"message":"boom","description":"boom"}"#,
            Some("2009"),
            Some(false),
        ),
        (
            r#"{"response":"","errors":[{"code":5006,"message":"boom"}],"success":false}"#,
            Some("5006"),
            Some(false),
        ),
    ] {
        for list in [
            &[error][..],
            &[r#"{"response":"a"}"#, error, r#"{"response":"b"}"#],
        ] {
            let outcome = chunks(list);
            assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{error}");
            let found = outcome.error();
            assert_eq!(found.code(), code, "{error}");
            assert!(found.to_string().ends_with("boom"), "{found}: {error}");
            if let Some(retryable) = retryable {
                assert_eq!(found.is_retryable(), retryable, "{error}");
            }
            assert_eq!(outcome.attempts, 1, "what has begun is not sent again");
            let text = if list.len() == 1 { "" } else { "a" };
            assert_eq!(outcome.text(), text, "{error}");
        }
    }
}

#[test]
fn an_empty_list_of_errors_is_none() {
    let outcome = chunks(&[r#"{"response":"a","errors":[],"success":true}"#]);
    assert_eq!(outcome.text(), "a");
    let outcome = chunks(&[r#"{"response":"a","error":null}"#]);
    assert_eq!(outcome.text(), "a");
}

#[test]
fn broken_json_is_an_error_and_the_last_word() {
    let outcome = chunks(&[
        r#"{"response":"a"}"#,
        "{\"response\":",
        r#"{"response":"b"}"#,
    ]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Protocol));
    assert_eq!(outcome.text(), "a");
}

#[test]
fn a_chunk_over_two_lines_is_one_chunk() {
    let bytes = "data: {\"response\":\ndata: \"a\"}\n\ndata: [DONE]\n\n";
    for door in DOORS {
        assert_eq!(run(door, stream_of(bytes)).text(), "a");
    }
}

#[test]
fn a_pair_of_surrogates_may_come_in_halves() {
    let outcome = chunks(&[r#"{"response":"\ud83d"}"#, r#"{"response":"\ude00"}"#]);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.text(), "😀");
}
