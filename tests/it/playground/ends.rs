//! The end of an event stream, and how long the client waits for it.

use inferstream_core::{End, ErrorKind};

use super::{broken, run, sse};
use crate::support::{Piece, seconds};

const DELTA: &str = r#"{"type":"text-delta","id":"0","delta":"a"}"#;
const FINISH: &str = r#"{"type":"finish"}"#;

fn frames(chunks: &[&str]) -> Piece {
    Piece::from(sse(chunks).as_str())
}

#[test]
fn the_marker_is_the_end() {
    for rest in [broken(), Piece::Hang, frames(&[DELTA])] {
        let outcome = run([frames(&[DELTA, FINISH, "[DONE]"]), rest]);
        assert_eq!(outcome.response().end, Some(End::Marker));
        assert_eq!(outcome.text(), "a");
        assert_eq!(outcome.elapsed, seconds(0));
    }
}

#[test]
fn a_marker_without_a_finish_is_an_end() {
    let outcome = run([frames(&[DELTA, "[DONE]"])]);
    assert_eq!(outcome.response().end, Some(End::Marker));
}

#[test]
fn a_finish_without_a_marker_is_an_end_of_a_clean_input() {
    let outcome = run([frames(&[DELTA, FINISH])]);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    let outcome = run([frames(&[DELTA, FINISH]), broken()]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    assert_eq!(outcome.text(), "a");
}

#[test]
fn a_stream_ends_two_seconds_after_its_finish() {
    let outcome = run([frames(&[DELTA, FINISH]), Piece::Hang]);
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    assert_eq!(outcome.elapsed, seconds(2));
}

#[test]
fn a_stream_without_marker_and_finish_is_truncated() {
    for chunks in [&[DELTA][..], &[DELTA, r#"{"type":"finish-step"}"#]] {
        let outcome = run([frames(chunks)]);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
        assert_eq!(outcome.error().partial().unwrap().text(), "a");
    }
}

#[test]
fn an_error_after_the_finish_is_an_error() {
    let error = r#"{"type":"error","errorText":"m"}"#;
    let outcome = run([frames(&[DELTA, FINISH, error, "[DONE]"])]);
    assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
}
