//! Templates: chunks that need no parser are decoded as the parser would decode them.

use inferstream_core::sse::Decoder;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures,
    twice::{CHUNKS, EVENTS, NUMBERS, decode, fill},
};

/// Makes frames of one form, with these texts and other strings, and the numbers 8, 9, 10 and so on.
fn frames(form: &str, strings: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let numbered = strings.iter().zip(8..);
    let made = numbered.map(|((text, other), number)| fill(form, text, other, &number.to_string()));
    made.map(|chunk| ("message", chunk)).collect()
}

#[track_caller]
fn check(form: &str, known: usize) {
    let strings = [
        ("a", "x"),
        ("b", "x"),
        ("c", "xy"),
        ("é😀", "z"),
        ("e", "x"),
    ];
    assert_eq!(decode(&frames(form, &strings), 1), known, "{form}");
}

#[test]
fn chunks_that_differ_in_their_text_need_no_parser() {
    check(r#"{"choices":[{"delta":{"content":"@"}}]}"#, 4);
    check(r#"{"choices":[{"delta":{"reasoning":"@"}}]}"#, 4);
    check(
        r#"{"choices":[{"delta":{"content":"","reasoning_content":"@"}}]}"#,
        4,
    );
    check(r#"{"choices":[{"delta":{"content":null},"text":"@"}]}"#, 4);
    check(
        r#"{"choices":[{"delta":{"content":"w","content":"@"}}]}"#,
        4,
    );
    check(r#" { "choices" : [ {"delta" : {"content" : "@"} } ] } "#, 4);
    check(
        r#"{"id":"1","model":"\/","choices":[{"index":7,"delta":{"role":"r","content":"@"},"finish_reason":null}],"usage":null}"#,
        4,
    );
    // To repeat token counts or times has no effect.
    check(
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1},"time_info":{"queue_time":1}}"#,
        4,
    );
}

#[test]
fn values_that_the_parser_skips_may_differ() {
    // The second and the last chunk are like the one before; the third shows that the string differs.
    check(
        r#"{"choices":[{"delta":{"content":"@"}}],"object":"o","obfuscation":"%"}"#,
        3,
    );
    check(r#"{"p":"%","choices":[{"delta":{"content":"@"}}]}"#, 3);
    check(r#"{"p":["%"],"choices":[{"delta":{"content":"@"}}]}"#, 3);
    check(r#"{"choices":[{"delta":{"content":"@"}}],"created":#}"#, 3);
    // Not where it may be content, where it has a meaning, or within other values.
    check(r#"{"choices":[{"delta":{"content":"@","audio":"%"}}]}"#, 0);
    check(r#"{"id":"%","choices":[{"delta":{"content":"@"}}]}"#, 1);
    check(r#"{"choices":[{"delta":{"content":"@","p":#}}]}"#, 0);
    check(r#"{"choices":[{"delta":{"content":"@"}}],"code":#}"#, 0);
}

#[test]
fn token_counts_may_differ() {
    for form in [
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"completion_tokens":#,"total_tokens":#}}"#,
        r#"{"usage":{"input_tokens":#,"p":"x"},"choices":[{"delta":{"content":"@"}}],"p":"x"}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"output_tokens_details":{"reasoning_tokens":#}}}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":#,"input_tokens":1}}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":null,"input_tokens":#}}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"x_groq":{"usage":{"prompt_tokens":#}}}"#,
        r#"{"choices":[{"delta":{"content":"@"},"usage":{"prompt_tokens":#}}]}"#,
    ] {
        check(form, 3);
    }
    // A number that does not count is read, but reported by nothing.
    for form in [
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":1,"input_tokens":#}}"#,
        r##"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":"#"}}"##,
        r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":#.0}}"#,
        r#"{"choices":[{"delta":{"content":"@"}}],"time_info":{"queue_time":#}}"#,
    ] {
        check(form, 0);
    }
}

/// Decodes chunks with the numbers 1, 2 and the given one, and returns true if it needed no parser.
#[track_caller]
fn is_known(form: &str, number: &str) -> bool {
    let frames = ["1", "2", number].map(|number| ("message", fill(form, "a", "", number)));
    decode(&frames, 1) == 1
}

#[test]
fn numbers_that_are_not_plain_integers_need_the_parser() {
    let counts = r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":#}}"#;
    let passed = r#"{"choices":[{"delta":{"content":"@"}}],"p":#}"#;
    let plain = ["0", "999999999999999"];
    for number in NUMBERS {
        assert_eq!(is_known(counts, number), plain.contains(number), "{number}");
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(number).is_ok();
        let is_value = is_json && !number.contains('\\') && !number.ends_with([' ', '\n']);
        assert_eq!(is_known(passed, number), is_value, "{number}");
    }
}

#[test]
fn chunks_with_more_than_a_text_need_the_parser() {
    for form in [
        r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"delta":{"content":"@","reasoning":"%"}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"},"text":"@"}]}"#,
        r#"{"choices":[{"delta":{"content":"@"},"message":{"content":"@"}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"},"logprobs":[]}]}"#,
        r#"{"choices":[{"delta":{"content":"@","tool_calls":[{}]}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"@"}}]}"#,
        r#"{"choices":[{"message":{"content":"@"}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"}},{}]}"#,
        r#"{"choices":[{"delta":{"content":["@"]}}]}"#,
        r#"{"choices":[{"delta":{"content":"@\n"}}]}"#,
        r#"{"choices":[{"delta":{"content":"@"},"logprobs":NaN}]}"#,
        r#"[{"choices":[{"delta":{"content":"@"}}]}]"#,
    ] {
        check(form, 0);
    }
}

#[test]
fn a_changed_detail_drops_the_template() {
    let a = r#"{"id":"a","choices":[{"delta":{"content":"@"}}]}"#;
    let strings = [("x", ""), ("y", "")];
    for other in [
        r#"{"id":"b"}"#,
        r#"{"model":"m"}"#,
        r#"{"time_info":{"queue_time":1}}"#,
    ] {
        let mut list = frames(a, &strings);
        list.push(("message", other.to_owned()));
        list.extend(frames(a, &strings));
        // The first of each pair is parsed.
        assert_eq!(decode(&list, 1), 2, "{other}");
        list[2].1 = r#"{"choices":[]}"#.to_owned();
        assert_eq!(decode(&list, 1), 3, "{other}");
    }
}

#[test]
fn token_counts_are_compared_with_the_last_ones() {
    let strings = [("x", ""), ("y", "")];
    for usage in [r#""usage":null"#, r#""usage":{"prompt_tokens":2}"#] {
        let form = format!(r#"{{"choices":[{{"delta":{{"content":"@"}}}}],{usage}}}"#);
        let mut list = frames(&form, &strings);
        let other = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
        list.push(("message", other.to_owned()));
        list.extend(frames(&form, &strings));
        // `decode` checks that the counts of the first chunks are reported again.
        assert_eq!(decode(&list, 1), 3, "{usage}");
    }
}

#[test]
fn recordings_are_decoded_as_by_the_parser() {
    let mut known = 0;
    for (_, bytes) in fixtures::streams() {
        let mut decoder = Decoder::default().marker("[DONE]").error_lines();
        decoder.push(bytes.into());
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            let event = EVENTS.iter().find(|event| **event == frame.event);
            frames.push((*event.unwrap_or(&"chunk"), frame.data.to_owned()));
        }
        known += decode(&frames, 1) + decode(&frames, 2);
    }
    assert!(0 < known, "no recording used a template");
}

/// Texts as chunks contain them, with what must not pass for plain.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-zé😀 ]{0,9}",
        1 => any::<String>(),
        1 => "[\"\\\\{}\\[\\]:,u/nd8e0]{0,6}",
        2 => select(vec![
            "\\n", "\\u0041", "\\ud83d", "\\ude00", "\\ud83d\\ude00", "\\", "\\\\", "\"",
            "\u{0}", "\u{1f}", "\n", "\u{7f}", "\u{2028}", "\u{feff}", "[DONE]", "NaN", "null",
            "stop", "\"},\"finish_reason\":\"stop\",\"p\":{\"q\":\"", "\",\"content\":\"",
        ])
        .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..1_000_u32).prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:e}")),
        2 => select(NUMBERS).prop_map(str::to_owned),
    ]
}

/// A change of one chunk: where, and what is put there.
fn mutation() -> impl Strategy<Value = Option<(usize, String)>> {
    let what = prop_oneof![
        select(vec![
            "",
            " ",
            "\"",
            "\\",
            "{",
            "}",
            "null",
            "\"p\":\"q\",",
            "\"usage\":{},",
            "0",
            "1",
            "-",
            ".5",
            "e3",
            ","
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::option::weighted(0.1, (any::<usize>(), what))
}

/// A run of chunks of one form.
fn run() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let strings = vec((text(), text(), number(), mutation()), 1..5);
    let event = prop_oneof![9 => Just("message"), 1 => select(EVENTS)];
    (select(CHUNKS), event, strings).prop_map(|(form, event, strings)| {
        let make =
            |(text, other, number, mutation): (String, String, String, Option<(usize, String)>)| {
                let mut chunk = fill(form, &text, &other, &number);
                if let Some((place, what)) = mutation {
                    let places: Vec<_> = chunk.char_indices().map(|(at, _)| at).collect();
                    let place = places.get(place % (places.len() + 1));
                    let place = place.copied().unwrap_or(chunk.len());
                    // What is put there replaces as much, or else one character.
                    let end = (place + what.len().max(1)).min(chunk.len());
                    let end = (end..=chunk.len()).find(|end| chunk.is_char_boundary(*end));
                    chunk.replace_range(place..end.unwrap_or(chunk.len()), &what);
                }
                (event, chunk)
            };
        strings.into_iter().map(make).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_chunks_are_decoded_as_by_the_parser(
        runs in vec(run(), 1..8),
        order in vec(any::<prop::sample::Index>(), 0..24),
        n in 1..4_u32,
    ) {
        let runs = runs.concat();
        // As runs, and mixed.
        decode(&runs, n);
        let mixed: Vec<_> = order.iter().map(|at| at.get(&runs).clone()).collect();
        decode(&mixed, n);
    }
}
