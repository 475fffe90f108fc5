//! The content of chunks, alone and combined.

use super::{Answer, ENDPOINTS, chunks, run, stream_of};

pub(super) const TAIL: &str =
    r#"{"response":"","usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}"#;

/// Checks the text of one native chunk's `response`.
#[track_caller]
fn check_response(value: &str, text: &str) {
    let chunk = format!(r#"{{"response":{value},"p":"abc"}}"#);
    let outcome = chunks(&[&chunk]);
    assert_eq!(outcome.kind(), None, "{value}");
    assert_eq!(outcome.text(), text, "{value}");
    assert_eq!(outcome.reason(), "stop");
    let document =
        format!(r#"{{"result":{{"response":{value}}},"success":true,"errors":[],"messages":[]}}"#);
    for endpoint in ENDPOINTS {
        let outcome = run(endpoint, Answer::json(200, &document));
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
fn a_response_without_text_is_complete() {
    check_response("\"\"", "");
    check_response("null", "");
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
fn tokens_of_all_types_are_joined() {
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
fn reasoning_has_two_names() {
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
fn native_chunks_may_contain_reasoning() {
    let outcome = chunks(&[
        r#"{"response":"","reasoning":"a"}"#,
        r#"{"response":null,"reasoning_content":"b","p":"x"}"#,
        r#"{"response":"x","reasoning":null,"reasoning_content":"c"}"#,
        r#"{"response":"y","reasoning":"\ud83d"}"#,
        r#"{"response":"","reasoning":"\ude00"}"#,
    ]);
    assert_eq!(outcome.reasoning(), "abc😀");
    assert_eq!(outcome.text(), "xy");
    for name in ["reasoning", "reasoning_content"] {
        let document = format!(r#"{{"result":{{"response":"x","{name}":"a"}},"success":true}}"#);
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, Answer::json(200, &document));
            assert_eq!(outcome.reasoning(), "a", "{name}");
            assert_eq!(outcome.text(), "x", "{name}");
        }
    }
}

#[test]
fn a_native_chunk_may_contain_reasoning_alone() {
    let outcome = chunks(&[
        r#"{"reasoning":"a"}"#,
        r#"{"reasoning_content":"b","p":"x"}"#,
        r#"{"reasoning":null,"reasoning_content":"c"}"#,
        r#"{"response":"x"}"#,
    ]);
    assert_eq!(outcome.reasoning(), "abc");
    assert_eq!(outcome.text(), "x");
}

#[test]
fn padding_is_not_content() {
    let outcome = chunks(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"token_ids":[1],"logprobs":null,"matched_stop":106}],"p":"zz","prompt_token_ids":[1,2],"kv_transfer_params":null,"finish_reason":null}"#,
        r#"{"response":"b","finish_reason":null,"tool_calls":null}"#,
        r#"{"tool_calls":[],"p":"abdefgh"}"#,
    ]);
    assert_eq!(outcome.text(), "ab");
    assert!(outcome.response().tool_calls().is_empty());
}

#[test]
fn a_chunk_on_two_lines_is_one_chunk() {
    let bytes = "data: {\"response\":\ndata: \"a\"}\n\ndata: [DONE]\n\n";
    for endpoint in ENDPOINTS {
        assert_eq!(run(endpoint, stream_of(bytes)).text(), "a");
    }
}

#[test]
fn a_pair_of_surrogates_may_come_in_halves() {
    let outcome = chunks(&[r#"{"response":"\ud83d"}"#, r#"{"response":"\ude00"}"#]);
    assert_eq!(outcome.kind(), None);
    assert_eq!(outcome.text(), "😀");
}
