//! Tool calls as services split, number and name them.

use inferstream_core::{ChatEvent, ErrorKind, ToolCall};

use super::{Outcome, chunks};

const FINISH: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;

/// Reads a response whose deltas have these lists of fragments.
#[track_caller]
fn read(pieces: &[&str]) -> Outcome {
    let mut list: Vec<_> = pieces
        .iter()
        .map(|piece| format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":{piece}}}}}]}}"#))
        .collect();
    list.push(FINISH.to_owned());
    let list: Vec<_> = list.iter().map(String::as_str).collect();
    chunks(&list)
}

/// Checks the complete calls: id, name, arguments.
#[track_caller]
fn check(pieces: &[&str], expected: &[(&str, &str, &str)]) {
    let outcome = read(pieces);
    let calls: Vec<_> = outcome
        .response()
        .tool_calls()
        .iter()
        .map(|call| (&*call.id, &*call.name, &*call.arguments))
        .collect();
    assert_eq!(calls, expected);
    check_events(&outcome);
}

/// Checks that each call starts once, then only grows, and is completed once, as the sum of its
/// fragments.
#[track_caller]
fn check_events(outcome: &Outcome) {
    for (place, call) in outcome.response().tool_calls().iter().enumerate() {
        let place = u32::try_from(place).unwrap();
        let mut grown = None::<String>;
        let mut whole = 0;
        for event in &outcome.events {
            match event {
                ChatEvent::ToolCallStart {
                    index, id, name, ..
                } if *index == place => {
                    assert_eq!((id, name), (&call.id, &call.name));
                    assert_eq!(grown, None, "a second start");
                    grown = Some(String::new());
                }
                ChatEvent::ToolCallDelta {
                    index, arguments, ..
                } if *index == place => {
                    grown
                        .as_mut()
                        .expect("a start came before")
                        .push_str(arguments);
                }
                ChatEvent::ToolCall {
                    index, call: found, ..
                } if *index == place => {
                    assert_eq!(found, call);
                    whole += 1;
                }
                _ => {}
            }
        }
        assert_eq!(whole, 1);
        let grown = grown.expect("a start");
        assert!(grown == call.arguments || grown.trim().is_empty() && call.arguments == "{}");
        let json = serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments);
        assert_eq!(call.malformed, json.is_err());
    }
}

#[test]
fn a_call_may_be_complete_in_one_fragment() {
    check(
        &[
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]"#,
        ],
        &[("a", "f", r#"{"x":1}"#)],
    );
}

#[test]
fn a_call_may_arrive_in_fragments() {
    check(
        &[
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"function":{"arguments":"{\"x\""}}]"#,
            r#"[{"index":0,"function":{"arguments":":1"}}]"#,
            r#"[{"index":0,"function":{"arguments":"}"}}]"#,
        ],
        &[("a", "f", r#"{"x":1}"#)],
    );
}

#[test]
fn calls_interleaved() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"{"}}]"#,
            r#"[{"index":0,"function":{"arguments":"1"}},{"index":1,"function":{"arguments":"}"}}]"#,
            r#"[{"index":0,"function":{"arguments":"]"}}]"#,
        ],
        &[("a", "f", "[1]"), ("b", "g", "{}")],
    );
}

#[test]
fn calls_without_numbers_are_distinguished_by_their_ids() {
    check(
        &[
            r#"[{"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"id":"b","function":{"name":"g","arguments":"2"}}]"#,
            r#"[{"id":"a","function":{"arguments":"0"}}]"#,
            r#"[{"function":{"arguments":"5"}}]"#,
        ],
        &[("a", "f", "10"), ("b", "g", "25")],
    );
}

#[test]
fn calls_with_equal_numbers_are_distinguished_by_their_ids() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"function":{"arguments":"1"}}]"#,
            r#"[{"index":0,"id":"b","function":{"name":"g","arguments":"2"}}]"#,
            r#"[{"index":0,"function":{"arguments":"2"}}]"#,
        ],
        &[("a", "f", "11"), ("b", "g", "22")],
    );
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}},{"index":0,"id":"b","function":{"name":"g","arguments":"2"}}]"#,
        ],
        &[("a", "f", "1"), ("b", "g", "2")],
    );
}

#[test]
fn an_id_that_is_repeated_is_the_same_call() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"2"}}]"#,
            r#"[{"index":0,"id":"","function":{"name":null,"arguments":"3"}}]"#,
        ],
        &[("a", "f", "123")],
    );
}

