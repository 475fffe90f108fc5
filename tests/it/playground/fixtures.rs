//! Recorded responses and their events, also when split at any byte.

use inferstream_core::ErrorKind;

use super::{Outcome, broken, piece, run, whole};
use crate::support::{
    Piece,
    cuts::{Beginning, Came, Rest, Streams, check_cuts, judge_events},
    recordings::{self, check_splits, is, read, variants},
};

const FIXTURES: &[&str] = &[
    "cloudflare-playground/calls.sse",
    "cloudflare-playground/challenge.html",
    "cloudflare-playground/error.json",
    "cloudflare-playground/oldest.sse",
    "cloudflare-playground/steps.txt",
    "cloudflare-playground/t-cf-1.txt",
    "cloudflare-playground/t-cf-2.txt",
    "cloudflare-playground/t-cf-3-error.sse",
    "cloudflare-playground/t-cf-3.sse",
];

fn is_stream(name: &str) -> bool {
    is(name, "txt") || is(name, "sse")
}

/// All fixtures, for tests that modify them.
pub(super) fn all() -> Vec<Vec<u8>> {
    FIXTURES.iter().map(|name| read(name)).collect()
}

#[test]
fn recorded_responses_have_their_events() {
    for name in FIXTURES {
        recordings::check(name, &whole(read(name)));
    }
}

#[test]
fn every_fixture_is_in_the_table() {
    recordings::check_table("cloudflare-playground", FIXTURES);
}

#[test]
fn the_split_of_a_recorded_response_does_not_matter() {
    for name in FIXTURES {
        let bytes = read(name);
        let expected = whole(&bytes).transcript();
        let [(_, crlf), ..] = variants(&bytes);
        // A byte-order mark, and the rest of the first line.
        let marked = [b"\xEF\xBB\xBF \n", &*bytes].concat();
        for bytes in [bytes, crlf, marked] {
            check_splits(name, &bytes, &expected, run);
        }
    }
}

/// One of the playground's protocols.
enum Form {
    Events,
    Lines,
}

impl Streams for Form {
    fn run(&self, pieces: Vec<Piece>) -> Outcome {
        run(pieces)
    }

    fn judge(&self, bytes: &[u8]) -> Beginning {
        match self {
            Self::Events => judge_events(bytes, |frame| {
                if frame.contains("\"finish\"") {
                    Came::Reason
                } else if frame.contains("\"error\"") {
                    Came::Error
                } else {
                    Came::Part
                }
            }),
            Self::Lines => judge_lines(&String::from_utf8_lossy(bytes)),
        }
    }

    /// Tool calls are delivered immediately, too.
    fn content(&self, outcome: &Outcome) -> Vec<String> {
        let mut lines = outcome.lines();
        lines.retain(|line| !line.contains("\"type\":\"finish\""));
        lines
    }
}

/// Checks the start of a data stream fixture, whose `d` line has nested braces.
fn judge_lines(text: &str) -> Beginning {
    let mut beginning = Beginning::default();
    for line in text.split_inclusive('\n') {
        let is_whole = line.ends_with('\n');
        beginning.frames += usize::from(is_whole);
        beginning.came = match line.as_bytes()[0] {
            b'd' if is_whole => Came::Marker,
            b'd' if line.trim_end().ends_with("}}") => Came::MarkerLineCut,
            b'3' if is_whole => Came::Error,
            b'3' if line.trim_end().ends_with('"') && 3 < line.len() => Came::ErrorLineCut,
            b'e' if is_whole => Came::Reason,
            b'd' | b'2' | b'8' => beginning.came,
            _ => Came::Part,
        };
        if matches!(beginning.came, Came::Error | Came::Marker) {
            break;
        }
    }
    if !text.ends_with('\n') {
        beginning.rest = Rest::Beginning;
    }
    beginning
}

#[test]
fn a_recorded_response_cut_at_any_byte_is_never_complete() {
    for name in FIXTURES.iter().filter(|name| is_stream(name)) {
        let form = if is(name, "txt") {
            Form::Lines
        } else {
            Form::Events
        };
        let bytes = read(name);
        let [(_, crlf), ..] = variants(&bytes);
        check_cuts(name, &form, &bytes);
        check_cuts(name, &form, &crlf);
    }
}

#[test]
fn a_document_cut_at_any_byte_is_an_error() {
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
