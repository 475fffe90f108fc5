//! Recorded answers and their events, and the rule for an answer that is cut anywhere.

use std::{env, fs, path::PathBuf};

use inferstream_core::{ErrorKind, FinishReason};
use serde_json::json;

use super::{Answer, Client, Outcome, broken, piece, run};

const SSE: &str = "text/event-stream; charset=utf-8";
const JSON: &str = "application/json";

/// File, who asked, content type; the status of all is 200.
const FIXTURES: &[(&str, Client, &str)] = &[
    ("cerebras/t-cb-1.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-2.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-3.sse", Client::Cerebras, SSE),
    ("cerebras/t-cb-4.json", Client::Cerebras, JSON),
    ("cerebras/t-cb-4-reasoning.json", Client::Cerebras, JSON),
    ("cerebras/t-cb-6.sse", Client::Cerebras, SSE),
    ("openai-compat/u-01.json", Client::Plain, JSON),
    ("openai-compat/u-02.sse", Client::Plain, SSE),
    ("openai-compat/u-03.sse", Client::Plain, SSE),
    ("openai-compat/u-07.sse", Client::Plain, SSE),
    ("openai-compat/u-08.sse", Client::Plain, SSE),
    ("openai-compat/u-09.sse", Client::Plain, SSE),
    ("openai-compat/u-10.sse", Client::Plain, SSE),
    ("openai-compat/u-11.sse", Client::Plain, SSE),
    ("openai-compat/u-12.sse", Client::Plain, SSE),
    ("openai-compat/u-13.sse", Client::Plain, SSE),
    ("openai-compat/u-14.sse", Client::Plain, SSE),
    ("openai-compat/u-15.sse", Client::Plain, SSE),
    ("openai-compat/u-16.sse", Client::Plain, SSE),
    ("openai-compat/u-19.sse", Client::Plain, SSE),
    ("openai-compat/u-20.sse", Client::Plain, SSE),
    ("openai-compat/u-21.sse", Client::Plain, "text/x-unknown"),
    ("openai-compat/u-22.json", Client::Plain, JSON),
    ("openai-compat/u-25.sse", Client::Plain, SSE),
    ("openai-compat/u-26.sse", Client::Plain, SSE),
    ("openai-compat/u-27.sse", Client::Plain, SSE),
];

fn is_stream(name: &str) -> bool {
    path(name)
        .extension()
        .is_some_and(|extension| extension == "sse")
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fixtures", name]
        .iter()
        .collect()
}

pub(super) fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The streams, for those who bend them.
pub(super) fn streams() -> Vec<(Client, Vec<u8>)> {
    let streams = FIXTURES.iter().filter(|(name, ..)| is_stream(name));
    streams
        .map(|(name, client, _)| (*client, read(name)))
        .collect()
}

fn answer(content_type: &str, pieces: impl IntoIterator<Item = crate::support::Piece>) -> Answer {
    Answer::new(200, pieces).header("content-type", content_type)
}

/// Returns the events one by line, and the end.
fn transcript(outcome: &Outcome) -> String {
    let end = match &outcome.end {
        Ok(response) => json!({ "end": response.end }),
        Err(error) => json!({
            "error": error.kind().as_str(),
            "status": error.status().map(|status| status.as_u16()),
            "code": error.code(),
            "message": error.provider_message(),
            "retryable": error.is_retryable(),
        }),
    };
    let mut lines = outcome.lines();
    lines.push(end.to_string());
    lines.join("\n") + "\n"
}

#[test]
fn recorded_answers_give_their_events() {
    for (name, client, content_type) in FIXTURES {
        let outcome = run(*client, answer(content_type, [piece(&read(name))]));
        let found = transcript(&outcome);
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
    for folder in ["cerebras", "openai-compat"] {
        for entry in fs::read_dir(path(folder)).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            let name = format!("{folder}/{file}");
            let known = FIXTURES.iter().any(|(known, ..)| *known == name);
            assert!(known || name.ends_with(".events"), "{name} is not run");
        }
    }
}