#[test]
fn a_number_may_be_of_any_size() {
    for number in [
        "1000000000",
        "4294967296",
        "1e9",
        "18446744073709551615",
        "1e300",
        "-1",
        "0.0",
        "null",
        "\"0\"",
        "\"x\"",
        "\"\"",
        "true",
        "[]",
        "{}",
    ] {
        check(
            &[
                &format!(
                    r#"[{{"index":{number},"id":"a","function":{{"name":"f","arguments":"["}}}}]"#
                ),
                &format!(r#"[{{"index":{number},"function":{{"arguments":"1]"}}}}]"#),
            ],
            &[("a", "f", "[1]")],
        );
    }
}

#[test]
fn there_are_at_most_128_calls() {
    let piece = |id: usize| format!(r#"{{"index":{id},"id":"c{id}","function":{{"name":"f"}}}}"#);
    let list = |count| (0..count).map(piece).collect::<Vec<_>>().join(",");
    let outcome = read(&[&format!("[{}]", list(128))]);
    assert_eq!(outcome.response().tool_calls().len(), 128);
    let outcome = read(&[&format!("[{}]", list(129))]);
    assert_eq!(outcome.kind(), Some(ErrorKind::TooLarge));
}

#[test]
fn a_name_in_fragments_is_one_name() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"get_"}}]"#,
            r#"[{"index":0,"function":{"name":"weather"}}]"#,
            r#"[{"index":0,"function":{"arguments":"{}"}}]"#,
        ],
        &[("a", "get_weather", "{}")],
    );
}

#[test]
fn a_late_name_starts_the_call_late() {
    check(
        &[
            r#"[{"index":0,"id":"a"}]"#,
            r#"[{"index":0,"function":{"arguments":"{\"x\":"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"function":{"arguments":"}"}}]"#,
        ],
        &[("a", "f", r#"{"x":1}"#)],
    );
}

#[test]
fn arguments_may_be_a_value_or_missing() {
    for (arguments, expected) in [
        (r#"{"x": 1}"#, r#"{"x": 1}"#),
        ("[1,2]", "[1,2]"),
        ("7", "7"),
        ("null", "{}"),
        ("\"\"", "{}"),
        ("{}", "{}"),
        (r#""{\"s\":\"\\n\\\"\"}""#, r#"{"s":"\n\""}"#),
    ] {
        let piece = format!(
            r#"[{{"index":0,"id":"a","function":{{"name":"f","arguments":{arguments}}}}}]"#
        );
        check(&[&piece], &[("a", "f", expected)]);
    }
    check(
        &[r#"[{"index":0,"id":"a","function":{"name":"f"}}]"#],
        &[("a", "f", "{}")],
    );
}

#[test]
fn invalid_arguments_are_marked() {
    for arguments in ["{", "{\\\"x\\\":", "nothing", "{}{}"] {
        let piece = format!(
            r#"[{{"index":0,"id":"a","function":{{"name":"f","arguments":"{arguments}"}}}}]"#
        );
        let outcome = read(&[&piece]);
        let [
            ToolCall {
                malformed: true, ..
            },
        ] = outcome.response().tool_calls()
        else {
            panic!("{:?}", outcome.response().tool_calls());
        };
    }
}

#[test]
fn deep_arguments_do_not_exhaust_the_stack() {
    let deep = "[".repeat(100_000);
    let piece =
        format!(r#"[{{"index":0,"id":"a","function":{{"name":"f","arguments":"{deep}"}}}}]"#);
    let outcome = read(&[&piece]);
    assert!(outcome.response().tool_calls()[0].malformed);
}

#[test]
fn unexpected_members_do_not_end_a_call() {
    for list in [
        "null",
        "[]",
        "[null]",
        "[{}]",
        r#"[{"function":null}]"#,
        r#"[{"index":0,"type":7}]"#,
    ] {
        let outcome = read(&[list]);
        assert_eq!(outcome.kind(), None, "{list}");
        assert_eq!(outcome.response().tool_calls(), [], "{list}");
    }
    check(
        &[
            "null",
            "[]",
            r#"[{"index":0,"id":7,"type":null,"function":{"name":"f","arguments":"{}","extra":[1]},"extra":{}}]"#,
        ],
        &[("7", "f", "{}")],
    );
}

#[test]
fn a_truncated_call_is_not_a_call() {
    let chunk = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"rm","arguments":"{\"path\":\"/tmp"}}]}}]}"#;
    let outcome = super::plain_stream(super::sse(&[chunk]));
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.partial().unwrap().tool_calls().is_empty());
}

