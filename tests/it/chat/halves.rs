//! Surrogate pairs split into two escapes.

use inferstream_core::{ChatEvent, ChatRequest};

use super::{
    Answer, Client, FINISH, chunks, ends::SECOND_FINISH, frames, piece, run, run_request, sse,
    tolerance::check,
};

#[test]
fn halves_of_surrogate_pairs_are_joined_over_chunks() {
    let chunk =
        |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    for (pieces, text) in [
        (&["\\ud83d", "\\ude00"][..], "😀"),
        (&["x\\uD83D", "\\uDE00y"], "x😀y"),
        (&["\\ud83d\\ude00\\ud83d", "\\ude00"], "😀😀"),
        (&["\\ud83d", "", "\\ude00"], "😀"),
        (&["\\ud83d\\ude00"], "😀"),
        (&["\\ude00"], "\u{fffd}"),
        (&["\\ud83dx"], "\u{fffd}x"),
        (&["\\ud83d\\ud83d\\ude00"], "\u{fffd}😀"),
        (&["\\\\ud83d"], "\\ud83d"),
        (&["\\\\\\ud83d\\ude00"], "\\😀"),
        (&["\\ud83d\\n"], "\u{fffd}\n"),
    ] {
        let list: Vec<_> = pieces.iter().map(|piece| chunk(piece)).collect();
        let list: Vec<_> = list.iter().map(String::as_str).collect();
        check(&list, text);
    }
}

#[test]
fn halves_in_unknown_members_are_ignored() {
    check(
        &[r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":"\ud83dab"}"#],
        "x",
    );
    check(
        &[r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"\ud83d":1}"#],
        "x",
    );
}

pub(super) fn chunk(choice: u32, name: &str, text: &str) -> String {
    format!(r#"{{"choices":[{{"index":{choice},"delta":{{"{name}":"{text}"}}}}]}}"#)
}

#[test]
fn a_lone_half_is_a_replacement_character() {
    let list = [chunk(0, "content", "x\\ud83d"), chunk(0, "content", "y")];
    let outcome = chunks(&[&list[0], &list[1], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y");
}

#[test]
fn halves_far_apart_are_not_joined() {
    let list = [
        chunk(0, "content", "x\\ud83d"),
        chunk(0, "content", "y"),
        chunk(0, "content", "\\ude00"),
    ];
    let outcome = chunks(&[&list[0], &list[1], &list[2], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y\u{fffd}");
}

#[test]
fn halves_of_two_choices_are_not_mixed() {
    let list = [
        chunk(0, "content", "\\ud83d"),
        chunk(1, "content", "\\ud83c"),
        chunk(0, "content", "\\ude00"),
        chunk(1, "content", "\\udf00"),
    ];
    let mut refs: Vec<&str> = list.iter().map(String::as_str).collect();
    refs.extend([FINISH, SECOND_FINISH]);
    let outcome = run_request(
        Client::Plain,
        Answer::sse([frames(&refs)]),
        ChatRequest::from("hi").n(2),
    );
    assert_eq!(
        (outcome.text(), outcome.text_of(1)),
        ("😀".to_owned(), "🌀".to_owned())
    );
}

#[test]
fn a_half_in_an_unknown_member_does_not_join_text() {
    let list = [
        r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"obfuscation":"ab\ud83d"}"#.to_owned(),
        chunk(0, "content", "\\ude00y"),
    ];
    let outcome = chunks(&[&list[0], &list[1], FINISH]);
    assert_eq!(outcome.text(), "x\u{fffd}y");
}

#[test]
fn a_half_at_the_end_of_a_document_is_replaced() {
    let outcome = run(
        Client::Plain,
        Answer::json(
            200,
            r#"{"choices":[{"message":{"content":"x\ud83d"},"finish_reason":"stop"}]}"#,
        ),
    );
    assert_eq!(outcome.text(), "x\u{fffd}");
}

#[test]
fn raw_chunks_keep_halves() {
    let list = [
        chunk(0, "content", "\\ud83d"),
        chunk(0, "content", "\\ude00"),
    ];
    let bytes = sse(&[&list[0], &list[1], FINISH]);
    let outcome = run_request(
        Client::Plain,
        Answer::sse([piece(bytes.as_bytes())]),
        ChatRequest::from("hi").raw(true),
    );
    let raw: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|e| match e {
            ChatEvent::Raw { chunk, .. } => Some(chunk.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(raw, [list[0].clone(), list[1].clone(), FINISH.to_owned()]);
}
