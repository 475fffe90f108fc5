//! Templates: chunks that need no parser are decoded as the parser would decode them.

use inferstream_core::sse::Decoder;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fixtures,
    twice::{CHUNKS, EVENTS, decode},
};

/// Makes frames of one form, with these texts and other strings.
fn fill(form: &str, strings: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let fill = |(text, other): &(&str, &str)| form.replace('%', other).replace('@', text);
    strings
        .iter()
        .map(|strings| ("message", fill(strings)))
        .collect()
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
    assert_eq!(decode(&fill(form, &strings), 1), known, "{form}");
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
fn strings_that_the_parser_skips_may_differ() {
    // The second and the last chunk are like the one before; the third shows that the string differs.
    check(
        r#"{"choices":[{"delta":{"content":"@"}}],"object":"o","obfuscation":"%"}"#,
        3,
    );
    check(r#"{"p":"%","choices":[{"delta":{"content":"@"}}]}"#, 3);
    // Not where it may be content, where it has a meaning, or within other values.
    check(r#"{"choices":[{"delta":{"content":"@","audio":"%"}}]}"#, 0);
    check(r#"{"id":"%","choices":[{"delta":{"content":"@"}}]}"#, 1);
    check(r#"{"choices":[{"delta":{"content":"@"}}],"p":["%"]}"#, 1);
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
        r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
        r#"{"time_info":{"queue_time":1}}"#,
    ] {
        let mut frames = fill(a, &strings);
        frames.push(("message", other.to_owned()));
        frames.extend(fill(a, &strings));
        // The first of each pair is parsed.
        assert_eq!(decode(&frames, 1), 2, "{other}");
        frames[2].1 = r#"{"choices":[]}"#.to_owned();
        assert_eq!(decode(&frames, 1), 3, "{other}");
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
            "\"usage\":{},"
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::option::weighted(0.1, (any::<usize>(), what))
}

/// A run of chunks of one form.
fn run() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let strings = vec((text(), text(), mutation()), 1..5);
    let event = prop_oneof![9 => Just("message"), 1 => select(EVENTS)];
    (select(CHUNKS), event, strings).prop_map(|(form, event, strings)| {
        let fill = |(text, other, mutation): (String, String, Option<(usize, String)>)| {
            let mut chunk = form.replace('%', &other).replace('@', &text);
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
        strings.into_iter().map(fill).collect()
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
