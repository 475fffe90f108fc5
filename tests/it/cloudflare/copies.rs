//! Text sent in both formats at once, and Responses objects.

use inferstream_cloudflare::{Endpoint, ErrorKind};

use super::{Answer, ENDPOINTS, Outcome, chunks, run};

fn check(list: &[&str], text: &str) -> Outcome {
    let outcome = chunks(list);
    assert_eq!(outcome.kind(), None, "{list:?}: {:?}", outcome.end);
    assert_eq!(outcome.text(), text, "{list:?}");
    outcome
}

#[test]
fn a_response_next_to_choices_is_a_copy() {
    // cloudflare/ai#615
    check(
        &[
            r#"{"response":"Hello","p":"abc","choices":[{"index":0,"delta":{"content":"Hello"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":" world"}}],"response":" world","p":"ab"}"#,
            r#"{"response":"","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
        ],
        "Hello world",
    );
    // Text in only one of the two formats is not a duplicate.
    check(
        &[
            r#"{"response":"a","choices":[{"index":0,"delta":{"content":""}}]}"#,
            r#"{"response":"","choices":[{"index":0,"delta":{"content":"b"}}]}"#,
            r#"{"response":"c","choices":[{}]}"#,
            r#"{"response":"d","choices":[]}"#,
            r#"{"response":7,"choices":[{"index":0,"delta":{"content":"7"}}]}"#,
        ],
        "abcd7",
    );
}

#[test]
fn the_format_with_the_first_text_is_used() {
    let both = r#"{"response":"r","choices":[{"index":0,"delta":{"content":"c"}}]}"#;
    check(&[r#"{"response":"1"}"#, both], "1r");
    check(
        &[r#"{"choices":[{"index":0,"delta":{"content":"1"}}]}"#, both],
        "1c",
    );
}

#[test]
fn a_document_in_both_formats_has_its_text_once() {
    for (response, content) in [("a", "a"), ("a", ""), ("", "a")] {
        let inner = format!(
            r#"{{"response":"{response}","choices":[{{"index":0,"message":{{"content":"{content}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#
        );
        for document in [
            inner.clone(),
            format!(r#"{{"result":{inner},"success":true,"errors":[]}}"#),
        ] {
            for endpoint in ENDPOINTS {
                let outcome = run(endpoint, Answer::json(200, &document));
                assert_eq!(outcome.kind(), None, "{document}: {:?}", outcome.end);
                assert_eq!(outcome.text(), "a", "{document}");
            }
        }
    }
}

#[test]
fn numbers_that_are_not_json_do_not_end_a_response() {
    check(
        &[
            r#"{"response":"a","logprob":-Infinity}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[NaN]}}]}"#,
        ],
        "ab",
    );
}

/// A Responses object as in cloudflare/workerd#5111.
fn responses(status: &str, output: &str) -> String {
    format!(
        r#"{{"result":{{"id":"resp_1","model":"@cf/openai/gpt-oss-120b","object":"response","output":[{output}],{status},"usage":{{"input_tokens":71,"output_tokens":20,"total_tokens":91}}}},"success":true,"errors":[],"messages":[]}}"#
    )
}

const REASONING: &str = r#"{"id":"rs_1","content":[{"text":"User says hi.","type":"reasoning_text"}],"summary":[],"type":"reasoning"}"#;
const MESSAGE: &str = r#"{"id":"msg_1","content":[{"annotations":[],"text":"Hello ","type":"output_text"},{"text":"there!","type":"output_text"}],"role":"assistant","type":"message"}"#;

#[test]
fn a_responses_object_has_its_text() {
    let document = responses(r#""status":"completed""#, &format!("{REASONING},{MESSAGE}"));
    let outcome = run(Endpoint::Native, Answer::json(200, &document));
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    let response = outcome.response();
    assert_eq!(
        (response.text(), response.reasoning()),
        ("Hello there!", "User says hi.")
    );
    assert_eq!(response.usage.unwrap().output_tokens, Some(20));
    assert_eq!(outcome.reason(), "stop");
}

#[test]
fn a_responses_object_has_its_finish_reason() {
    let call = r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}"#;
    let document = responses(r#""status":"completed""#, call);
    let outcome = run(Endpoint::Native, Answer::json(200, &document));
    assert_eq!(outcome.reason(), "tool_calls");
    assert_eq!(outcome.response().tool_calls()[0].name, "f");
    let cut = r#""status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}"#;
    let outcome = run(
        Endpoint::Native,
        Answer::json(200, &responses(cut, MESSAGE)),
    );
    assert_eq!(outcome.reason(), "length");
    for status in ["failed", "incomplete", "cancelled"] {
        let document = responses(&format!(r#""status":"{status}""#), MESSAGE);
        let outcome = run(Endpoint::Native, Answer::json(200, &document));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{status}");
        assert_eq!(outcome.error().partial().unwrap().text(), "Hello there!");
    }
}
