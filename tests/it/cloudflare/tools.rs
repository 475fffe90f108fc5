//! Tool calls in the service's formats.

use inferstream_cloudflare::ErrorKind;
use serde_json::{Value, json};

use super::{Answer, ENDPOINTS, Outcome, chunks, open_chunks, run};

/// Checks the calls of a response: name and arguments, in order.
#[track_caller]
fn check(outcome: &Outcome, expected: &[(&str, Value)]) {
    assert_eq!(outcome.kind(), None, "{outcome:?}");
    let calls: Vec<_> = outcome
        .response()
        .tool_calls()
        .iter()
        .map(|call| {
            assert!(!call.malformed, "{call:?}");
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            (call.name.as_str(), arguments)
        })
        .collect();
    assert_eq!(calls, expected);
    assert_eq!(outcome.text(), "");
}

#[test]
fn a_flat_call_is_a_call() {
    let flat = r#"{"tool_calls":[{"name":"add","arguments":{"a":1,"b":[2]}}]}"#;
    let expected = [("add", json!({ "a": 1, "b": [2] }))];
    check(&chunks(&[flat]), &expected);
    let outcome = open_chunks(&[flat, r#"{"finish_reason":"tool_calls"}"#]);
    check(&outcome, &expected);
    assert_eq!(outcome.reason(), "tool_calls");
    check(
        &chunks(&[
            r#"{"response":null,"tool_calls":[{"name":"f","arguments":"{\"a\":1}"}],"p":"x"}"#,
        ]),
        &[("f", json!({ "a": 1 }))],
    );
}

#[test]
fn flat_calls_of_one_or_two_chunks_are_separate() {
    let outcome = chunks(&[
        r#"{"tool_calls":[{"name":"f","arguments":{"a":1}},{"name":"f","arguments":{"a":2}}]}"#,
        r#"{"tool_calls":[{"name":"g","arguments":{}}]}"#,
    ]);
    check(
        &outcome,
        &[
            ("f", json!({ "a": 1 })),
            ("f", json!({ "a": 2 })),
            ("g", json!({})),
        ],
    );
}

#[test]
fn a_native_call_in_the_other_format_is_a_call() {
    let outcome = open_chunks(&[
        r#"{"tool_calls":[{"id":"call123","type":"function","index":0,"function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]}"#,
        r#"{"finish_reason":"tool_calls"}"#,
    ]);
    check(&outcome, &[("get_weather", json!({ "city": "Paris" }))]);
    assert_eq!(outcome.response().tool_calls()[0].id, "call123");
    assert_eq!(outcome.reason(), "tool_calls");
}

#[test]
fn arguments_may_be_an_object_in_both_formats() {
    let outcome = chunks(&[
        r#"{"tool_calls":[{"id":"c","type":"function","index":0,"function":{"name":"f","arguments":{"a":1}}}]}"#,
    ]);
    check(&outcome, &[("f", json!({ "a": 1 }))]);
}

#[test]
fn arguments_are_returned_as_written() {
    let arguments = r#"{ "b" : 1.50,"a":[ 1e3 ],  "b":"\u0041" }"#;
    let quoted = serde_json::to_string(arguments).unwrap();
    for call in [
        format!(r#"{{"name":"f","arguments":{arguments}}}"#),
        format!(r#"{{"name":"f","arguments":{quoted}}}"#),
        format!(r#"{{"id":"c","index":0,"function":{{"name":"f","arguments":{arguments}}}}}"#),
        format!(r#"{{"id":"c","index":0,"function":{{"name":"f","arguments":{quoted}}}}}"#),
    ] {
        let chunk = format!(r#"{{"tool_calls":[{call}]}}"#);
        let outcome = chunks(&[&chunk]);
        assert_eq!(outcome.response().tool_calls()[0].arguments, arguments);
        let document = format!(r#"{{"result":{chunk},"success":true}}"#);
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, Answer::json(200, &document));
            assert_eq!(outcome.response().tool_calls()[0].arguments, arguments);
        }
    }
}

/// The fragments of one call, and a last fragment that only ends it.
const PIECES: [&str; 5] = [
    r#"[{"id":"call1","type":"function","index":0,"function":{"name":"add"}}]"#,
    r#"[{"index":0,"function":{"arguments":"{\"a\""}}]"#,
    r#"[{"index":0,"function":{"arguments":": 1}"}}]"#,
    r#"[{"id":null,"type":null,"index":0,"function":{"name":null,"arguments":""}}]"#,
    "[]",
];

#[test]
fn a_call_may_arrive_in_fragments() {
    let native = PIECES.map(|piece| format!(r#"{{"tool_calls":{piece}}}"#));
    let chosen = PIECES
        .map(|piece| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":{piece}}}}}]}}"#));
    for list in [native, chosen] {
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        let outcome = chunks(&list);
        check(&outcome, &[("add", json!({ "a": 1 }))]);
        assert_eq!(outcome.response().tool_calls()[0].id, "call1");
        let finish = r#"{"finish_reason":"tool_calls"}"#;
        let outcome = open_chunks(&[&list[..], &[finish]].concat());
        check(&outcome, &[("add", json!({ "a": 1 }))]);
        assert_eq!(outcome.reason(), "tool_calls");
    }
}

#[test]
fn a_last_fragment_without_an_index_is_not_a_new_call() {
    let outcome = chunks(&[
        r#"{"tool_calls":[{"id":"call1","type":"function","index":0,"function":{"name":"add","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#,
        r#"{"tool_calls":[{"id":null,"type":null,"function":{"name":null,"arguments":""}}]}"#,
    ]);
    check(&outcome, &[("add", json!({}))]);
}

#[test]
fn two_calls_in_fragments_are_separate() {
    let outcome = chunks(&[
        r#"{"tool_calls":[{"id":"a","type":"function","index":0,"function":{"name":"f"}}]}"#,
        r#"{"tool_calls":[{"id":"b","type":"function","index":1,"function":{"name":"g"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":1}"}},{"index":1,"function":{"arguments":"{\"y\":"}}]}"#,
        r#"{"tool_calls":[{"index":1,"function":{"arguments":"2}"}}]}"#,
    ]);
    check(
        &outcome,
        &[("f", json!({ "x": 1 })), ("g", json!({ "y": 2 }))],
    );
}

#[test]
fn a_document_has_calls_in_both_formats() {
    for document in [
        r#"{"result":{"response":null,"tool_calls":[{"name":"f","arguments":{"a":1}}]},"success":true,"errors":[],"messages":[]}"#,
        r#"{"result":{"tool_calls":[{"name":"f","arguments":{"a":1}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}},"success":true}"#,
        r#"{"result":{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}]},"success":true}"#,
    ] {
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, Answer::json(200, document));
            check(&outcome, &[("f", json!({ "a": 1 }))]);
        }
    }
}

#[test]
fn a_truncated_call_is_not_a_call() {
    for list in [&PIECES[..2], &PIECES[..3]] {
        let list: Vec<_> = list
            .iter()
            .map(|piece| format!(r#"{{"tool_calls":{piece}}}"#))
            .collect();
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        let outcome = open_chunks(&list);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
        assert!(outcome.error().partial().unwrap().tool_calls().is_empty());
    }
}
