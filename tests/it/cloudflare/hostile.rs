//! Every member with every wrong type: the response has one end, and nothing panics.

use inferstream_cloudflare::{Endpoint, ErrorKind};
use serde_json::{Value, json};

use super::{Answer, ENDPOINTS, chunks, run, sse, stream_of};

/// Values to put in place of a member of another type.
fn wrong() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("[DONE]"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({ "x": null }),
    ]
}

/// Returns the paths of all members of a value.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(list) => {
            let numbered = list.iter().enumerate();
            numbered
                .map(|(number, value)| (number.to_string(), value))
                .collect()
        }
        _ => return,
    };
    for (name, value) in members {
        let path = format!("{at}/{name}");
        paths(value, &path, found);
        found.push(path);
    }
}

/// Returns copies of a value in each of which one member is replaced or removed.
fn bent(value: &Value) -> Vec<Value> {
    let mut all = wrong();
    let mut found = Vec::new();
    paths(value, "", &mut found);
    for path in found {
        for wrong in wrong() {
            let mut value = value.clone();
            *value.pointer_mut(&path).unwrap() = wrong;
            all.push(value);
        }
        let (parent, name) = path.rsplit_once('/').unwrap();
        let mut value = value.clone();
        if let Some(Value::Object(map)) = value.pointer_mut(parent) {
            map.remove(name);
            all.push(value);
        }
    }
    all
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": { "cached_tokens": 0 },
        "neurons": 1.5,
    })
}

#[test]
fn chunks_of_any_type_have_one_end() {
    let forms = [
        json!({ "response": "a", "p": "x", "finish_reason": null, "usage": usage() }),
        json!({ "tool_calls": [{ "name": "f", "arguments": { "a": 1 } }], "p": "x" }),
        json!({ "tool_calls": [{ "id": "c", "type": "function", "index": 0, "function": { "name": "f", "arguments": "{}" } }] }),
        json!({
            "id": "x",
            "model": "m",
            "choices": [{
                "index": 0,
                "delta": { "role": "assistant", "content": "a", "reasoning": "r", "reasoning_content": null, "tool_calls": [] },
                "finish_reason": "stop",
                "logprobs": null,
            }],
            "usage": usage(),
        }),
        json!({ "error": { "message": "m", "code": 1, "type": "t" } }),
        json!({ "errors": [{ "code": 3040, "message": "m" }], "success": false, "result": {}, "messages": [] }),
        json!({ "name": "AiError", "internalCode": 4006, "httpCode": 429, "message": "m", "description": "m", "requestId": "u" }),
    ];
    for form in forms {
        for chunk in bent(&form) {
            let chunk = chunk.to_string();
            let before = r#"{"response":"before "}"#;
            let bytes = sse(&[before, &chunk, "[DONE]"]);
            // `run` checks that there is one end.
            let outcome = run(Endpoint::Native, stream_of(&bytes));
            assert!(outcome.text().starts_with("before "), "{chunk}");
            // Without the end marker, only a finish reason ends a response with success.
            let outcome = run(Endpoint::OpenAi, stream_of(sse(&[before, &chunk])));
            if outcome.end.is_ok() {
                assert!(
                    chunk.contains("finish_reason") || chunk == "\"[DONE]\"",
                    "{chunk}"
                );
            }
        }
    }
}

#[test]
fn documents_of_any_type_have_one_end() {
    let forms = [
        json!({
            "result": { "response": "a", "tool_calls": [{ "name": "f", "arguments": {} }], "usage": usage() },
            "success": true,
            "errors": [],
            "messages": [],
        }),
        json!({
            "result": {
                "id": "x",
                "choices": [{ "index": 0, "message": { "role": "assistant", "content": "a" }, "finish_reason": "stop" }],
                "usage": usage(),
            },
            "success": true,
        }),
        json!({ "success": false, "errors": [{ "code": 3040, "message": "m" }], "result": null }),
        json!({
            "success": false,
            "result": [],
            "error": [{ "code": 2009, "message": "m" }],
            "name": "AiGatewayError",
            "httpCode": 401,
            "internalCode": 2009,
            "message": "m",
        }),
    ];
    for form in forms {
        for document in bent(&form) {
            let document = document.to_string();
            for status in [200, 400, 429] {
                let outcome = run(Endpoint::Native, Answer::json(status, &document));
                if status != 200 {
                    assert!(outcome.end.is_err(), "{status} {document}");
                }
            }
        }
    }
}

