//! Limits on lines and frames.

use bytes::Bytes;
use inferstream_core::{
    ErrorKind,
    sse::{Decoder, Limits, TooLarge},
};

use super::{Seen, bytewise, decode_with};
use crate::support::strategies::cut;

/// Checks a stream's data and error under limits, however it is split, and after a blank line.
#[track_caller]
fn check_limits(limits: Limits, stream: &str, data: &[&str], error: Option<(&'static str, usize)>) {
    check_limits_of(limits, stream, data, error);
    check_limits_of(limits, &format!("\n{stream}"), data, error);
}

#[track_caller]
fn check_limits_of(
    limits: Limits,
    stream: &str,
    data: &[&str],
    error: Option<(&'static str, usize)>,
) {
    let frame = |data: &&str| Seen::Frame("message".into(), (*data).into(), String::new());
    let expected = (
        data.iter().map(frame).collect(),
        error.map(|(what, limit)| TooLarge::new(what, limit)),
    );
    for place in 0..=stream.len() {
        let pieces = cut(stream.as_bytes(), &[place]);
        let (_, verdict) = decode_with(Decoder::new(limits), pieces);
        assert_eq!(verdict, expected, "cut at {place}");
    }
    let (_, verdict) = decode_with(Decoder::new(limits), bytewise(stream.as_bytes()));
    assert_eq!(verdict, expected, "byte by byte");
}

#[test]
fn a_line_may_be_as_long_as_its_limit() {
    let limits = Limits::default().line(8);
    check_limits(limits, "data: ab\n\n", &["ab"], None);
    check_limits(limits, "data: abc\n\n", &[], Some(("line", 8)));
    check_limits(limits, "data: ab\r\n\r\n", &["ab"], None);
    check_limits(limits, "12345678\n123456789\n", &[], Some(("line", 8)));
}

#[test]
fn the_name_of_a_field_counts() {
    check_limits(
        Limits::default().line(5),
        "data: \n\n",
        &[],
        Some(("line", 5)),
    );
    check_limits(Limits::default().line(6), "data: \n\n", &[""], None);
    check_limits(
        Limits::default().line(6),
        "data: a\n\n",
        &[],
        Some(("line", 6)),
    );
}

#[test]
fn an_unterminated_line_has_the_same_limit() {
    let limits = Limits::default().line(8);
    check_limits(limits, "data: ab", &[], None);
    check_limits(limits, "data: abc", &[], Some(("line", 8)));
}

#[test]
fn a_frame_may_be_as_long_as_its_limit() {
    let limits = Limits::default().frame(3);
    check_limits(limits, "data: abc\n\n", &["abc"], None);
    check_limits(limits, "data: abcd\n\n", &[], Some(("frame", 3)));
}

#[test]
fn joining_line_feeds_count_as_data() {
    let limits = Limits::default().frame(3);
    check_limits(limits, "data: a\ndata: b\n\n", &["a\nb"], None);
    check_limits(limits, "data: a\ndata: bc\n\n", &[], Some(("frame", 3)));
    check_limits(limits, "data\ndata\ndata\ndata\n\n", &["\n\n\n"], None);
    check_limits(
        limits,
        "data\ndata\ndata\ndata\ndata\n\n",
        &[],
        Some(("frame", 3)),
    );
}

#[test]
fn each_frame_has_the_full_limit() {
    let limits = Limits::default().frame(2).line(10);
    check_limits(limits, "data: ab\n\ndata: cd\n\n", &["ab", "cd"], None);
}

#[test]
fn comments_may_be_longer_than_a_line() {
    let limits = Limits::default().line(8);
    let stream = format!(":{0}\ndata: a\n: {0}\n\n", "x".repeat(100));
    check_limits(limits, &stream, &["a"], None);
}

#[test]
fn complete_frames_come_before_the_error() {
    let limits = Limits::default().line(8).frame(2);
    let line = "data: a\n\ndata: b\n\ndata: abc\n\ndata: c\n\n";
    check_limits(limits, line, &["a", "b"], Some(("line", 8)));
    let frame = "data: a\n\ndata: b\n\ndata: 1\ndata: 2\n\ndata: c\n\n";
    check_limits(limits, frame, &["a", "b"], Some(("frame", 2)));
}

#[test]
fn an_error_outside_data_comes_before_the_limit_that_follows_it() {
    let limits = Limits::default().frame(7);
    let frame = |event: &str, data: &str| Seen::Frame(event.into(), data.into(), String::new());
    for (stream, expected) in [
        (
            "{\"a\":1}\ndata: 12345678\n\n",
            frame("message", "{\"a\":1}"),
        ),
        ("error: a\nerror: 12345678\n", frame("error", "a")),
        ("data: a\n{\"a\": 12}\n", frame("message", "a")),
    ] {
        for place in 0..=stream.len() {
            let decoder = Decoder::new(limits).error_lines();
            let (_, (items, error)) = decode_with(decoder, cut(stream.as_bytes(), &[place]));
            assert_eq!(
                items,
                std::slice::from_ref(&expected),
                "{stream:?} cut at {place}"
            );
            assert_eq!(error, Some(TooLarge::new("frame", 7)));
        }
    }
}

#[test]
fn the_last_id_is_kept_after_a_limit() {
    let limits = Limits::default().line(8);
    let (mut decoder, (_, error)) = decode_with(
        Decoder::new(limits),
        ["id: 12\ndata: a\n\nevent: long\n".into()],
    );
    assert!(error.is_some());
    assert_eq!(decoder.last_event_id(), "12");
    assert!(decoder.tail().is_none());
}

#[test]
fn a_limit_of_zero_allows_blank_lines_and_comments() {
    let limits = Limits::default().line(0).frame(0);
    check_limits(limits, "\n: a\n\r\n", &[], None);
    check_limits(limits, "a", &[], Some(("line", 0)));
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_line() {
    let limits = Limits::default().line(8);
    check_limits_of(limits, "\u{FEFF}data: ab\n\n", &["ab"], None);
    check_limits_of(limits, "\u{FEFF}data: abc\n\n", &[], Some(("line", 8)));
}

#[test]
fn the_default_limits_are_the_documented_ones() {
    let limits = Limits::default();
    assert_eq!((limits.line, limits.frame), (1 << 20, 4 << 20));
    let line = format!("data: {}\n", "x".repeat((1 << 20) - 6));
    let frame = line.repeat(4);
    let (_, (items, error)) = decode_with(Decoder::default(), [Bytes::from(frame + "\n")]);
    assert_eq!((items.len(), error), (1, None));
}

#[test]
fn an_error_names_the_part_and_the_limit() {
    let error = TooLarge::new("line", 8);
    assert_eq!(
        error.to_string(),
        "line too large: expected at most 8 bytes"
    );
    assert_eq!(
        inferstream_core::Error::from(error).kind(),
        ErrorKind::TooLarge
    );
}

// Large streams.
