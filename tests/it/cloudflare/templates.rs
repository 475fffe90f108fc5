//! Templates: chunks that need no parser are decoded as the parser would decode them.

use inferstream_cloudflare::ErrorKind;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{ENDPOINTS, run, stream_of};
use crate::{chat::twice::fill, support::sse};

/// Native chunks, compatible ones, and both in one; `@` is a text, `%` another string and `#` a number.
const CHUNKS: &[&str] = &[
    r#"{"response":"@"}"#,
    r#"{"response":"@","p":"%"}"#,
    r#"{"response":"@","p":"%","usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    r#"{"response":"@","tool_calls":[],"p":"%"}"#,
    r#"{"response":"@","reasoning":"%"}"#,
    r#"{"response":"@","finish_reason":"%"}"#,
    r#"{"response":"@","finish_reason":"unknown"}"#,
    r#"{"response":"@","tool_calls":[{"name":"f","arguments":{"a":"%"}}]}"#,
    r#"{"response":"@","error":"%"}"#,
    r#"{"response":"%","response":"@"}"#,
    r#"{"response":"@","response":"%"}"#,
    r#"{"response":"@","choices":[]}"#,
    r#"{"response":1}"#,
    r#"{"choices":[{"delta":{"content":"@"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"text":"@"}]}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"p":"%"}"#,
    r#"{"choices":[{"delta":{"reasoning_content":"@"}}],"p":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":0,"completion_tokens":1}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"response":"@"}"#,
    r#"{"choices":[{"delta":{"content":""}}],"response":"@"}"#,
    r#"{"choices":[{"text":"@","delta":{"content":""}}],"response":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"finish_reason":"%"}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"tool_calls":[{"name":"f"}]}"#,
    r#"{"choices":[{"delta":{"content":"@","tool_calls":[{"index":0,"function":{"name":"f"}}]}}]}"#,
    r#"{"choices":[{"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
    r#"{"result":{"response":"@"}}"#,
    r#"{"response":"@","p":#,"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    r#"{"response":"@","p":#}"#,
    r#"{"response":"@","p":{"q":[#]}}"#,
    r#"{"response":"@","usage":{"prompt_tokens":1,"completion_tokens":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"p":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"p":{"q":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"usage":{"prompt_tokens":0,"completion_tokens":#,"total_tokens":#}}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"result":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"internalCode":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"response":#}"#,
    r#"{"choices":[{"delta":{"content":"@"}}],"success":#}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":#,"completion_tokens":#}}"#,
];

/// Reads the chunks in a stream, and returns its events and its end.
fn read(chunks: &[String], at: usize) -> (Vec<String>, Option<ErrorKind>) {
    let chunks: Vec<_> = chunks.iter().map(String::as_str).collect();
    let answer = stream_of(sse(&chunks) + "data: [DONE]\n\n");
    let outcome = run(ENDPOINTS[at], answer);
    (outcome.lines(), outcome.kind())
}

/// Checks that the chunks have the same events as chunks to which no template applies, because each
/// has another member that has no meaning.
fn check(chunks: &[String]) {
    let unlike = chunks.iter().enumerate().map(|(at, chunk)| {
        let number = format!("{{\"n{at}\":0,\"");
        chunk.replacen("{\"", &number, 1)
    });
    let unlike: Vec<_> = unlike.collect();
    for at in 0..ENDPOINTS.len() {
        assert_eq!(read(chunks, at), read(&unlike, at), "{chunks:#?}");
    }
}

#[test]
fn each_form_is_decoded_as_by_the_parser() {
    for form in CHUNKS {
        let values = [
            ("a", "x", "1"),
            ("b", "x", "2"),
            ("c", "y", "30"),
            ("\\n", "z", "4"),
            ("d", "", "null"),
            ("", "x", "1.5"),
            ("e", "x", "{\"a\":1}"),
        ];
        check(&values.map(|(text, other, number)| fill(form, text, other, number)));
    }
}

#[test]
fn members_of_the_service_are_not_skipped() {
    // The first chunks make `p` differ, and the next have another member in its place.
    for member in ["result", "internalCode", "output", "finish_reason"] {
        let chunk = |name: &str, value: &str| {
            format!(r#"{{"choices":[{{"delta":{{"content":"a"}}}}],"{name}":{value}}}"#)
        };
        for value in ["{\"x\":1}", "7", "\"unknown\""] {
            check(&[
                chunk("p", "1"),
                chunk("p", "2"),
                chunk(member, "null"),
                chunk(member, "null"),
                chunk(member, value),
            ]);
        }
    }
}

#[test]
fn halves_of_characters_keep_their_order() {
    let chunks = ["a", "b", "\\ud83d", "\\ude00", "c", "d"];
    check(&chunks.map(|text| format!("{{\"response\":\"{text}\"}}")));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zé😀 ]{0,9}",
        1 => "[\"\\\\{}\\[\\]:,u/nd8e0]{0,6}",
        1 => select(vec!["\\n", "\\ud83d", "\\ude00", "\\\\", "unknown", "NaN", "stop", "tool_calls"])
            .prop_map(str::to_owned),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..1_000_u32).prop_map(|number| number.to_string()),
        1 => select(vec!["null", "-1", "01", "1.5", "{}", "{\"a\":[1]}", "\"\\ud83d\"", "99999999999999999999"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn any_chunks_are_decoded_as_by_the_parser(
        runs in vec((select(CHUNKS), vec((text(), text(), number()), 1..5)), 1..5),
    ) {
        let mut chunks = Vec::new();
        for (form, values) in runs {
            for (text, other, number) in values {
                chunks.push(fill(form, &text, &other, &number));
            }
        }
        check(&chunks);
    }
}
