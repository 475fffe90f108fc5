//! Templates: chunks that need no parser are decoded as the parser would decode them.

use inferstream_cloudflare::ErrorKind;
use proptest::{collection::vec, prelude::*, sample::select};

use super::{ENDPOINTS, run, stream_of};
use crate::support::sse;

/// Native chunks, compatible ones, and both in one; `@` is a text and `%` another string.
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
        let texts = [
            ("a", "x"),
            ("b", "x"),
            ("c", "y"),
            ("\\n", "z"),
            ("d", ""),
            ("", "x"),
        ];
        let fill = |(text, other): &(&str, &str)| form.replace('%', other).replace('@', text);
        check(&texts.iter().map(fill).collect::<Vec<_>>());
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

proptest! {
    #[test]
    fn any_chunks_are_decoded_as_by_the_parser(
        runs in vec((select(CHUNKS), vec((text(), text()), 1..5)), 1..5),
    ) {
        let mut chunks = Vec::new();
        for (form, texts) in runs {
            for (text, other) in texts {
                chunks.push(form.replace('%', &other).replace('@', &text));
            }
        }
        check(&chunks);
    }
}
