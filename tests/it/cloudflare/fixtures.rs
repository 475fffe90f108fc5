//! Recorded answers and their events, and the rule for an answer that is cut anywhere.

use std::{env, fs, path::PathBuf};

use inferstream_cloudflare::{Door, ErrorKind};
use serde_json::json;

use super::{Answer, DOORS, Outcome, broken, piece, run, sse, stream_of};
use crate::support::Piece;

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// File, status, content type.
const FIXTURES: &[(&str, u16, &str)] = &[
    ("t-cf-5.sse", 200, SSE),
    ("t-cf-6.sse", 200, SSE),
    ("t-cf-7.sse", 200, SSE),
    ("t-cf-8.sse", 200, SSE),
    ("t-cf-9.json", 200, JSON),
    ("t-cf-9-bare.json", 200, JSON),
    ("t-cf-10.json", 429, JSON),
    ("t-cf-10-rest.json", 429, JSON),
    ("t-cf-11.json", 401, JSON),
    ("t-cf-12.json", 400, JSON),
];

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", "cloudflare", name]
        .iter()
        .collect()
}

pub(super) fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The streams, for those who bend them.
pub(super) fn streams() -> Vec<Vec<u8>> {
    let streams = FIXTURES
        .iter()
        .filter(|(_, _, content_type)| *content_type == SSE);
    streams.map(|(name, ..)| read(name)).collect()
}

fn answer(
    (_, status, content_type): &(&str, u16, &str),
    pieces: impl IntoIterator<Item = Piece>,
) -> Answer {
    Answer::new(*status, pieces).header("content-type", *content_type)
}

/// Returns the events one by line, and the end.
pub(super) fn transcript(outcome: &Outcome) -> String {
    let end = match &outcome.end {
        Ok(response) => json!({ "end": response.end }),
        Err(error) => json!({
            "error": error.kind().as_str(),
            "status": error.status().map(|status| status.as_u16()),
            "code": error.code(),
            "line": error.to_string(),
            "retryable": error.is_retryable(),
        }),
    };
    let mut lines = super::lines(&outcome.events);
    lines.push(end.to_string());
    lines.join("\n") + "\n"
}

