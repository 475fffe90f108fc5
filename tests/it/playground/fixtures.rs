//! Answers and their events, and the rule for an answer that is cut anywhere.

use std::{env, fs, path::PathBuf};

use inferstream_core::ErrorKind;
use serde_json::json;

use super::{Outcome, broken, piece, run, whole};

const FIXTURES: &[&str] = &[
    "calls.sse",
    "challenge.html",
    "error.json",
    "oldest.sse",
    "steps.txt",
    "t-cf-1.txt",
    "t-cf-2.txt",
    "t-cf-3-error.sse",
    "t-cf-3.sse",
];

fn path(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/cloudflare-playground"
    );
    [folder, name].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn is_lines(name: &str) -> bool {
    path(name).extension().is_some_and(|end| end == "txt")
}

fn is_stream(name: &str) -> bool {
    is_lines(name) || path(name).extension().is_some_and(|end| end == "sse")
}

/// All of them, for those who bend them.
pub(super) fn all() -> Vec<Vec<u8>> {
    FIXTURES.iter().map(|name| read(name)).collect()
}

/// Returns the events one by line, and the end.
fn transcript(outcome: &Outcome) -> String {
    let end = match &outcome.end {
        Ok(response) => json!({ "id": response.id, "end": response.end }),
        Err(error) => json!({
            "error": error.kind().as_str(),
            "line": error.to_string(),
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
fn answers_give_their_events() {
    for name in FIXTURES {
        let found = transcript(&whole(read(name)));
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
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = FIXTURES.contains(&name.as_str());
        assert!(known || name.ends_with(".events"), "{name} is not run");
    }
}

/// Returns an answer as it is, with line ends of the other kind, and with a byte-order mark.
fn variants(name: &str) -> [Vec<u8>; 3] {
    let bytes = read(name);
    let text = String::from_utf8(bytes.clone()).unwrap();
    let marked = [b"\xEF\xBB\xBF \n", &*bytes].concat();
    [bytes, text.replace('\n', "\r\n").into_bytes(), marked]
}

#[test]
fn where_an_answer_is_split_does_not_matter() {
    for name in FIXTURES {
        let expected = transcript(&whole(read(name)));
        for bytes in variants(name) {
            let found = transcript(&run(bytes.chunks(1).map(piece)));
            assert_eq!(found, expected, "{name} byte by byte");
            for place in 0..=bytes.len() {
                let (left, right) = bytes.split_at(place);
                let found = transcript(&run([piece(left), piece(right)]));
                assert_eq!(found, expected, "{name} in two at {place}");
            }
        }
    }
}

/// What can be known of the beginning of an answer without the code under test.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Came {
    /// Less than the answer's end.
    #[default]
    Part,
    /// A finish reason: enough for a clean end.
    Reason,
    /// The end marker, but not the end of its line or frame: enough for a clean end.
    MarkerCut,
    /// The end marker.
    Marker,
    /// The service's error.
    Error,
    /// The service's error, but not the end of its line.
    ErrorCut,
}

/// Judges a beginning of a fixture of lines, whose `d` has braces of two levels.
fn judge_lines(text: &str) -> (usize, Came) {
    let mut came = Came::Part;
    let mut count = 0;
    for line in text.split_inclusive('\n') {
        let is_whole = line.ends_with('\n');
        count += usize::from(is_whole);
        came = match line.as_bytes()[0] {
            b'd' if is_whole => Came::Marker,
            b'd' if line.trim_end().ends_with("}}") => Came::MarkerCut,
            b'3' if is_whole => Came::Error,
            b'3' if line.trim_end().ends_with('"') && 3 < line.len() => Came::ErrorCut,
            b'e' if is_whole => Came::Reason,
            b'd' | b'2' | b'8' => came,
            _ => Came::Part,
        };
        if matches!(came, Came::Error | Came::Marker) {
            break;
        }
    }
    (count, came)
}

/// Judges a beginning of a fixture of events.
fn judge_events(text: &str) -> (usize, Came) {
    let mut came = Came::Part;
    let mut count = 0;
    // A CR alone ends a line too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for frame in text.split_inclusive("\n\n") {
        let is_whole = frame.ends_with("\n\n");
        count += usize::from(is_whole);
        came = match is_whole {
            true if frame.contains("[DONE]") => Came::Marker,
            false if frame.contains("[DONE]") => Came::MarkerCut,
            true if frame.contains("\"finish\"") => Came::Reason,
            true if frame.contains("\"error\"") => Came::Error,
            _ => came,
        };
        if matches!(came, Came::Error | Came::Marker) {
            break;
        }
    }
    (count, came)
}

/// Checks an answer cut at every byte, with a clean end there and with a broken connection.
///
/// The rule: what came in whole frames is delivered, nothing else is. A clean end is a success after
/// a finish reason or the end marker, else `Truncated`; a broken connection is a success only where
/// the protocol had announced the end, else `Truncated`.
#[track_caller]
fn check_cuts(name: &str, bytes: &[u8]) {
    let content = |outcome: &Outcome| {
        let mut lines = outcome.lines();
        lines.retain(|line| !line.contains("\"type\":\"finish\""));
        lines
    };
    let expected = content(&whole(bytes));
    let mut before = (0, Vec::new());
    for place in 0..=bytes.len() {
        // The other kind of line end may be cut in the middle.
        let text = String::from_utf8_lossy(&bytes[..place]);
        let judge = if is_lines(name) {
            judge_lines
        } else {
            judge_events
        };
        let (frames, came) = judge(&text);
        let at = format!("{name} cut at {place}: {came:?}");
        let clean = run([piece(&bytes[..place])]);
        let kind = match came {
            Came::Error | Came::ErrorCut => Some(ErrorKind::Provider),
            Came::Part => Some(ErrorKind::Truncated),
            _ => None,
        };
        assert_eq!(clean.kind(), kind, "{at}, clean");

        let lost = run([piece(&bytes[..place]), broken()]);
        let kind = match came {
            Came::Error => Some(ErrorKind::Provider),
            Came::Marker => None,
            _ => Some(ErrorKind::Truncated),
        };
        assert_eq!(lost.kind(), kind, "{at}, broken");

        let lines = content(&lost);
        assert_eq!(lines, expected[..lines.len()], "{at}");
        if frames == before.0 {
            assert_eq!(lines, before.1, "{at}: a frame that is not whole");
        }
        if matches!(came, Came::Marker) {
            assert_eq!(lines, expected, "{at}: all had come");
        }
        if came == Came::Part {
            assert_eq!(content(&clean), lines, "{at}");
        }
        assert!(clean.text().starts_with(&lost.text()), "{at}");
        before = (frames, lines);
    }
}

#[test]
fn an_answer_cut_at_any_byte_is_never_taken_for_whole() {
    for name in FIXTURES.iter().filter(|name| is_stream(name)) {
        let [plain, crlf, _] = variants(name);
        check_cuts(name, &plain);
        check_cuts(name, &crlf);
    }
}

#[test]
fn a_document_cut_at_any_byte_is_no_answer() {
    for name in FIXTURES.iter().filter(|name| !is_stream(name)) {
        let bytes = read(name);
        for place in 0..=bytes.len() {
            let outcome = run([piece(&bytes[..place])]);
            assert!(outcome.end.is_err(), "{name} cut at {place}");
            let lost = run([piece(&bytes[..place]), broken()]);
            assert_eq!(lost.kind(), Some(ErrorKind::Truncated));
        }
    }
}