#[test]
fn calls_of_two_choices_are_separate() {
    let list = [
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"2"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1"}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"2"}}]},"finish_reason":"tool_calls"}]}"#,
    ];
    let bytes = super::sse(&list);
    let request = inferstream_core::ChatRequest::from("hi").n(2);
    let answer = super::Answer::sse([super::piece(bytes.as_bytes())]);
    let outcome = super::run_request(super::Client::Plain, answer, request);
    let [first, second] = &*outcome.response().choices else {
        panic!("{outcome:?}");
    };
    assert_eq!(first.tool_calls, [ToolCall::new("a", "f", "11")]);
    assert_eq!(second.tool_calls, [ToolCall::new("b", "g", "22")]);
}

#[test]
fn calls_without_number_and_id_are_distinguished() {
    let outcome = read(&[
        r#"[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"}}]"#,
    ]);
    assert_eq!(outcome.response().tool_calls().len(), 2, "{outcome:?}");
}

#[test]
fn a_calls_number_may_come_later() {
    let outcome = read(&[
        r#"[{"id":"a","function":{"name":"f","arguments":"["}}]"#,
        r#"[{"index":0,"function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(outcome.response().tool_calls().len(), 1, "{outcome:?}");
}

#[test]
fn a_calls_number_may_come_later_with_its_id() {
    let outcome = read(&[
        r#"[{"id":"a","function":{"name":"f","arguments":"["}}]"#,
        r#"[{"index":0,"id":"a","function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(outcome.response().tool_calls().len(), 1, "{outcome:?}");
}

#[test]
fn a_calls_id_may_come_later() {
    let outcome = read(&[
        r#"[{"index":0,"function":{"name":"f","arguments":"["}}]"#,
        r#"[{"id":"a","function":{"arguments":"1]"}}]"#,
    ]);
    assert_eq!(outcome.response().tool_calls().len(), 1, "{outcome:?}");
}

#[test]
fn calls_are_in_the_order_in_which_they_start() {
    check(
        &[
            r#"[{"index":1,"id":"b","function":{"name":"g","arguments":"["}}]"#,
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]"#,
            r#"[{"index":1,"function":{"arguments":"1]"}}]"#,
            r#"[{"index":0,"function":{"arguments":"}"}}]"#,
        ],
        &[("b", "g", "[1]"), ("a", "f", "{}")],
    );
}

#[test]
fn numbers_need_not_be_consecutive() {
    check(
        &[
            r#"[{"index":7,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":3,"id":"b","function":{"name":"g","arguments":"2"}}]"#,
            r#"[{"index":7,"function":{"arguments":"1"}},{"index":3,"function":{"arguments":"2"}}]"#,
        ],
        &[("a", "f", "11"), ("b", "g", "22")],
    );
}

#[test]
fn a_later_number_may_be_missing_or_a_string() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"function":{"arguments":"1"}}]"#,
            r#"[{"index":"0","function":{"arguments":"2"}}]"#,
            r#"[{"index":0.0,"function":{"arguments":"3"}}]"#,
            r#"[{"index":-1,"function":{"arguments":"]"}}]"#,
        ],
        &[("a", "f", "[123]")],
    );
}

#[test]
fn calls_with_the_same_id_are_distinguished_by_their_numbers() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":1,"id":"a","function":{"name":"g","arguments":"2"}}]"#,
            r#"[{"index":0,"function":{"arguments":"1"}},{"index":1,"function":{"arguments":"2"}}]"#,
        ],
        &[("a", "f", "11"), ("a", "g", "22")],
    );
}

#[test]
fn a_call_whose_id_changes_with_each_fragment_is_one_call() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"index":0,"id":"b","function":{"arguments":"1"}}]"#,
            r#"[{"index":1,"id":"c","function":{"name":"g","arguments":"{"}}]"#,
            r#"[{"index":1,"id":"d","function":{"arguments":"}"}}]"#,
            r#"[{"index":0,"id":"e","function":{"arguments":"]"}}]"#,
        ],
        &[("a", "f", "[1]"), ("c", "g", "{}")],
    );
    check(
        &[
            r#"[{"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"id":"b","function":{"arguments":"1]"}}]"#,
        ],
        &[("a", "f", "[1]")],
    );
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"id":"b","function":{"arguments":"1]"}}]"#,
        ],
        &[("a", "f", "[1]")],
    );
    // The name comes first, alone.
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f"}}]"#,
            r#"[{"index":0,"id":"b","function":{"arguments":"[1]"}}]"#,
        ],
        &[("a", "f", "[1]")],
    );
}