#[test]
fn where_a_recorded_answer_is_split_does_not_matter() {
    for (name, client, content_type) in FIXTURES {
        let bytes = read(name);
        let expected = transcript(&run(*client, answer(content_type, [piece(&bytes)])));
        let found = run(
            *client,
            answer(content_type, bytes.chunks(1).map(piece).collect::<Vec<_>>()),
        );
        assert_eq!(transcript(&found), expected, "{name} byte by byte");
        for place in 1..bytes.len() {
            let (left, right) = bytes.split_at(place);
            let found = run(*client, answer(content_type, [piece(left), piece(right)]));
            assert_eq!(transcript(&found), expected, "{name} in two at {place}");
        }
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
    /// By the protocol: the marker, or at Cerebras finish reason and usage in one chunk.
    Announced,
    /// The service reported an error.
    Error,
    /// The marker came, without the blank line.
    MarkerCut,
}

/// Judges a beginning of a fixture, whose JSON has no blanks.
fn judge(client: Client, bytes: &[u8]) -> Beginning {
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
        let reason = frame.contains("\"finish_reason\":\"");
        beginning.finished |= reason;
        let usage = client == Client::Cerebras && frame.contains("\"usage\":{");
        if is_marker(&frame) || reason && usage {
            beginning.end = Some(Ended::Announced);
        } else if frame.contains("event: error") || frame.contains("{\"error\":") {
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
    data.starts_with("[DONE]") || data.starts_with("\"[DONE]\"")
}

/// Checks a stream cut at every byte, with a clean end there and with a broken connection.
///
/// The rule: what came in whole frames is delivered, nothing else is.
/// A clean end is a success after a finish reason or the end marker, else `Truncated`; a broken
/// connection is a success only where the protocol had announced the end, else `Truncated`.
#[track_caller]
pub(super) fn check_cuts(name: &str, client: Client, bytes: &[u8]) {
    let whole = run(client, Answer::sse([piece(bytes)]));
    let whole_lines = super::lines(&whole.content());
    let mut before = (0, Vec::new());
    for place in 0..=bytes.len() {
        let beginning = judge(client, &bytes[..place]);
        let at = format!("{name} cut at {place}: {beginning:?}");
        let clean = run(client, Answer::sse([piece(&bytes[..place])]));
        let expected = match (beginning.end, beginning.finished) {
            (Some(Ended::Error), _) => Some(ErrorKind::Provider),
            (None, false) => Some(ErrorKind::Truncated),
            _ => None,
        };
        assert_eq!(clean.kind(), expected, "{at}, clean");

        let cut = run(client, Answer::sse([piece(&bytes[..place]), broken()]));
        let expected = match beginning.end {
            Some(Ended::Error) => Some(ErrorKind::Provider),
            Some(Ended::Announced) => None,
            _ => Some(ErrorKind::Truncated),
        };
        assert_eq!(cut.kind(), expected, "{at}, broken");

        let lines = super::lines(&clean.content());
        assert_eq!(lines, super::lines(&cut.content()), "{at}");
        assert_eq!(lines, whole_lines[..lines.len()], "{at}");
        assert!(whole.text().starts_with(&clean.text()), "{at}");
        if beginning.frames == before.0 {
            assert_eq!(lines, before.1, "{at}: a frame that is not whole");
        }
        if matches!(beginning.end, Some(Ended::Announced | Ended::Error)) {
            assert_eq!(lines, whole_lines, "{at}: all had come");
        }
        if let Ok(response) = &clean.end {
            let reason = response.finish_reason().unwrap();
            assert_eq!(
                *reason == FinishReason::Unknown,
                !beginning.finished,
                "{at}"
            );
        }
        before = (beginning.frames, lines);
    }
}

#[test]
fn a_recorded_stream_cut_at_any_byte_is_never_taken_for_whole() {
    for (name, client, _) in FIXTURES.iter().filter(|(name, ..)| is_stream(name)) {
        check_cuts(name, *client, &read(name));
    }
}

#[test]
fn line_ends_of_any_kind_are_cut_alike() {
    let text = String::from_utf8(read("openai-compat/u-11.sse")).unwrap();
    for end in ["\r\n", "\r"] {
        let text = text.replace('\n', end);
        check_cuts(end, Client::Plain, text.as_bytes());
        let found = run(Client::Plain, Answer::sse([piece(text.as_bytes())]));
        let expected = fs::read_to_string(path("openai-compat/u-11.events")).unwrap();
        assert_eq!(transcript(&found), expected, "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_cut_as_any_byte() {
    let mut bytes = b"\xEF\xBB\xBF".to_vec();
    bytes.extend(read("openai-compat/u-09.sse"));
    check_cuts("with a mark", Client::Plain, &bytes);
}
