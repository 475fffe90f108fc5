//! Deltas that contain the complete text so far: each part is returned once.

use inferstream_core::{ErrorKind, Phase};
use inferstream_test::Piece;

use super::{Answer, Client, FINISH, Outcome, chunks, plain_stream, run, sse};

/// Returns a chunk whose delta has this text as this member.
fn delta(name: &str, text: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!(r#"{{"choices":[{{"index":0,"delta":{{"{name}":{text}}}}}]}}"#)
}

fn read(name: &str, texts: &[&str]) -> Outcome {
    let mut list: Vec<_> = texts.iter().map(|text| delta(name, text)).collect();
    list.push(FINISH.to_owned());
    chunks(&list.iter().map(String::as_str).collect::<Vec<_>>())
}

/// `DashScope` sends the text so far in each delta (QwenLM/qwen-code#3896), and `MiniMax` the
/// reasoning so far (can1357/oh-my-pi#2434).
#[test]
fn each_snapshot_adds_its_new_part() {
    for list in [
        &["The user", "The user says", "The user says hi"][..],
        &[
            "The user",
            "The user says",
            "",
            "The user says hi",
            "The user says hi",
        ],
        &["T", "Th", "The u", "The user s", "The user says hi"],
    ] {
        let warning = |what| {
            format!("each chunk repeated the {what} before it: only the new part of each was kept")
        };
        let outcome = read("content", list);
        assert_eq!(outcome.text(), "The user says hi");
        assert_eq!(outcome.response().meta.warnings, [warning("text")]);
        let outcome = read("reasoning_content", list);
        assert_eq!(outcome.response().reasoning(), "The user says hi");
        assert_eq!(outcome.response().meta.warnings[0], warning("reasoning"));
    }
}

#[test]
fn parts_with_the_same_beginning_are_parts() {
    for list in [
        &["ha", "haha", "hahaha", "hahahaha"][..],
        &["\n", "\n*******", "\n********", "\n*********"],
        &["1", "12", "123", "4"],
        &["看", "看书", "吧"],
        &["Hel", "Hello world", "Hello"],
        &["one line\n", "one line\none line\n"],
        &["a", "b", "ab", "abab"],
    ] {
        let outcome = read("content", list);
        assert_eq!(outcome.text(), list.concat());
        assert_eq!(outcome.response().meta.warnings, [""; 0], "{list:?}");
    }
}

#[test]
fn text_that_may_be_a_copy_is_kept_and_reported() {
    // A last delta that repeats the complete text (camel-ai/camel#4292).
    for list in [
        &["Hello", " there, world", "Hello there, world"][..],
        &["Hello there, world", "Hello there, world"],
        &["Hello there", "Hello there, world"],
    ] {
        let outcome = read("content", list);
        assert_eq!(outcome.text(), list.concat());
        assert_eq!(
            outcome.response().meta.warnings,
            ["a chunk repeated all text before it: the response may hold the same text twice"]
        );
    }
}

#[test]
fn a_held_part_is_delivered_before_an_error() {
    let parts = [delta("content", "Hello"), delta("content", "Hello you")];
    let error = r#"{"error":{"message":"boom"}}"#;
    let [first, second] = parts.each_ref().map(String::as_str);
    for (list, kind) in [
        (&[first, second][..], ErrorKind::Truncated),
        (&[first, second, error], ErrorKind::Provider),
    ] {
        let outcome = plain_stream(sse(list));
        assert_eq!(outcome.kind(), Some(kind));
        let partial = outcome.error().partial().unwrap();
        assert_eq!(partial.text(), "HelloHello you");
    }
}

/// Whatever ends the response, the text that arrived before is delivered.
#[test]
fn a_held_part_is_delivered_before_each_kind_of_error() {
    let (first, second) = (delta("content", "a"), delta("content", "ab"));
    let both = sse(&[&*first, &*second]);
    let finish = sse(&[FINISH]);
    let cut = &first[..first.len() - 5];
    for (list, expected) in [
        (vec![Piece::Hang], ErrorKind::Timeout(Phase::Idle)),
        (vec![Piece::disconnect()], ErrorKind::Truncated),
        (
            vec![Piece::from("event: error\ndata: m\n\n")],
            ErrorKind::Provider,
        ),
        (vec![Piece::from("data: {\"a\n\n")], ErrorKind::Protocol),
        // The finish reason came, but the response goes on with more text.
        (
            vec![Piece::from(format!("{finish}data: {cut}"))],
            ErrorKind::Truncated,
        ),
        (
            vec![Piece::from(format!("data: {}", "a".repeat(20 << 20)))],
            ErrorKind::TooLarge,
        ),
    ] {
        let pieces = [Piece::from(both.as_str())].into_iter().chain(list);
        let outcome = run(Client::Plain, Answer::sse(pieces));
        assert_eq!(outcome.kind(), Some(expected), "{:?}", outcome.end);
        assert_eq!(outcome.text(), "aab", "{expected:?}");
        let kept = outcome
            .error()
            .partial()
            .map(inferstream_core::ChatResponse::text);
        assert_eq!(kept, Some("aab"), "{expected:?}");
    }
}

#[test]
fn a_final_message_decides_the_meaning_of_two_deltas() {
    let whole = |text: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":"{text}"}},"finish_reason":"stop"}}]}}"#
        )
    };
    let parts = [delta("content", "Hello"), delta("content", "Hello you")];
    for text in ["Hello you", "HelloHello you"] {
        let outcome = chunks(&[&parts[0], &parts[1], &whole(text)]);
        assert_eq!(outcome.text(), text);
    }
}

#[test]
fn no_text_is_lost_or_doubled_without_a_warning() {
    let mut state = 7_u64;
    let mut next = |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % bound
    };
    for _ in 0..300 {
        let count = 1 + next(5);
        let parts: Vec<String> = (0..count)
            .map(|_| {
                (0..=next(12))
                    .map(|_| match next(3) {
                        0 => 'a',
                        1 => 'b',
                        _ => ' ',
                    })
                    .collect()
            })
            .collect();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let outcome = read("content", &parts);
        let is_reported = !outcome.response().meta.warnings.is_empty();
        assert!(outcome.text() == parts.concat() || is_reported, "{parts:?}");
    }
}