#[test]
fn a_call_whose_number_changes_with_each_fragment_is_one_call() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"["}}]"#,
            r#"[{"index":1,"id":"a","function":{"arguments":"1"}}]"#,
            r#"[{"index":2,"id":"a","function":{"arguments":"]"}}]"#,
        ],
        &[("a", "f", "[1]")],
    );
}

#[test]
fn an_id_before_its_name_begins_another_call() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"id":"b"}]"#,
            r#"[{"index":0,"function":{"name":"g","arguments":"2"}}]"#,
        ],
        &[("a", "f", "1"), ("b", "g", "2")],
    );
}

#[test]
fn equal_calls_of_one_list_are_separate() {
    for (list, arguments) in [
        (
            r#"[{"function":{"name":"f"}},{"function":{"name":"g"}}]"#,
            "{}",
        ),
        (
            r#"[{"index":0,"function":{"name":"f"}},{"index":0,"function":{"name":"g"}}]"#,
            "{}",
        ),
        (
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}},{"index":0,"function":{"name":"g","arguments":"1"}}]"#,
            "1",
        ),
    ] {
        check(&[list], &[("", "f", arguments), ("", "g", arguments)]);
    }
    // The same tool twice.
    check(
        &[
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}},{"index":0,"function":{"name":"f","arguments":"2"}}]"#,
        ],
        &[("", "f", "1"), ("", "f", "2")],
    );
    // The names again in the next list.
    let again = r#"[{"index":0,"function":{"name":"f","arguments":"1"}},{"index":1,"function":{"name":"g","arguments":"2"}}]"#;
    check(&[again, again], &[("", "f", "11"), ("", "g", "22")]);
    // The id alone.
    check(
        &[r#"[{"index":0,"id":"a"},{"index":0,"function":{"name":"f","arguments":"1"}}]"#],
        &[("a", "f", "1")],
    );
    // A fragment without a name continues the call.
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f"}},{"index":0,"function":{"arguments":"1"}}]"#,
        ],
        &[("a", "f", "1")],
    );
}

#[test]
fn another_name_after_arguments_begins_another_call() {
    check(
        &[
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"1"}}]"#,
            r#"[{"index":0,"function":{"name":"g","arguments":"2"}}]"#,
            r#"[{"index":0,"function":{"arguments":"2"}}]"#,
        ],
        &[("", "f", "11"), ("", "g", "22")],
    );
}

#[test]
fn the_data_before_the_start_of_a_call_is_limited() {
    let long = "n".repeat(1 << 19);
    let piece = |nth: usize, member: &str| {
        let number = if member == "name" { 0 } else { nth };
        format!(
            r#"[{{"index":{number},"id":"c{number}","function":{{"{member}":"{nth}{long}"}}}}]"#
        )
    };
    // A name in fragments, and calls each of which is small.
    for member in ["name", "arguments"] {
        let read = |count| {
            let list: Vec<_> = (0..count).map(|nth| piece(nth, member)).collect();
            read(&list.iter().map(String::as_str).collect::<Vec<_>>()).kind()
        };
        assert_eq!(read(31), None, "{member}");
        assert_eq!(read(32), Some(ErrorKind::TooLarge), "{member}");
    }
}