#[test]
fn recorded_answers_give_their_events() {
    for fixture in FIXTURES {
        let name = fixture.0;
        let found = DOORS.map(|door| {
            let outcome = run(door, answer(fixture, [piece(&read(name))]));
            transcript(&outcome)
        });
        let [found, other] = found;
        assert_eq!(found, other, "{name}: both doors read alike");
        let beside = path(name).with_extension("events");
        if env::var_os("UPDATE").is_some() {
            fs::write(&beside, &found).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(found, expected, "{name}; UPDATE=1 writes what was found");
    }
}

#[test]
fn every_fixture_is_in_the_table() {
    for entry in fs::read_dir(path("")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let known = FIXTURES.iter().any(|(known, ..)| *known == file);
        assert!(known || file.ends_with(".events"), "{file} is not run");
    }
}

#[test]
fn where_a_recorded_answer_is_split_does_not_matter() {
    for fixture in FIXTURES {
        let name = fixture.0;
        let bytes = read(name);
        let run = |pieces: Vec<Piece>| transcript(&run(Door::ByModel, answer(fixture, pieces)));
        let expected = run(vec![piece(&bytes)]);
        assert_eq!(
            run(bytes.chunks(1).map(piece).collect()),
            expected,
            "{name} byte by byte"
        );
        for place in 1..bytes.len() {
            let (left, right) = bytes.split_at(place);
            assert_eq!(
                run(vec![piece(left), piece(right)]),
                expected,
                "{name} in two at {place}"
            );
        }
    }
}

#[test]
fn line_ends_and_a_mark_do_not_matter() {
    for bytes in streams() {
        let text = String::from_utf8(bytes).unwrap();
        let expected = transcript(&run(Door::ByModel, stream_of(&text)));
        for end in ["\r\n", "\r"] {
            let text = text.replace('\n', end);
            let found = run(Door::ByModel, stream_of(&text));
            assert_eq!(transcript(&found), expected, "{end:?}");
            let bytes = text.as_bytes();
            let found = run(Door::ByModel, Answer::sse(bytes.chunks(1).map(piece)));
            assert_eq!(transcript(&found), expected, "{end:?} byte by byte");
        }
        let text = ["\u{feff}", &text].concat();
        let found = run(
            Door::ByModel,
            Answer::sse(text.as_bytes().chunks(1).map(piece)),
        );
        assert_eq!(transcript(&found), expected, "with a mark");
    }
}

/// What can be known of the beginning of a stream without the code under test.
#[derive(Debug, Default)]
struct Beginning {
    /// How many whole frames it has.
    frames: usize,
    /// A finish reason came.
    finished: bool,
    end: Option<Ended>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    /// By the end marker.
    Announced,
    /// The service reported an error.
    Error,
    /// The marker came, without the blank line.
    MarkerCut,
}

/// Judges a beginning of a stream, whose JSON has no blanks.
fn judge(bytes: &[u8]) -> Beginning {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim_start_matches('\u{feff}');
    let mut beginning = Beginning::default();
    let mut frame = String::new();
    for line in text.split_inclusive('\n') {
        if line != "\n" {
            frame.push_str(line);
            continue;
        }
        beginning.frames += 1;
        beginning.finished |= frame.contains("\"finish_reason\":\"");
        if is_marker(&frame) {
            beginning.end = Some(Ended::Announced);
        } else if frame.contains("{\"error\":") || frame.contains("{\"errors\":") {
            beginning.end = Some(Ended::Error);
        }
        if beginning.end.is_some() {
            return beginning;
        }
        frame.clear();
    }
    if is_marker(&frame) {
        beginning.end = Some(Ended::MarkerCut);
    }
    beginning
}

fn is_marker(frame: &str) -> bool {
    let data = frame.lines().last().unwrap_or_default();
    let data = data.strip_prefix("data:").unwrap_or(data).trim_start();
    data.starts_with("[DONE]")
}

/// Checks a stream cut at every byte, with a clean end there and with a broken connection.
///
/// The rule: what came in whole frames is delivered, nothing else is.
/// A clean end is a success after a finish reason or the end marker, else `Truncated`; a broken
/// connection is a success only where the protocol had announced the end, else `Truncated`.
#[track_caller]
fn check_cuts(name: &str, door: Door, bytes: &[u8]) {
    let whole = run(door, stream_of(bytes));
    let whole_lines = whole.content();
    let mut before = (0, Vec::new());
    for place in 0..=bytes.len() {
        let beginning = judge(&bytes[..place]);
        let at = format!("{name} cut at {place}: {beginning:?}");
        let clean = run(door, stream_of(&bytes[..place]));
        let expected = match (beginning.end, beginning.finished) {
            (Some(Ended::Error), _) => Some(ErrorKind::Provider),
            (None, false) => Some(ErrorKind::Truncated),
            _ => None,
        };
        assert_eq!(clean.kind(), expected, "{at}, clean");

        let cut = run(door, Answer::sse([piece(&bytes[..place]), broken()]));
        let expected = match beginning.end {
            Some(Ended::Error) => Some(ErrorKind::Provider),
            Some(Ended::Announced) => None,
            _ => Some(ErrorKind::Truncated),
        };
        assert_eq!(cut.kind(), expected, "{at}, broken");

        let lines = clean.content();
        assert_eq!(lines, cut.content(), "{at}");
        assert_eq!(lines, whole_lines[..lines.len()], "{at}");
        if beginning.frames == before.0 {
            assert_eq!(lines, before.1, "{at}: a frame that is not whole");
        }
        if matches!(beginning.end, Some(Ended::Announced | Ended::Error)) {
            assert_eq!(lines, whole_lines, "{at}: all had come");
        }
        before = (beginning.frames, lines);
    }
}

#[test]
fn a_recorded_stream_cut_at_any_byte_is_never_taken_for_whole() {
    for (name, ..) in FIXTURES
        .iter()
        .filter(|(_, _, content_type)| *content_type == SSE)
    {
        check_cuts(name, Door::ByModel, &read(name));
    }
}

#[test]
fn a_stream_of_either_door_cut_at_any_byte_is_never_taken_for_whole() {
    let calls = sse(&[
        r#"{"response":"a","p":"x"}"#,
        r#"{"tool_calls":[{"name":"add","arguments":{"a":1}}]}"#,
        r#"{"tool_calls":[{"id":"call123","type":"function","index":1,"function":{"name":"g","arguments":"{}"}}]}"#,
        r#"{"finish_reason":"tool_calls"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
        "[DONE]",
    ]);
    let twice = sse(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ]);
    let tail_alone = sse(&[
        r#"{"response":"a"}"#,
        r#"{"response":"","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    ]);
    let bare = r#"data: {"response":"é😀"}"#.to_owned() + "\n\n[DONE]\n\n";
    let error = sse(&[
        r#"{"response":"a"}"#,
        r#"{"error":{"message":"boom","code":7009}}"#,
        "[DONE]",
    ]);
    let errors = sse(&[
        r#"{"response":"a"}"#,
        r#"{"errors":[{"code":3040,"message":"busy"}],"success":false,"result":{},"messages":[]}"#,
        "[DONE]",
    ]);
    for door in DOORS {
        for (name, text) in [
            ("calls", &calls),
            ("two reasons", &twice),
            ("the tail alone", &tail_alone),
            ("a bare marker", &bare),
            ("an error", &error),
            ("errors", &errors),
        ] {
            check_cuts(name, door, text.as_bytes());
        }
        check_cuts("with CRLF", door, calls.replace('\n', "\r\n").as_bytes());
        check_cuts("with CR", door, twice.replace('\n', "\r").as_bytes());
        check_cuts(
            "with a mark",
            door,
            ["\u{feff}", &calls].concat().as_bytes(),
        );
    }
}

#[test]
fn recorded_answers_say_what_the_documents_say() {
    let of = |name: &str| {
        let fixture = FIXTURES.iter().find(|(known, ..)| *known == name).unwrap();
        run(Door::ByModel, answer(fixture, [piece(&read(name))]))
    };
    let outcome = of("t-cf-5.sse");
    assert_eq!(outcome.text(), "Hello chunk1");
    assert_eq!(outcome.usage(), [Some(10), Some(2), Some(12)]);
    assert_eq!(outcome.reason(), "stop");
    assert!(outcome.response().tool_calls().is_empty());

    let outcome = of("t-cf-6.sse");
    assert_eq!(outcome.text(), "أ");
    assert_eq!(outcome.usage(), [Some(147), Some(16), Some(163)]);
    assert_eq!(outcome.response().usage.unwrap().cached_tokens, Some(0));
    assert_eq!(outcome.reason(), "stop");
    assert_eq!(outcome.reasoning(), "");

    let outcome = of("t-cf-7.sse");
    assert_eq!(outcome.text(), "Count1true");
    assert_eq!(outcome.reason(), "stop");

    let outcome = of("t-cf-8.sse");
    assert_eq!(outcome.text(), "A cow is cool");
    assert_eq!(outcome.reasoning(), "Okay, the user");
    assert_eq!(outcome.usage(), [Some(15), Some(1), Some(16)]);
    assert_eq!(outcome.reason(), "stop");

    for name in ["t-cf-9.json", "t-cf-9-bare.json"] {
        let outcome = of(name);
        assert_eq!(outcome.text(), "أهلا");
        assert_eq!(outcome.usage(), [Some(147), Some(16), Some(163)]);
        assert_eq!(outcome.reason(), "stop");
        let model = outcome.response().model.as_deref();
        assert_eq!(model, Some("@cf/google/gemma-4-26b-a4b-it-external"));
    }

    for name in ["t-cf-10.json", "t-cf-10-rest.json"] {
        let outcome = of(name);
        assert_eq!(outcome.kind(), Some(ErrorKind::Quota));
        assert_eq!(outcome.attempts, 1);
        assert!(!outcome.error().is_retryable());
        assert_eq!(outcome.error().code(), Some("4006"));
        let message = outcome.error().to_string();
        assert!(
            message.contains("you have used up your daily free"),
            "{message}"
        );
    }

    let outcome = of("t-cf-11.json");
    assert_eq!(outcome.kind(), Some(ErrorKind::Auth));
    assert_eq!(outcome.error().code(), Some("10000"));
    assert_eq!(
        outcome.error().provider_message(),
        Some("Authentication error")
    );

    let outcome = of("t-cf-12.json");
    assert_eq!(outcome.kind(), Some(ErrorKind::ContentFilter));
    assert_eq!(outcome.error().code(), Some("8007"));
    let message = outcome.error().to_string();
    assert!(message.contains("Input prompt contains NSFW"), "{message}");
}
