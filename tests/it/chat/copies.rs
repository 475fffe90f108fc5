//! Content that a service sends twice is returned once.

use inferstream_core::{ChatRequest, ErrorKind};

use super::{Answer, Client, FINISH, Outcome, chunks, run, run_request, sse};
use crate::support::Piece;

/// Returns a chunk whose only choice has these members.
fn choice(members: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,{members}}}]}}"#)
}

fn read(choices: &[&str]) -> Outcome {
    let mut list: Vec<_> = choices.iter().map(|members| choice(members)).collect();
    list.push(FINISH.to_owned());
    chunks(&list.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Checks the text and the reasoning of the choices, and that there are no warnings.
#[track_caller]
fn check(choices: &[&str], text: &str, reasoning: &str) {
    let outcome = read(choices);
    assert_eq!(outcome.kind(), None, "{choices:?}: {:?}", outcome.end);
    assert_eq!(outcome.text(), text, "{choices:?}");
    assert_eq!(outcome.response().reasoning(), reasoning, "{choices:?}");
    assert_eq!(outcome.response().meta.warnings, [""; 0], "{choices:?}");
}

#[test]
fn a_text_next_to_the_content_is_a_copy() {
    check(
        &[
            r#""text":"a","delta":{"content":"a"}"#,
            r#""delta":{"content":"b"},"text":"b""#,
            // Text in only one of the two members is not a copy.
            r#""delta":{"content":"","role":"assistant"},"text":"c""#,
            r#""delta":{"content":"d"}"#,
        ],
        "abcd",
        "",
    );
    // The older protocol alone, also with an empty delta.
    check(&[r#""text":"a""#, r#""text":"a","delta":{}"#], "aa", "");
}

#[test]
fn the_field_of_the_first_text_is_used() {
    for (first, text) in [
        (r#""delta":{"content":"1"}"#, "1c"),
        (r#""text":"1""#, "1t"),
    ] {
        check(&[first, r#""delta":{"content":"c"},"text":"t""#], text, "");
    }
}

#[test]
fn a_final_message_is_a_copy_of_its_deltas() {
    let whole = r#""message":{"role":"assistant","content":"abab","reasoning_content":"rs"}"#;
    let deltas = [
        r#""delta":{"reasoning":"r"}"#,
        r#""delta":{"reasoning":"s"}"#,
        r#""delta":{"content":"ab"}"#,
        r#""delta":{"content":"ab"}"#,
    ];
    check(&[&deltas[..], &[whole]].concat(), "abab", "rs");
    for delta in [
        r#","delta":{}"#,
        r#","delta":null"#,
        r#","delta":{"content":""}"#,
    ] {
        let whole = format!("{whole}{delta}");
        check(&[&deltas[..], &[&whole]].concat(), "abab", "rs");
    }
    // Text that did not arrive before is not lost.
    check(&[&deltas[..3], &[whole]].concat(), "abab", "rs");
    check(&[&deltas[2..], &[whole]].concat(), "abab", "rs");
    check(&[r#""delta":{"role":"assistant"}"#, whole], "abab", "rs");
    check(&[whole], "abab", "rs");
}

#[test]
fn a_different_final_message_is_reported() {
    let outcome = read(&[
        r#""delta":{"content":"one"}"#,
        r#""message":{"content":"two"}"#,
    ]);
    assert_eq!(outcome.text(), "one");
    assert_eq!(
        outcome.response().meta.warnings,
        [
            "the last message repeated the text of the response in another wording: the streamed text \
             was kept"
        ]
    );
}

#[test]
fn a_final_message_with_half_characters_is_a_copy() {
    check(
        &[
            r#""delta":{"content":"a\ud83d"}"#,
            r#""delta":{"content":"\ude00b"}"#,
            r#""message":{"content":"a\ud83d\ude00b"}"#,
        ],
        "a😀b",
        "",
    );
}

#[test]
fn messages_instead_of_deltas_are_parts() {
    let part = r#""message":{"content":"ha"}"#;
    check(&[part, part, part], "hahaha", "");
}

#[test]
fn a_part_that_equals_the_text_so_far_is_a_part() {
    let ha = r#""delta":{"content":"ha"}"#;
    check(&[ha, ha, ha], "hahaha", "");
}

#[test]
fn reasoning_has_many_names_and_is_delivered_once() {
    for name in [
        "reasoning",
        "reasoning_content",
        "reasoning_text",
        "thinking",
    ] {
        let part = format!(r#""delta":{{"{name}":"t"}}"#);
        check(&[&part, &part], "", "tt");
        let beside = format!(
            r#""delta":{{"reasoning_details":[{{"type":"reasoning.text","text":"t"}}],"{name}":"t","content":""}}"#
        );
        check(&[&beside, &beside], "", "tt");
    }
    let summary = r#""delta":{"reasoning_details":[{"type":"reasoning.summary","summary":"t"},{"type":"reasoning.encrypted","data":"x"}]}"#;
    check(&[summary, summary], "", "tt");
}

#[test]
fn parts_of_a_content_are_distinguished_by_type() {
    for (content, text, reasoning) in [
        (
            r#"[{"type":"thinking","thinking":"r"},{"type":"text","text":"a"}]"#,
            "a",
            "r",
        ),
        (
            r#"[{"thinking":[{"text":"r","type":"text"}],"type":"thinking"}]"#,
            "",
            "r",
        ),
        (
            r#"[{"text":"r","type":"reasoning"},"a",{"text":"b"}]"#,
            "ab",
            "r",
        ),
        (r#"{"type":"thinking","thinking":"r"}"#, "", "r"),
        // Databricks (BerriAI/litellm#9744).
        (
            r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"r","signature":""}]}]"#,
            "",
            "r",
        ),
        (r#"[{"type":"text","text":"a","thinking":"r"}]"#, "a", "r"),
        (r#"[{"type":"text","text":{"value":"a"}}]"#, "a", ""),
        (
            r#"[{"type":"thinking","thinking":"r","text":"r"}]"#,
            "",
            "r",
        ),
        (r#"{"type":"text","text":"a"}"#, "a", ""),
        ("[]", "", ""),
    ] {
        let part = format!(r#""delta":{{"content":{content}}}"#);
        let twice = (text.repeat(2), reasoning.repeat(2));
        let end = r#""delta":{"content":"."}"#;
        check(&[&part, &part, end], &(twice.0 + "."), &twice.1);
    }
    let both =
        r#""delta":{"content":[{"type":"thinking","thinking":"r"}],"reasoning_content":"r"}"#;
    check(&[both, r#""delta":{"content":"a"}"#], "a", "r");
}

#[test]
fn several_choices_are_one_if_one_was_requested() {
    let list = [
        r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"},{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
    ];
    let outcome = chunks(&list);
    assert_eq!(outcome.text(), "ab");
    assert_eq!(outcome.response().tool_calls().len(), 1);
    assert_eq!(outcome.reason(), "tool_calls");
    assert_eq!(outcome.response().choices.len(), 1);
    // If two choices were requested, each is separate.
    let answer = Answer::sse([Piece::from(sse(&list).as_str())]);
    let outcome = run_request(Client::Plain, answer, ChatRequest::from("hi").n(2));
    assert_eq!(
        (outcome.text(), outcome.text_of(1)),
        ("a".into(), "b".into())
    );
}

#[test]
fn log_probabilities_of_a_final_message_are_a_copy() {
    let outcome = read(&[
        r#""delta":{"content":"a"},"logprobs":{"content":[1]}"#,
        r#""message":{"content":"a"},"logprobs":{"content":[1]}"#,
    ]);
    assert_eq!(outcome.response().choices[0].logprobs.len(), 1);
}

#[test]
fn numbers_that_are_not_json_do_not_end_a_response() {
    for number in ["NaN", "Infinity", "-Infinity"] {
        let outcome = chunks(&[
            &format!(
                r#"{{"choices":[{{"index":0,"delta":{{"content":"a \"{number}\" \\"}},"logprobs":{{"content":[{{"logprob":{number}}}]}}}}],"x":[{number},{number}]}}"#
            ),
            &format!(
                r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":{number}}}}}"#
            ),
        ]);
        assert_eq!(outcome.text(), format!("a \"{number}\" \\"));
        let logprobs = outcome.response().choices[0].logprobs[0].as_str();
        assert_eq!(logprobs, r#"{"content":[{"logprob":null}]}"#);
        assert_eq!(outcome.response().usage.unwrap().input_tokens, Some(3));
    }
    for broken in ["-Inf", "nan", "Infinit", "NaN"] {
        let outcome = chunks(&[&format!("{{\"choices\":[]{broken}}}")]);
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{broken}");
    }
}

#[test]
fn usage_has_many_names_and_positions() {
    for usage in [
        r#""usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}"#,
        r#""usage":{"input_tokens":7,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}"#,
        r#""usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_cache_hit_tokens":4}"#,
        r#""usage":{"prompt_tokens":7,"completion_tokens":2,"num_cached_tokens":4}"#,
        r#""usage":null,"x_groq":{"usage":{"prompt_tokens":7,"completion_tokens":2,"cached_tokens":4}}"#,
        r#""choices":[{"index":0,"delta":{},"usage":{"prompt_tokens":7,"completion_tokens":2,"cached_tokens":4}}]"#,
    ] {
        let text = choice(r#""delta":{"content":"a"}"#);
        let outcome = chunks(&[&text, &format!("{{{usage}}}"), FINISH]);
        let found = outcome.response().usage.unwrap();
        assert_eq!(
            (found.input_tokens, found.output_tokens, found.cached_tokens),
            (Some(7), Some(2), Some(4)),
            "{usage}"
        );
    }
}

#[test]
fn an_empty_response_has_a_warning() {
    for (delta, carried) in [
        ("{}", ""),
        (
            r#"{"role":"assistant","content":"","name":"x","audio":null,"images":[]}"#,
            "",
        ),
        (
            r#"{"images":[{"type":"image_url"}]}"#,
            "; it contained `images`, which is not supported",
        ),
        (
            r#"{"audio":{"data":"x"},"content":[{"type":"image_url","image_url":{}}]}"#,
            "; it contained `audio`, `image_url`, which is not supported",
        ),
        (
            r#"{"audio_content":"UklGRg=="}"#,
            "; it contained `audio_content`, which is not supported",
        ),
    ] {
        let warning = format!(
            "the response is empty: it has no text, reasoning, tool call or refusal{carried}"
        );
        let outcome = read(&[&format!(r#""delta":{delta}"#)]);
        assert_eq!(outcome.response().meta.warnings, [&*warning], "{delta}");
        let document =
            format!(r#"{{"choices":[{{"index":0,"message":{delta},"finish_reason":"stop"}}]}}"#);
        let outcome = run(Client::Plain, Answer::json(200, &document));
        assert_eq!(outcome.response().meta.warnings, [&*warning], "{delta}");
        // Together with content, nothing is missing.
        check(
            &[&format!(r#""delta":{delta}"#), r#""delta":{"content":"a"}"#],
            "a",
            "",
        );
        check(
            &[
                r#""delta":{"refusal":"no"}"#,
                &format!(r#""delta":{delta}"#),
            ],
            "no",
            "",
        );
    }
}