#[test]
fn repeated_complete_arguments_count_once() {
    let parts = [
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]"#,
        r#"[{"index":0,"function":{"arguments":":[1]}"}}]"#,
    ];
    for again in [
        r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":[1]}"}}]"#,
        r#"[{"index":0,"function":{"arguments":"{\"x\": [1]}"}}]"#,
        r#"[{"id":"a","function":{"name":"f","arguments":"{\"x\":[1]}"}}]"#,
        r#"[{"function":{"name":"f","arguments":"{\"x\":[1]}"}}]"#,
    ] {
        check(&[parts[0], parts[1], again], &[("a", "f", r#"{"x":[1]}"#)]);
    }
    // Two calls of one tool in one list are two calls, whatever their arguments.
    let call = r#"{"index":0,"function":{"name":"f","arguments":"{}"}}"#;
    check(
        &[&format!("[{call},{call}]")],
        &[("", "f", "{}"), ("", "f", "{}")],
    );
}

#[test]
fn a_name_after_complete_arguments_begins_another_call() {
    let call = |id: &str, city: &str| {
        format!(
            r#"[{{"index":0,"id":"{id}","function":{{"name":"f","arguments":"{{\"city\":\"{city} }} \\\"\"}}"}}}}]"#
        )
    };
    let arguments = |city: &str| format!(r#"{{"city":"{city} }} \""}}"#);
    let (paris, rome) = (arguments("Paris"), arguments("Rome"));
    check(
        &[&call("", "Paris"), &call("", "Rome")],
        &[("", "f", &paris), ("", "f", &rome)],
    );
    // A name that is repeated with each fragment belongs to the same call until its arguments are
    // complete.
    check(
        &[
            r#"[{"index":0,"function":{"name":"f","arguments":"{\"x\":"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"{}"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"}"}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"function":{"name":"f","arguments":"{}"}}]"#,
        ],
        &[("", "f", r#"{"x":{}}"#), ("", "f", "{}")],
    );
}

#[test]
fn an_id_alone_is_not_a_call() {
    for id in [
        r#"[{"index":0,"id":"b","function":{"name":"","arguments":""}}]"#,
        r#"[{"index":5,"id":"b"}]"#,
    ] {
        check(
            &[
                r#"[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]"#,
                id,
            ],
            &[("a", "f", "{}")],
        );
    }
}

/// Reads a response whose choices have these members.
fn choices(list: &[&str]) -> Outcome {
    let chunk = |members: &&str| format!(r#"{{"choices":[{{"index":0,{members}}}]}}"#);
    let mut list: Vec<_> = list.iter().map(chunk).collect();
    list.push(FINISH.to_owned());
    chunks(&list.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn calls_of_a_final_message_are_copies() {
    let delta = r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
    let f = r#"{"id":"a","function":{"name":"f","arguments":"{\"x\": 1}"}}"#;
    let g = r#"{"id":"b","function":{"name":"g","arguments":"{}"}}"#;
    for (message, count) in [
        (format!("[{f}]"), 1),
        (format!("[{f},{g}]"), 2),
        (format!("[{g}]"), 2),
        (format!("[{}]", f.replace(r#""id":"a","#, "")), 1),
    ] {
        let outcome = choices(&[delta, &format!(r#""message":{{"tool_calls":{message}}}"#)]);
        let calls = outcome.response().tool_calls().len();
        assert_eq!(calls, count, "{message}");
        check_events(&outcome);
    }
}

#[test]
fn the_older_function_call_is_a_call() {
    let parts = [
        r#""delta":{"function_call":{"name":"f","arguments":""}}"#,
        r#""delta":{"function_call":{"arguments":"{\"x\""}}"#,
        r#""delta":{"function_call":{"arguments":":1}"}}"#,
    ];
    let message = r#""message":{"function_call":{"name":"f","arguments":"{\"x\":1}"}}"#;
    let beside = r#""delta":{"function_call":{"name":"f","arguments":"{\"x\":1}"},"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
    for list in [
        &parts[..],
        &[message],
        &[&parts[..], &[message]].concat(),
        &[beside],
    ] {
        let outcome = choices(list);
        let [call] = outcome.response().tool_calls() else {
            panic!("{list:?}: {outcome:?}");
        };
        assert_eq!((&*call.name, &*call.arguments), ("f", r#"{"x":1}"#));
        check_events(&outcome);
    }
}

/// vLLM's `xlam` parser ends with the complete object (vllm-project/vllm#51697).
#[test]
fn arguments_that_begin_with_the_earlier_ones_replace_them() {
    let piece = |arguments: &str| {
        let arguments = serde_json::to_string(arguments).unwrap();
        format!(r#"[{{"index":0,"function":{{"arguments":{arguments}}}}}]"#)
    };
    for (list, expected) in [
        (&["{", r#"{"x": 1}"#][..], r#"{"x": 1}"#),
        (&[r#"{"x": "a"#, r#"{"x": "ab"}"#], r#"{"x": "ab"}"#),
        (&[r#"{"x""#, r#"{"x": 1"#, r#"{"x": 1}"#], r#"{"x": 1}"#),
        (&[r#"{"x": "#, "1}", r#"{"x":1}"#], r#"{"x": 1}"#),
        (
            &[r#"{"x":1,"y":2}"#, r#"{"y":2,"x":1}"#],
            r#"{"x":1,"y":2}"#,
        ),
        // An object within an object with the same start.
        (&[r#"{"x":"#, r#"{"x":1}"#, "}"], r#"{"x":{"x":1}}"#),
        (&["[", "[1]", "]"], "[[1]]"),
    ] {
        let start = r#"[{"index":0,"id":"a","function":{"name":"f"}}]"#.to_owned();
        let pieces: Vec<_> = [start]
            .into_iter()
            .chain(list.iter().map(|text| piece(text)))
            .collect();
        let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
        check(&pieces, &[("a", "f", expected)]);
    }
}

/// vLLM numbers both calls 0 and sends the id with the first fragment only
/// (InternLM/lmdeploy#3412).
#[test]
fn arguments_equal_to_those_of_an_earlier_call_are_the_last_calls() {
    check(
        &[
            r#"[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"id":"","function":{"arguments":"{}"}}]"#,
            r#"[{"index":0,"id":"b","function":{"name":"f","arguments":""}}]"#,
            r#"[{"index":0,"id":"","function":{"arguments":"{}"}}]"#,
        ],
        &[("a", "f", "{}"), ("b", "f", "{}")],
    );
}

#[test]
fn a_call_that_arrives_twice_without_an_id_is_reported() {
    let call = r#"[{"function":{"name":"f","arguments":"{}"}}]"#;
    let outcome = read(&[call, call]);
    assert_eq!(outcome.response().tool_calls().len(), 1);
    assert_eq!(
        outcome.response().meta.warnings,
        ["a tool call came twice without an id: the second call of `f` was dropped"]
    );
    // One list names each call once.
    let both = r#"[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}}]"#;
    for list in [&[both][..], &[call, both]] {
        assert_eq!(read(list).response().tool_calls().len(), 2, "{list:?}");
    }
}

/// A gateway in front of `DashScope` names the call in each fragment (aigc-apps/PAI-RAG#556).
#[test]
fn a_name_in_each_fragment_needs_no_number() {
    check(
        &[
            r#"[{"id":"a","function":{"name":"f","arguments":"[1"}}]"#,
            r#"[{"id":"","function":{"name":"f","arguments":",2"}}]"#,
            r#"[{"id":"","function":{"name":"f","arguments":"]"}}]"#,
            r#"[{"id":"","function":{"name":"f","arguments":"[3]"}}]"#,
        ],
        &[("a", "f", "[1,2]"), ("", "f", "[3]")],
    );
}

/// Hugging Face's server sends a single object instead of a list
/// (huggingface/text-generation-inference#2794).
#[test]
fn a_single_call_may_come_without_a_list() {
    check(
        &[
            r#"{"index":0,"id":"","function":{"name":"f","arguments":""}}"#,
            r#"{"index":0,"id":"","function":{"name":null,"arguments":"[1"}}"#,
            r#"{"index":0,"id":"","function":{"name":null,"arguments":"]"}}"#,
        ],
        &[("", "f", "[1]")],
    );
}

#[test]
fn a_final_message_adds_what_the_deltas_lack() {
    let delta = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}}]}"#;
    let whole = |calls: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"message":{{"tool_calls":[{calls}]}},"finish_reason":"tool_calls"}}]}}"#
        )
    };
    let first = r#"{"id":"a","function":{"name":"f","arguments":"{\"x\":{\"x\":1}}"}}"#;
    let second = r#"{"id":"b","function":{"name":"f","arguments":"{\"x\":{\"x\":1}}"}}"#;
    let arguments = r#"{"x":{"x":1}}"#;
    let outcome = chunks(&[delta, &whole(first)]);
    assert_eq!(
        outcome.response().tool_calls(),
        [ToolCall::new("a", "f", arguments)]
    );
    // Two equal calls are two calls.
    let outcome = chunks(&[delta, &whole(&format!("{first},{second}"))]);
    assert_eq!(
        outcome.response().tool_calls(),
        [
            ToolCall::new("a", "f", arguments),
            ToolCall::new("b", "f", arguments)
        ]
    );
}
