//! How streams end: complete, truncated, or with an error.

use inferstream_core::{Error, ErrorKind, Repeat, Timeouts};

use super::{check, comment, frames, lost, open};
use crate::support::Piece;

#[test]
fn an_announced_end_is_a_success() {
    check([frames("a b fin [DONE]")], "a b fin Marker", 0);
    check([frames("a [DONE]"), Piece::Hang], "a Marker", 0);
}

#[test]
fn an_input_that_ends_after_a_finish_reason_is_a_success() {
    check([frames("a fin")], "a fin FinishReason", 0);
}

#[test]
fn an_input_that_ends_without_an_end_is_truncated() {
    check([frames("a b")], "a b !truncated", 0);
    check([], "!truncated", 0);
    check([comment()], "!truncated", 0);
}

#[test]
fn an_incomplete_frame_is_not_delivered() {
    check([frames("a"), "data: b".into()], "a !truncated", 0);
    check([frames("a"), "data: b\n".into()], "a !truncated", 0);
    check([frames("a"), "data: fin\n".into()], "a !truncated", 0);
}

#[test]
fn an_end_marker_without_its_blank_line_is_an_end() {
    check([frames("a"), "data: [DONE]".into()], "a Marker", 0);
}

#[test]
fn an_end_marker_with_only_its_line_end_is_an_end() {
    check([frames("a"), "data: [DONE]\n".into()], "a Marker", 0);
}

#[test]
fn data_after_the_end_is_dropped() {
    check([frames("a [DONE] b err [DONE]"), lost()], "a Marker", 0);
}

#[test]
fn a_connection_lost_before_the_end_is_truncated() {
    check([frames("a"), lost()], "a !truncated", 0);
    check([lost()], "!truncated", 0);
}

#[test]
fn a_connection_lost_after_a_finish_reason_is_truncated() {
    check([frames("a fin"), lost()], "a fin !truncated", 0);
}

#[test]
fn a_connection_lost_after_the_end_is_not_an_error() {
    check([frames("a fin [DONE]"), lost()], "a fin Marker", 0);
}

#[test]
fn another_error_of_the_body_keeps_its_kind() {
    check(
        [frames("a"), Error::protocol("chunk size").into()],
        "a !protocol",
        0,
    );
}

#[test]
fn an_error_of_the_decoder_is_the_last_item() {
    check([frames("a err b fin [DONE]")], "a !protocol", 0);
}

#[test]
fn events_before_an_error_come_first() {
    check([frames("a b+c+err")], "a b c !protocol", 0);
}

#[test]
fn a_size_limit_is_an_error_after_the_complete_frames() {
    let long = format!("data: {}\n\n", "x".repeat(64));
    check(
        [frames("a b"), Piece::from(long.as_str()), frames("fin")],
        "a b !too_large",
        0,
    );
}

#[test]
fn held_back_events_come_before_the_end() {
    check([frames("late:z a [DONE]")], "a z Marker", 0);
    check([frames("late:z a fin")], "a fin z FinishReason", 0);
    check([frames("late:z a")], "a z !truncated", 0);
}

#[test]
fn an_error_after_the_headers_is_never_safe_to_repeat() {
    for (own, expected) in [
        (Repeat::Safe, Repeat::Ambiguous),
        (Repeat::Ambiguous, Repeat::Ambiguous),
        (Repeat::Never, Repeat::Never),
    ] {
        for begin in [comment(), frames("a")] {
            let error = Error::new(ErrorKind::Overloaded, "busy").with_repeat(own);
            let mut opened = open(Timeouts::default(), [begin, error.into()]);
            let error = loop {
                match opened.next().unwrap() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert_eq!(error.repeat(), expected);
        }
    }
}

#[test]
fn held_back_text_of_a_truncated_event_is_not_lost_silently() {
    let cut = "data: late:z".into();
    check([frames("a fin"), cut], "a fin !truncated", 0);
}

/// Reads a stream, and returns its warnings.
#[track_caller]
fn warnings(pieces: Vec<Piece>) -> Vec<String> {
    let mut opened = open(Timeouts::default(), pieces);
    while opened.next().is_some() {}
    opened.stream.meta().warnings.clone()
}

#[test]
fn a_complete_response_without_content_has_a_warning() {
    for (words, count) in [
        ("fin", 1),
        ("usage model fin", 1),
        ("a fin", 0),
        ("reason fin", 0),
        ("other fin", 0),
        ("a other fin [DONE]", 0),
        // An error says enough.
        ("err", 0),
    ] {
        let warnings = warnings(vec![frames(words)]);
        assert_eq!(warnings.len(), count, "{words}: {warnings:?}");
        let is_it = |warning: &String| warning.starts_with("the response is empty");
        assert!(warnings.iter().all(is_it), "{words}: {warnings:?}");
    }
}

#[test]
fn text_with_the_finish_reason_is_not_text_after_it() {
    let warnings = warnings(vec![frames("a+fin"), "data: void".into()]);
    let is_it = |warning: &String| warning.contains("cut off inside an event");
    assert!(
        matches!(&warnings[..], [warning] if is_it(warning)),
        "{warnings:?}"
    );
}

#[test]
fn after_text_that_follows_the_finish_reason_an_incomplete_event_is_an_error() {
    let cut = || "data: void".into();
    check([frames("a fin b+fin"), cut()], "a fin b fin !truncated", 0);
    check([frames("a+fin fin"), cut()], "a fin fin FinishReason", 0);
}

#[test]
fn the_beginning_of_an_error_after_the_finish_reason_is_not_ignored() {
    let check = |cut: &'static str, expected| check([frames("a fin"), cut.into()], expected, 0);
    check("data: {+err", "a fin !truncated");
    // It may be the beginning of an end marker.
    check("data: err", "a fin FinishReason");
}

#[test]
fn replaced_bytes_are_counted_in_a_warning() {
    for (bytes, places) in [
        (&b"data: a\xff\n\n"[..], "in 1 place"),
        (b"data: a\xff\n\ndata: \xff \xff\n\n", "in 3 places"),
    ] {
        for end in ["fin", "err"] {
            let bytes = Piece::Bytes(bytes.into());
            let warnings = warnings(vec![bytes, frames(end)]);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].ends_with(places), "{warnings:?}");
        }
    }
}

#[test]
fn all_kinds_of_events_are_in_order() {
    check(
        [frames("reason a+reason other usage fin [DONE]")],
        "reason a reason other usage fin Marker",
        0,
    );
}

#[test]
fn a_lost_connection_is_the_cause_of_the_error() {
    let mut opened = open(Timeouts::default(), [frames("a"), lost()]);
    opened.expect("a");
    let error = opened.next().unwrap().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "the connection was lost");
    assert!(error.is_retryable());
}
