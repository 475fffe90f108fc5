//! JSON values, and JSON deserialized into the caller's types.

use inferstream_core::{
    ChatEvent, ChatResponse, ErrorKind, FinishReason, Json, ToolCall,
    protocol::{escaped_length, push_escaped},
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

fn seen(text: &str) -> Option<String> {
    Json::from_partial(text).map(|json| json.to_string())
}

#[track_caller]
fn check(beginning: &str, says: Option<&str>) {
    assert_eq!(seen(beginning).as_deref(), says, "{beginning}");
}

#[test]
fn the_value_so_far_is_returned() {
    check(" { ", Some("{}"));
    check(r#"{"a"#, Some("{}"));
    check(r#"{"a":"#, Some("{}"));
    check(r#"{"a": ""#, Some(r#"{"a": ""}"#));
    check(r#"{"a": "x"#, Some(r#"{"a": "x"}"#));
    check(r#"{"a": "x","#, Some(r#"{"a": "x"}"#));
    check(r#"{"a": [1, 2"#, Some(r#"{"a": [1]}"#));
    check(r#"{"a": [1, 2 "#, Some(r#"{"a": [1, 2]}"#));
    check(r#"{"a": {"b": [[tru"#, Some(r#"{"a": {"b": [[]]}}"#));
    check(r#"[null, {"a": "\"#, Some(r#"[null, {"a": ""}]"#));
    check(r#"["\u00e"#, Some(r#"[""]"#));
    check(r#"["a\ud83d"#, Some(r#"["a"]"#));
    check(r#"["a\ud83d\ude00"#, Some(r#"["a\ud83d\ude00"]"#));
    check(r#""ab"#, Some(r#""ab""#));
    check(r#"{"a":1} "#, Some(r#"{"a":1}"#));
}

#[test]
fn text_without_a_value_returns_none() {
    for text in [
        "",
        " ",
        "1",
        "-",
        "tru",
        "nothing",
        "{a",
        "[1 2",
        "{\"a\" 1",
        "[1,]",
        "{}x",
        "[\"\\x",
        "[\u{1}",
        "{,",
        "[\"\n",
        "[1.2.3,",
        "[01,",
        "{\"a\":-01}",
        "[-.5,",
        "[1.e5,",
        "[1.2.3",
        "[\"\\u12x",
    ] {
        check(text, None);
    }
    check(&"[".repeat(129), None);
}

/// Returns true if the second value continues the first one.
fn goes_on(before: &Value, whole: &Value) -> bool {
    match (before, whole) {
        (Value::String(before), Value::String(whole)) => whole.starts_with(before.as_str()),
        (Value::Array(before), Value::Array(whole)) => {
            before.len() <= whole.len()
                && before
                    .iter()
                    .zip(whole)
                    .all(|(before, whole)| goes_on(before, whole))
        }
        (Value::Object(before), Value::Object(whole)) => before
            .iter()
            .all(|(name, before)| whole.get(name).is_some_and(|whole| goes_on(before, whole))),
        (before, whole) => before == whole,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|half| Value::from(f64::from(half) / 2.0)),
        "[ -~\u{e9}\u{4e16}\u{1f600}\n\"\\\\]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn each_prefix_gives_a_part_of_the_value(value in values(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        let mut last = None;
        for (place, _) in text.char_indices() {
            let Some(json) = seen(&text[..place]) else {
                prop_assert!(last.is_none(), "{} at {place} is seen no more", text);
                continue;
            };
            let part: Value = serde_json::from_str(&json).unwrap();
            prop_assert!(goes_on(&part, &value), "{json} of {text}");
            if let Some(last) = &last {
                prop_assert!(goes_on(last, &part), "{last} behind {part}");
            }
            last = Some(part);
        }
        if value.is_object() || value.is_array() || value.is_string() {
            let whole: Value = serde_json::from_str(&seen(&text).unwrap()).unwrap();
            prop_assert_eq!(whole, value);
        }
    }

    #[test]
    fn no_input_panics(text in "[\\[\\]{}:,\"\\\\a-f0-9ut. \u{e9}-]{0,24}") {
        if let Some(json) = seen(&text) {
            prop_assert!(
                json.contains("\\u") || serde_json::from_str::<Value>(&json).is_ok(),
                "{json} of {text}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[`~\n \u{e9}\u{2003}{}a1\"\\[\\]-]{0,12}", cut in any::<bool>()) {
        let reason = if cut { FinishReason::Length } else { FinishReason::Stop };
        let read = answer(&text, reason).parse::<Value>();
        if let (Ok(read), Ok(value)) = (read, serde_json::from_str::<Value>(&text)) {
            prop_assert_eq!(read, value);
        }
        let called = ToolCall::new("c", "a", text.as_str()).parse::<Value>();
        let called = called.map_err(|error| error.to_string());
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            prop_assert_eq!(called, Ok(value));
        }
    }
}

/// Returns true if a text is the start of JSON according to another parser.
fn begins(text: &str) -> bool {
    let may_go_on = |text: &str| match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof(),
    };
    // That parser requires the digits of a number, and all digits of an escape.
    let is_escape = |place: &usize| {
        let slashes = text[..=*place]
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\');
        slashes.count() % 2 == 1
    };
    match text.rfind("\\u").filter(is_escape) {
        Some(place) if text.len() < place + 6 => may_go_on(&format!("{text}0000")),
        _ => may_go_on(text) || may_go_on(&format!("{text}0")),
    }
}

/// Checks the partial values of a text and of all its continuations, letter by letter; `last` is
/// the length of the text that was visible before its last letter.
fn check_all(text: &mut String, letters: &[&str], left: usize, last: Option<usize>) {
    let said = match Json::from_partial(text) {
        None => {
            assert!(
                last.is_none() || !begins(text),
                "{text}: the value disappeared"
            );
            None
        }
        Some(json) => {
            assert!(begins(text), "{json} of {text}, which is invalid");
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(json.as_str()).is_ok();
            assert!(is_json, "{json} of {text}");
            let same = text.trim_start().bytes().zip(json.as_str().bytes());
            let said = same.take_while(|(one, other)| one == other).count();
            let closed = json.as_str()[said..].trim_matches(['"', ']', '}']);
            assert_eq!(closed, "", "{json} has more than {text}");
            assert!(
                last.unwrap_or(0) <= said,
                "{json} has less than before {text}"
            );
            Some(said)
        }
    };
    if left == 0 || !begins(text) {
        return;
    }
    for letter in letters {
        text.push_str(letter);
        check_all(text, letters, left - 1, said);
        text.truncate(text.len() - letter.len());
    }
}

#[test]
fn the_same_texts_are_accepted_as_by_another_parser() {
    let marks = ["[", "]", "{", "}", ":", ",", "\"", " "];
    for (letters, length) in [
        (&["0", "1", "-", "+", ".", "e", "E", ","][..], 6),
        (&["true", "nul", "l", "\"", "[", ",", "0"], 5),
        (
            &[
                "\"",
                "\\",
                "u",
                "d83d",
                "de00",
                "0041",
                "n",
                "\0",
                "\u{e9}",
                "\u{1f600}",
            ],
            5,
        ),
        (&marks, 6),
    ] {
        let mut text = String::from("[");
        check_all(&mut text, letters, length, None);
        text.clear();
        check_all(&mut text, letters, length, None);
    }
}

#[test]
fn the_value_so_far_can_always_be_parsed() {
    for (open, value) in [("[", "1"), ("{\"a\":", "1 "), ("[{\"a\":[", "\"")] {
        for depth in 1..200 {
            let Some(seen) = seen(&[&open.repeat(depth), value].concat()) else {
                assert!(100 < depth * open.matches(['[', '{']).count(), "{depth}");
                continue;
            };
            assert!(
                serde_json::from_str::<Value>(&seen).is_ok(),
                "{open} {depth}"
            );
        }
    }
    check(&"[".repeat(1_000_000), None);
    check(&"[{\"a\":".repeat(1_000_000), None);
}

#[test]
fn a_surrogate_half_is_replaced_once_its_other_half_cannot_follow() {
    check(r#"["\ud83d\ud83d"#, Some(r#"["\ud83d"]"#));
    check(r#"["\ud83d\ud83d\ude00"#, Some(r#"["\ud83d\ud83d\ude00"]"#));
    check(r#"["\ud83d\u0041"#, Some(r#"["\ud83d\u0041"]"#));
    check(r#"["\ud83dx"#, Some(r#"["\ud83dx"]"#));
    check(r#"["\ud83d\n"#, Some(r#"["\ud83d\n"]"#));
    check(r#"["\ude00"#, Some(r#"["\ude00"]"#));
}

#[derive(Debug, Deserialize, PartialEq)]
struct Place {
    city: String,
    people: u32,
}

fn answer(text: &str, reason: FinishReason) -> ChatResponse {
    let mut response = ChatResponse::default();
    response.add(&ChatEvent::text(0, text));
    response.add(&ChatEvent::finish(0, reason));
    response
}

#[test]
fn a_response_is_parsed_into_the_type_of_the_caller() {
    let place = || Place {
        city: "Bern".to_owned(),
        people: 134_000,
    };
    for text in [
        r#"{"city":"Bern","people":134000}"#,
        "\n {\"city\":\"Bern\",\n\"people\":134000}\n",
        "```json\n{\"city\":\"Bern\",\"people\":134000}\n```",
        "```\n{\"city\":\"Bern\",\"people\":134000}\n```\n",
    ] {
        assert_eq!(
            answer(text, FinishReason::Stop).parse::<Place>().unwrap(),
            place()
        );
    }
}

#[test]
fn an_invalid_response_is_an_error_that_shows_no_content() {
    let broken = answer(r#"{"city":"a secret","people":"many"}"#, FinishReason::Stop);
    let error = broken.parse::<Place>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(
        error.to_string(),
        "the response does not match the expected type (line 1, column 34)"
    );
    assert_eq!(error.partial().unwrap(), &broken);
    let error = answer("Well, a secret", FinishReason::Stop)
        .parse::<Place>()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the response is not JSON (line 1, column 1)"
    );
    let cut = answer(r#"{"city":"a sec"#, FinishReason::Length);
    let error = cut.parse::<Place>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let filtered = answer("{", FinishReason::ContentFilter);
    assert_eq!(
        filtered.parse::<Place>().unwrap_err().kind(),
        ErrorKind::ContentFilter
    );
}

#[test]
fn each_choice_is_parsed_separately() {
    let mut response = answer(r#"{"city":"Ber"#, FinishReason::Length);
    response.add(&ChatEvent::text(1, r#"{"city":"Bern","people":1}"#));
    response.add(&ChatEvent::finish(1, FinishReason::Stop));
    response.meta.attempts = 1;
    let place: Place = response.choice(1).unwrap().parse().unwrap();
    assert_eq!((place.city.as_str(), place.people), ("Bern", 1));

    let first = response.choice(0).unwrap();
    let (alone, whole) = (first.parse::<Place>(), response.parse::<Place>());
    let (alone, whole) = (alone.unwrap_err(), whole.unwrap_err());
    assert_eq!(alone.kind(), ErrorKind::Truncated);
    assert_eq!(alone.to_string(), whole.to_string());
    let kept = &alone.partial().unwrap().choices;
    assert_eq!(kept, std::slice::from_ref(first));
    assert_eq!(whole.partial(), Some(&response));
    assert_eq!(whole.partial().unwrap().meta, response.meta);
}

#[test]
fn an_empty_response_is_not_json() {
    let error = ChatResponse::default().parse::<Place>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(error.partial(), Some(&ChatResponse::default()));
}

#[test]
fn arguments_are_parsed_into_the_type_of_the_caller() {
    let call = ToolCall::new("c", "look_up", r#"{"city":"Bern","people":1}"#);
    assert_eq!(call.parse::<Place>().unwrap().city, "Bern");
    let none = ToolCall::new("c", "look_up", "");
    assert_eq!(none.parse::<Value>().unwrap(), serde_json::json!({}));
    for none in [none, ToolCall::new("c", "look_up", " \n ")] {
        let error = none.parse::<Place>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the argument object of tool `look_up` does not match the expected type (line 1, column 2)"
        );
    }
}

#[test]
fn a_code_fence_may_have_any_form_of_markdown() {
    for text in [
        "```json\r\n[1]\r\n```",
        "````json\n[1]\n````",
        "```json5\n[1]\n```",
        "~~~json\n[1]\n~~~",
        "```json\n[1]\n",
        "``` json\n[1]```",
        "```[1]```",
    ] {
        let answer = answer(text, FinishReason::Stop);
        assert_eq!(answer.parse::<[u32; 1]>().unwrap(), [1], "{text}");
    }
    let quoted = answer("\"```\\n1\\n```\"", FinishReason::Stop);
    assert_eq!(quoted.parse::<String>().unwrap(), "```\n1\n```");
    for text in [
        "```",
        "``````",
        "```json",
        "```json\n```",
        "a ```[1]```",
        "```\n[1]\n``` b",
    ] {
        let answer = answer(text, FinishReason::Stop);
        assert!(answer.parse::<Value>().is_err(), "{text}");
    }
}

#[test]
fn the_position_of_an_error_is_relative_to_the_text() {
    for (text, place) in [
        ("[\nx", "line 2, column 1"),
        ("\n\n  [x", "line 3, column 4"),
        ("```json\n[x]\n```", "line 2, column 2"),
        ("\n```json\n\n  [x]\n```", "line 4, column 4"),
        ("  ```[x]```", "line 1, column 7"),
        ("```x\nx\n```", "line 2, column 1"),
    ] {
        let error = answer(text, FinishReason::Stop).parse::<Value>();
        let told = error.unwrap_err().to_string();
        assert_eq!(
            told,
            format!("the response is not JSON ({place})"),
            "{text}"
        );
        let call = ToolCall::new("c", "look_up", text);
        let told = call.parse::<Value>().unwrap_err().to_string();
        if !text.contains('`') {
            assert!(told.ends_with(&format!("({place})")), "{text}: {told}");
        }
    }
}

#[test]
fn a_number_cut_off_by_the_limit_is_omitted() {
    for text in ["12", " -1", "1.5", "```\n12"] {
        let cut = answer(text, FinishReason::Length);
        assert_eq!(cut.parse::<f64>().unwrap_err().kind(), ErrorKind::Truncated);
        assert!(answer(text, FinishReason::Stop).parse::<f64>().is_ok());
    }
    // A value followed by its end is complete.
    for text in ["[12]", "[12]\n", "```\n[12]\n```"] {
        let whole = answer(text, FinishReason::Length);
        assert_eq!(whole.parse::<[u8; 1]>().unwrap(), [12]);
    }
    let whole = answer("12\n", FinishReason::Length);
    assert_eq!(whole.parse::<u8>().unwrap(), 12);
}

#[test]
fn the_error_about_a_tool_is_one_line() {
    let call = ToolCall::new("c", "look\nup\u{1b}[2J", "{");
    let told = call.parse::<Value>().unwrap_err().to_string();
    assert!(!told.contains(char::is_control), "{told:?}");
}

#[test]
fn the_escaped_length_is_that_of_the_escaped_text() {
    let ascii: String = (0..128_u8).map(char::from).collect();
    let texts = [
        String::new(),
        ascii.clone(),
        "\u{1}".repeat(300),
        "\"\n".repeat(300),
        "zwölf 六 🦀\u{7f}\u{85}".repeat(20),
    ];
    for text in texts.iter().map(String::as_str).chain(ascii.split("")) {
        let mut json = String::new();
        push_escaped(&mut json, text);
        assert_eq!(escaped_length(text), json.len(), "{text:?}");
    }
}