#[test]
fn deep_and_long_json_is_handled() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    for value in [&deep, &objects] {
        for text in [
            value.clone(),
            format!(r#"{{"response":{value}}}"#),
            format!(r#"{{"tool_calls":[{{"name":"f","arguments":{value}}}]}}"#),
            format!(r#"{{"errors":{value}}}"#),
        ] {
            for endpoint in ENDPOINTS {
                run(endpoint, stream_of(sse(&[&text, "[DONE]"])));
                run(endpoint, Answer::json(200, &text));
                run(endpoint, Answer::json(500, &text));
            }
        }
    }
    let nested = format!(r#"{{"errors":[{{"code":1,"message":{}}}]}}"#, json!(deep));
    run(Endpoint::Native, Answer::json(400, &nested));
    let prefixes = format!(
        r#"{{"errors":[{{"code":1,"message":"{}m"}}]}}"#,
        "AiError: ".repeat(5_000)
    );
    run(Endpoint::Native, Answer::json(400, &prefixes));
    for index in ["1000000000", "18446744073709551615", "-1", "1e30"] {
        let call = format!(
            r#"{{"tool_calls":[{{"index":{index},"id":"a","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#
        );
        run(Endpoint::Native, stream_of(sse(&[&call, "[DONE]"])));
        let choice = format!(r#"{{"choices":[{{"index":{index},"delta":{{"content":"a"}}}}]}}"#);
        run(Endpoint::OpenAi, stream_of(sse(&[&choice, "[DONE]"])));
    }
}

/// Unknown members, a repeated member, and a chunk that is not an object.
#[test]
fn no_part_of_a_chunk_is_lost() {
    for endpoint in ENDPOINTS {
        let outcome = run(
            endpoint,
            stream_of(sse(&[r#"{"response":"R","choices":[]}"#, "[DONE]"])),
        );
        assert_eq!(outcome.text(), "R");
        let outcome = run(
            endpoint,
            stream_of(sse(&[r#"{"response":"a","response":"b"}"#, "[DONE]"])),
        );
        assert_eq!(outcome.text(), "b");
        let failed = r#"{"response":"a","error":{"message":"boom","code":7009}}"#;
        let outcome = run(endpoint, stream_of(sse(&[failed, "[DONE]"])));
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider), "{outcome:?}");
        let outcome = run(endpoint, stream_of(sse(&[r#"["response"]"#, "[DONE]"])));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{outcome:?}");
    }
}

#[test]
fn an_endless_list_of_calls_is_refused() {
    let list = vec![r#"{"name":"f"}"#; 129].join(",");
    let chunk = format!(r#"{{"tool_calls":[{list}]}}"#);
    for endpoint in ENDPOINTS {
        let outcome = run(endpoint, stream_of(sse(&[&chunk, "[DONE]"])));
        assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge), "{outcome:?}");
    }
}

#[test]
fn endless_calls_are_refused() {
    let call = r#"{"tool_calls":[{"name":"f","arguments":{}}]}"#;
    for endpoint in ENDPOINTS {
        let all = run(
            endpoint,
            stream_of(sse(&[&[call; 128][..], &["[DONE]"]].concat())),
        );
        assert_eq!(all.response().tool_calls().len(), 128);
        let outcome = run(endpoint, stream_of(sse(&[call; 129])));
        assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge), "{outcome:?}");
    }
}

#[test]
fn an_endless_list_of_any_kind_is_refused() {
    let text = r#"{"response":"a"}"#;
    let list = |item: &str, length| vec![item; length].join(",");
    for (open, item, close, kind) in [
        (r#"{"choices":["#, "{}", "]}", ErrorKind::Protocol),
        (
            r#"{"choices":[{"index":0,"delta":{"tool_calls":["#,
            "null",
            "]}}]}",
            ErrorKind::Protocol,
        ),
        (
            r#"{"tool_calls":["#,
            r#"{"index":0,"function":{"arguments":""}}"#,
            "]}",
            ErrorKind::TooLarge,
        ),
    ] {
        let chunk = [open, &list(item, 4097), close].concat();
        for endpoint in ENDPOINTS {
            let outcome = run(endpoint, stream_of(sse(&[text, &chunk, "[DONE]"])));
            assert_eq!(outcome.kind(), Some(kind), "{open}");
            assert_eq!(outcome.text(), "a", "{open}");
            let outcome = run(endpoint, Answer::json(200, &chunk));
            assert_eq!(outcome.kind(), Some(kind), "{open}");
        }
    }
    let most = format!(r#"{{"choices":[{}]}}"#, list("{}", 4096));
    assert_eq!(chunks(&[text, &most]).text(), "a");
}

#[test]
fn two_calls_with_one_number_are_not_merged() {
    let flat = r#"{"tool_calls":[{"name":"f","arguments":{"a":1}}]}"#;
    let other = r#"{"tool_calls":[{"id":"c","index":0,"function":{"name":"g","arguments":"{}"}}]}"#;
    let next = other.replace("\"index\":0", "\"index\":1");
    for endpoint in ENDPOINTS {
        let outcome = run(endpoint, stream_of(sse(&[flat, other, "[DONE]"])));
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{outcome:?}");
        let outcome = run(endpoint, stream_of(sse(&[flat, &next, "[DONE]"])));
        assert_eq!(outcome.response().tool_calls().len(), 2);
        let outcome = run(endpoint, stream_of(sse(&[other, flat, "[DONE]"])));
        assert_eq!(outcome.response().tool_calls().len(), 2);
    }
}

#[test]
fn a_call_in_choices_next_to_a_flat_one_is_detected_in_any_spelling() {
    let flat = r#"{"tool_calls":[{"name":"f","arguments":{"a":1}}]}"#;
    let call = r#"{"index":0,"function":{"name":"g","arguments":"{}"}}"#;
    for choices in [
        format!(r#"[{{"delta":{{"tool_calls":[{call}]}}}}]"#),
        format!(r#"[ {{ "delta" : {{ "tool_calls" : [ {call} ] }} }} ]"#),
        format!(r#"[{{"delta":{{"content":"\ud83d","tool\u005fcalls":[{call}]}}}}]"#),
        format!(r#"[null,{{"delta":{{"tool_calls": [{call}]}}}}]"#),
        format!(r#"[{{"delta":{{"tool_calls":[null,{call}]}}}}]"#),
        format!(r#"[{{"message":{{"tool_calls": [{call}]}}}}]"#),
    ] {
        let chosen = format!(r#"{{"choices": {choices}}}"#);
        for endpoint in ENDPOINTS {
            for list in [[flat, &chosen], [&chosen, flat]] {
                let outcome = run(endpoint, stream_of(sse(&[list[0], list[1], "[DONE]"])));
                assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{list:?}");
            }
        }
    }
}

#[test]
fn choices_without_calls_are_not_a_second_format() {
    let flat = r#"{"name":"f","arguments":{"a":1}}"#;
    for choices in [
        "[]",
        "[null]",
        r#"[{"delta":null}]"#,
        r#"[{"delta":{"tool_calls":null}}]"#,
        r#"[{"delta":{"tool_calls":[]}}]"#,
        r#"[{"delta":{"tool_calls": [ ]}}]"#,
        r#"[{"delta":{"tool_calls":[null]}}]"#,
        r#"[{"delta":{"role":"\"tool_calls\":[{"}}]"#,
    ] {
        let beside = format!(r#"{{"tool_calls":[{flat}],"choices":{choices}}}"#);
        assert_eq!(chunks(&[&beside]).response().tool_calls().len(), 1);
        let before = format!(r#"{{"tool_calls":[{flat}]}}"#);
        let outcome = chunks(&[&before, &format!(r#"{{"choices":{choices}}}"#)]);
        assert_eq!(outcome.response().tool_calls().len(), 1, "{choices}");
    }
}
