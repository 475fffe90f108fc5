//! Event streams: the rules of the standard.

mod adaptors;
mod limits;
mod naive;
mod properties;
mod state;

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use inferstream_core::{
    ErrorKind, Text,
    sse::{Decoder, Framer, Frames, FramesError, Item, Limits, TooLarge, frames},
};

use crate::support::{Clock, Piece, block_on, body, seconds, strategies::cut};

/// An owned item.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    /// Event, data, id.
    Frame(String, String, String),
    Retry(Duration),
}

impl From<Item<'_>> for Seen {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Frame(frame) => {
                let text = Text::slice_of(frame.buffer, frame.data);
                assert_eq!(text, frame.data, "the buffer contains the data");
                Self::Frame(frame.event.into(), frame.data.into(), frame.id.into())
            }
            Item::Retry(time) => Self::Retry(time),
            other => panic!("a new item: {other:?}"),
        }
    }
}

/// Everything that a decoder returns for a stream. Its error is returned again by each later call.
type Verdict = (Vec<Seen>, Option<TooLarge>);

fn take_all(decoder: &mut Decoder, items: &mut Vec<Seen>) -> Option<TooLarge> {
    loop {
        match decoder.next_item() {
            Ok(None) => return None,
            Ok(Some(item)) => items.push(item.into()),
            Err(error) => {
                assert_eq!(decoder.next_item(), Err(error), "the error repeats");
                assert_eq!(decoder.next_frame(), Err(error), "the error repeats");
                return Some(error);
            }
        }
    }
}

/// Pushes fragments, and takes all items after each.
fn decode_with(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = Bytes>,
) -> (Decoder, Verdict) {
    let mut items = Vec::new();
    let mut error = None;
    for piece in pieces {
        decoder.push(piece);
        error = take_all(&mut decoder, &mut items);
    }
    (decoder, (items, error))
}

/// Pushes fragments, and takes all frames after each by `next_frame`.
fn frames_of(mut decoder: Decoder, pieces: impl IntoIterator<Item = Bytes>) -> Vec<Seen> {
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(Item::Frame(frame).into());
        }
    }
    frames
}

fn decode(stream: &[u8], cuts: &[usize]) -> Verdict {
    decode_with(Decoder::default(), cut(stream, cuts)).1
}

fn bytewise(stream: &[u8]) -> Vec<Bytes> {
    stream
        .iter()
        .map(|byte| Bytes::copy_from_slice(&[*byte]))
        .collect()
}

/// Checks a stream's items: in one fragment, in any two fragments, byte by byte, by `next_frame`, and
/// with the reference decoder.
#[track_caller]
fn check_items(stream: &[u8], expected: &[Seen]) {
    assert_eq!(decode(stream, &[]), (expected.to_vec(), None), "whole");
    for place in 0..=stream.len() {
        let verdict = decode(stream, &[place]);
        assert_eq!(verdict, (expected.to_vec(), None), "cut at {place}");
        let frames = frames_of(Decoder::default(), cut(stream, &[place]));
        let expected = expected
            .iter()
            .filter(|item| matches!(item, Seen::Frame(..)));
        assert!(frames.iter().eq(expected), "{frames:?}, cut at {place}");
    }
    let (decoder, verdict) = decode_with(Decoder::default(), bytewise(stream));
    assert_eq!(verdict, (expected.to_vec(), None), "byte by byte");
    let naive = naive::decode(stream);
    assert_eq!(naive.items, expected, "the second decoder");
    assert_eq!(decoder.last_event_id(), naive.last_event_id);
    assert_eq!(decoder.retry(), naive.retry);
}

/// Like `check_items`, for frames only: event, data, id.
#[track_caller]
fn check(stream: impl AsRef<[u8]>, frames: &[(&str, &str, &str)]) {
    let frames: Vec<_> = frames
        .iter()
        .map(|&(event, data, id)| Seen::Frame(event.into(), data.into(), id.into()))
        .collect();
    check_items(stream.as_ref(), &frames);
}

/// Like `check`, for the data only.
#[track_caller]
fn check_data(stream: impl AsRef<[u8]>, data: &[&str]) {
    let frames: Vec<_> = data.iter().map(|&data| ("message", data, "")).collect();
    check(stream, &frames);
}

/// Checks the reconnection time that a stream's only line sets.
#[track_caller]
fn check_retry(value: &str, milliseconds: Option<u64>) {
    let items: Vec<_> = milliseconds
        .map(|time| Seen::Retry(Duration::from_millis(time)))
        .into_iter()
        .collect();
    check_items(format!("retry{value}\n").as_bytes(), &items);
}

/// Checks the data of the last frame as if the input ended with a blank line, however the input is
/// split.
#[track_caller]
fn check_tail(decoder: impl Fn() -> Decoder, stream: &str, data: Option<&str>) {
    for pieces in [cut(stream.as_bytes(), &[]), bytewise(stream.as_bytes())] {
        let (mut decoder, _) = decode_with(decoder(), pieces);
        assert_eq!(decoder.tail().map(|frame| frame.data), data, "{stream:?}");
    }
}

// Lines.

#[test]
fn a_frame_ends_at_a_blank_line() {
    check_data("data: a\n\ndata: b\n\n", &["a", "b"]);
}

#[test]
fn a_line_ends_in_lf_or_cr_or_both() {
    check_data("data: a\n\ndata: b\n\n", &["a", "b"]);
    check_data("data: a\r\rdata: b\r\r", &["a", "b"]);
    check_data("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]);
}

#[test]
fn line_ends_may_be_mixed() {
    check_data("data: a\r\ndata: b\rdata: c\n\r", &["a\nb\nc"]);
    check_data("data: a\n\r\ndata: b\r\r\n", &["a", "b"]);
    check_data("data: a\r\n\rdata: b\n\n", &["a", "b"]);
}

#[test]
fn an_lf_and_a_cr_are_two_line_ends() {
    check_data("data: a\n\rdata: b\n\n", &["a", "b"]);
}

#[test]
fn cr_lf_is_one_line_end() {
    check_data("data: a\r\ndata: b\r\n\r\n", &["a\nb"]);
}

#[test]
fn blank_lines_are_not_frames() {
    check_data("\n\r\n\r\r\n\n", &[]);
    check_data("\n\ndata: a\n\n\n\n", &["a"]);
}

#[test]
fn other_separators_are_not_line_ends() {
    check_data(
        "data: a\u{2028}b\u{2029}c\u{85}d\u{B}e\u{C}f\n\n",
        &["a\u{2028}b\u{2029}c\u{85}d\u{B}e\u{C}f"],
    );
}

#[test]
fn empty_input_has_no_frames() {
    check_data("", &[]);
}

#[test]
fn a_value_that_is_a_field_name_is_not_a_field() {
    check(
        "id: 1\n\ndata: id\n\ndata: data\r\n\r\ndata: b\n\n",
        &[
            ("message", "id", "1"),
            ("message", "data", "1"),
            ("message", "b", "1"),
        ],
    );
}

// The byte-order mark.

#[test]
fn a_leading_byte_order_mark_is_dropped() {
    check_data("\u{FEFF}data: a\n\n", &["a"]);
    check_data("\u{FEFF}\n\ndata: a\n\n", &["a"]);
    check_data("\u{FEFF}: comment\ndata: a\n\n", &["a"]);
}

#[test]
fn a_second_byte_order_mark_is_not_dropped() {
    check_data("\u{FEFF}\u{FEFF}data: a\n\ndata: b\n\n", &["b"]);
}

#[test]
fn a_byte_order_mark_elsewhere_is_text() {
    check_data("data: \u{FEFF}a\n\n", &["\u{FEFF}a"]);
    check_data("data: a\n\n\u{FEFF}data: b\n\ndata: c\n\n", &["a", "c"]);
    check_data("\n\u{FEFF}data: a\n\n", &[]);
}

#[test]
fn a_byte_order_mark_alone_has_no_frame() {
    check_data("\u{FEFF}", &[]);
}

#[test]
fn part_of_a_byte_order_mark_belongs_to_the_line() {
    check_data(b"\xEFdata: a\n\n", &[]);
    check_data(b"\xEF\xBBdata: a\n\n", &[]);
    check_data(b"\xEF\n\ndata: a\n\n", &["a"]);
    check_data(b"\xEF\xBB\r\rdata: a\n\n", &["a"]);
    check_data(b"\xEF\xEF\xBB\xBFdata: a\n\n", &[]);
    check_data(b"\xEF\xBB: a\ndata: b\n\n", &["b"]);
}

// Fields.

#[test]
fn comments_are_ignored() {
    check_data(": a\ndata: b\n:\n:c\ndata: d\n: data: e\n\n", &["b\nd"]);
}

#[test]
fn data_lines_are_joined() {
    check_data("data: a\ndata: b\ndata: c\n\n", &["a\nb\nc"]);
}

#[test]
fn empty_data_lines_are_kept() {
    check_data("data: a\ndata:\ndata: b\ndata\n\n", &["a\n\nb\n"]);
    check_data("data\ndata\n\n", &["\n"]);
}

#[test]
fn only_one_space_is_removed() {
    check_data("data:a\n\n", &["a"]);
    check_data("data:  a \n\n", &[" a "]);
    check_data("data:\ta\n\n", &["\ta"]);
    check_data("data: \n\n", &[""]);
    check_data("data:\u{A0}a\n\n", &["\u{A0}a"]);
}

#[test]
fn a_field_without_colon_has_an_empty_value() {
    check_data("data\n\n", &[""]);
    check("event: e\nevent\ndata: a\n\n", &[("message", "a", "")]);
    check("id: 1\nid\ndata: a\n\n", &[("message", "a", "")]);
}

#[test]
fn a_value_may_contain_colons() {
    check_data("data: a:b: c\n\n", &["a:b: c"]);
    check_data("data::\n\n", &[":"]);
}

#[test]
fn unknown_fields_are_ignored() {
    check_data("foo: a\ndata: b\nbar\n\n", &["b"]);
    check_data("foo: a\n\n", &[]);
}

#[test]
fn field_names_are_exact() {
    check_data(
        "Data: a\nDATA: b\n data: c\ndata : d\ndatax: e\ndat: f\n\n",
        &[],
    );
    check(
        "Event: e\nID: 1\nRetry: 2\ndata: a\n\n",
        &[("message", "a", "")],
    );
}

#[test]
fn an_empty_data_field_is_an_empty_frame() {
    check_data("data\n\ndata:\n\ndata: \n\n", &["", "", ""]);
}

#[test]
fn the_last_frame_needs_its_blank_line() {
    check_data("data: a\n\ndata: b", &["a"]);
    check_data("data: a\n\ndata: b\n", &["a"]);
    check_data("data: a\n\ndata: b\r", &["a"]);
    check_data("data: a\n\ndata: b\r\n", &["a"]);
}

#[test]
fn nul_in_data_is_text() {
    check_data("data: a\0b\n\n", &["a\0b"]);
}

// Event and id.

#[test]
fn an_event_name_applies_to_one_frame() {
    check(
        "event: e\ndata: a\n\ndata: b\n\n",
        &[("e", "a", ""), ("message", "b", "")],
    );
}

#[test]
fn the_last_event_field_counts() {
    check(
        "event: e\nevent: f\ndata: a\n\ndata: b\n\n",
        &[("f", "a", ""), ("message", "b", "")],
    );
}

#[test]
fn an_empty_event_is_a_message() {
    check("event:\ndata: a\n\n", &[("message", "a", "")]);
    check("event: \ndata: a\n\n", &[("message", "a", "")]);
}

#[test]
fn an_event_without_data_is_dropped() {
    check("event: e\n\ndata: a\n\n", &[("message", "a", "")]);
}

#[test]
fn an_id_applies_until_the_next_one() {
    check(
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n",
        &[
            ("message", "a", "1"),
            ("message", "b", "1"),
            ("message", "c", "2"),
        ],
    );
}

#[test]
fn an_empty_id_resets_it() {
    check(
        "id: 1\ndata: a\n\nid\ndata: b\n\nid: 3\ndata: c\n\nid:\ndata: d\n\n",
        &[
            ("message", "a", "1"),
            ("message", "b", ""),
            ("message", "c", "3"),
            ("message", "d", ""),
        ],
    );
}

#[test]
fn an_id_with_nul_is_ignored() {
    check("id: 1\nid: 2\x003\ndata: a\n\n", &[("message", "a", "1")]);
    check("id: \0\ndata: a\n\n", &[("message", "a", "")]);
}

#[test]
fn an_id_in_a_block_without_data_counts() {
    check("id: 1\n\ndata: a\n\n", &[("message", "a", "1")]);
    let (decoder, _) = decode_with(Decoder::default(), ["id: 7\n\n".into()]);
    assert_eq!(decoder.last_event_id(), "7");
}

#[test]
fn an_id_counts_after_its_blank_line() {
    let (decoder, _) = decode_with(Decoder::default(), ["id: 1\n\nid: 2\ndata: a\n".into()]);
    assert_eq!(decoder.last_event_id(), "1");
}

#[test]
fn a_line_that_begins_a_frame_ends_the_one_before_at_the_end() {
    let stream = "data: a\n\n{\"b\":1}\ndata: c";
    for pieces in [cut(stream.as_bytes(), &[]), bytewise(stream.as_bytes())] {
        let (mut decoder, _) = decode_with(Decoder::default().error_lines(), pieces);
        assert_eq!(decoder.tail().unwrap().data, "{\"b\":1}");
        assert_eq!(decoder.tail().unwrap().data, "c");
        assert!(decoder.tail().is_none());
    }
}

#[test]
fn the_id_of_an_incomplete_frame_does_not_count() {
    let input = "id: 1\ndata: a\n\nid: 2\ndata: b";
    let (mut decoder, _) = decode_with(Decoder::default(), [input.into()]);
    decoder.tail();
    assert_eq!(decoder.last_event_id(), "1");
}

#[test]
fn an_id_may_come_after_the_data() {
    check("data: a\nid: 1\n\n", &[("message", "a", "1")]);
}

// The reconnection time.

#[test]
fn a_reconnection_time_is_digits() {
    check_retry(": 1500", Some(1500));
    check_retry(":1500", Some(1500));
    check_retry(": 0", Some(0));
    check_retry(": 007", Some(7));
}

#[test]
fn a_reconnection_time_with_other_characters_is_ignored() {
    for value in [
        "",
        ":",
        ": ",
        ": +1",
        ": -1",
        ": 1.5",
        ": 1e3",
        ":  1",
        ": 1 ",
        ": 1s",
        ": 0x1",
        ": \u{663}",
    ] {
        check_retry(value, None);
    }
}

#[test]
fn a_huge_reconnection_time_is_limited() {
    check_retry(": 18446744073709551615", Some(u64::MAX));
    check_retry(": 18446744073709551616", Some(u64::MAX));
    check_retry(&format!(": {}", "9".repeat(400)), Some(u64::MAX));
}

#[test]
fn the_last_reconnection_time_counts_immediately() {
    check_items(
        b"data: a\nretry: 1\nretry: x\nretry: 2\n\nretry: 3\n",
        &[
            Seen::Retry(Duration::from_millis(1)),
            Seen::Retry(Duration::from_millis(2)),
            Seen::Frame("message".into(), "a".into(), String::new()),
            Seen::Retry(Duration::from_millis(3)),
        ],
    );
}

#[test]
fn next_frame_skips_reconnection_times() {
    let mut decoder = Decoder::default();
    decoder.push("retry: 5\ndata: a\n\nretry: 6\n\n".into());
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "a");
    assert_eq!(decoder.retry(), Some(Duration::from_millis(5)));
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!(decoder.retry(), Some(Duration::from_millis(6)));
}

// UTF-8.

#[test]
fn characters_may_be_split_anywhere() {
    check("event: é\nid: 漢\ndata: 😀é漢\n\n", &[("é", "😀é漢", "漢")]);
}

#[test]
fn invalid_utf8_is_replaced() {
    check(
        b"event: \xFF\nid: \xC3\ndata: a\x80b\n: \xFE\ndata: \xE6\xBC\n\n",
        &[("\u{FFFD}", "a\u{FFFD}b\n\u{FFFD}", "\u{FFFD}")],
    );
    check_data(b"d\xFFata: a\ndata\xC3: b\n\n", &[]);
}

#[test]
fn each_malformed_sequence_is_one_replacement() {
    check_data(b"data: \xF0\x9F\x98a\n\n", &["\u{FFFD}a"]);
    check_data(b"data: \xED\xA0\x80\n\n", &["\u{FFFD}\u{FFFD}\u{FFFD}"]);
    check_data(b"data: \xC0\x80\n\n", &["\u{FFFD}\u{FFFD}"]);
    check_data(
        b"data: \xF4\x90\x80\x80\n\n",
        &["\u{FFFD}".repeat(4).as_str()],
    );
}

#[test]
fn a_character_does_not_continue_on_the_next_line() {
    check_data(b"data: \xE6\xBC\ndata: \xA2\n\n", &["\u{FFFD}\n\u{FFFD}"]);
}

// How it is fed.

#[test]
fn frames_are_in_the_order_of_the_bytes() {
    let mut decoder = Decoder::default();
    decoder.push("data: a\n\n".into());
    decoder.push("data: b\n\n".into());
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "a");
    decoder.push("data: c\n\n".into());
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "b");
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "c");
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn an_empty_read_changes_nothing() {
    let mut decoder = Decoder::default();
    for piece in ["", "data: a\r", "", "\n", "", "\r", "", "\n"] {
        decoder.push(piece.into());
    }
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "a");
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn data_within_one_read_is_a_slice_of_it() {
    let piece = Bytes::from_static(b"data: hello\n\n");
    let mut decoder = Decoder::default();
    decoder.push(piece.clone());
    let frame = decoder.next_frame().unwrap().unwrap();
    assert!(piece.as_ptr_range().contains(&frame.data.as_ptr()));
    let text = Text::slice_of(frame.buffer, &frame.data[1..3]);
    assert!(piece.as_ptr_range().contains(&text.as_ptr()));
    assert_eq!(text, "el");
}

#[test]
fn text_that_is_kept_does_not_change() {
    let data = |at: usize| format!("{at}").repeat(1 + at * at % 3000);
    let mut decoder = Decoder::default();
    let mut kept = Vec::new();
    for at in 0..300 {
        let frame = format!("data: {}\n\n", data(at));
        let (begin, end) = frame.split_at(frame.len() * (at % 4) / 4);
        for piece in [begin, end] {
            decoder.push(Bytes::copy_from_slice(piece.as_bytes()));
            while let Some(frame) = decoder.next_frame().unwrap() {
                kept.push(Text::slice_of(frame.buffer, frame.data));
            }
        }
    }
    for (at, text) in kept.iter().enumerate() {
        assert_eq!(*text, *data(at));
    }
    assert_eq!(kept.len(), 300);
}

#[test]
fn text_from_elsewhere_is_copied() {
    let buffer = Bytes::from_static(b"hello");
    assert_eq!(Text::slice_of(&buffer, "other"), "other");
    assert_eq!(Text::slice_of(&buffer, ""), "");
    assert_eq!(Text::slice_of(&Bytes::new(), ""), "");
}

#[test]
fn a_decoder_is_a_framer() {
    fn first(mut framer: impl Framer) -> String {
        framer.push("data: a\n\ndata: b".into());
        let first = framer.next_frame().unwrap().unwrap().data.to_owned();
        assert_eq!(framer.next_frame(), Ok(None));
        let first = first + framer.tail().unwrap().data;
        framer.push("data: c".into());
        framer.reset();
        framer.push("\n\n".into());
        assert_eq!(framer.next_frame(), Ok(None));
        first
    }
    assert_eq!(first(Decoder::default()), "ab");
}

#[test]
fn a_decoder_can_be_reset() {
    let mut decoder = Decoder::default().end_event("done");
    decoder.push("id: 1\nretry: 5\ndata: a\n\ndata: b\ndat".into());
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "a");
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.reset();
    decoder.push("a: c\n\ndata: d\n\nevent: done\n\n".into());
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!((frame.data, frame.id, frame.retry), ("d", "", None));
    assert_eq!(decoder.next_frame().unwrap().unwrap().event, "done");
}

#[test]
fn the_end_event_needs_no_data() {
    let mut decoder = Decoder::default().end_event("done");
    decoder.push("event: other\n\nevent: done\nid: 3\n\nevent: done\ndata: {}\n\n".into());
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!((frame.event, frame.id, frame.data), ("done", "3", ""));
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "{}");
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn a_frame_has_the_current_reconnection_time() {
    let mut decoder = Decoder::default();
    decoder.push("data: a\n\nretry: 250\ndata: b\n\ndata: c\n\n".into());
    let waits = [None, Some(250), Some(250)].map(|wait| wait.map(Duration::from_millis));
    for wait in waits {
        assert_eq!(decoder.next_frame().unwrap().unwrap().retry, wait);
    }
}

// The tail and the marker.

#[test]
fn a_tail_is_a_frame_without_its_blank_line() {
    let plain = Decoder::default;
    check_tail(plain, "data: [DONE]", Some("[DONE]"));
    check_tail(plain, "data: a\n\ndata: [DONE]", Some("[DONE]"));
    check_tail(plain, "data: [DONE]\n: comment", Some("[DONE]"));
}

#[test]
fn a_tail_may_have_its_line_end() {
    let plain = Decoder::default;
    check_tail(plain, "data: [DONE]\n", Some("[DONE]"));
    check_tail(plain, "data: [DONE]\r", Some("[DONE]"));
    check_tail(plain, "data: [DONE]\r\n", Some("[DONE]"));
    check_tail(plain, "data: [DONE]\n: comment\n", Some("[DONE]"));
}

#[test]
fn no_tail_is_left_after_a_blank_line() {
    let plain = Decoder::default;
    check_tail(plain, "", None);
    check_tail(plain, "data: [DONE]\n\n", None);
    check_tail(plain, "data: [DONE]\r\n\r\n", None);
    check_tail(plain, "event: e\nid: 1", None);
    check_tail(plain, ": comment", None);
    check_tail(plain, "\u{FEFF}", None);
    check_tail(plain, "[DONE]", None);
}

#[test]
fn a_bare_marker_counts_as_data_if_configured() {
    let marked = || Decoder::default().marker("[DONE]");
    for stream in ["data: a\n\n[DONE]\n\n", "data: a\r\n\r\n[DONE]\r\n\r\n"] {
        for place in 0..=stream.len() {
            let (_, (items, _)) = decode_with(marked(), cut(stream.as_bytes(), &[place]));
            let frame = |data: &str| Seen::Frame("message".into(), data.into(), String::new());
            assert_eq!(items, [frame("a"), frame("[DONE]")], "cut at {place}");
        }
    }
    check_data("data: a\n\n[DONE]\n\n", &["a"]);
}

#[test]
fn a_bare_marker_at_the_end_is_recognized() {
    let marked = || Decoder::default().marker("[DONE]");
    check_tail(marked, "data: a\n\n[DONE]", Some("[DONE]"));
    check_tail(marked, "data: a\n\n[DONE]\n", Some("[DONE]"));
    check_tail(marked, "data: a\n\ndata: [DONE]", Some("[DONE]"));
}

#[test]
fn an_error_outside_data_is_a_separate_frame_if_configured() {
    let stream = "data: a\nerror: {b}\ndata: c\n{\n  \"d\": 1\n}\n\nevent: e\n[{f}]\nerror:g\n\n";
    let frame = |event: &str, data: &str| Seen::Frame(event.into(), data.into(), String::new());
    for place in 0..=stream.len() {
        let decoder = Decoder::default().error_lines();
        let (_, (items, _)) = decode_with(decoder, cut(stream.as_bytes(), &[place]));
        let expected = [
            frame("message", "a"),
            frame("error", "{b}"),
            frame("message", "c"),
            frame("message", "{\n  \"d\": 1\n}"),
            frame("e", "[{f}]"),
            frame("error", "g"),
        ];
        assert_eq!(items, expected, "cut at {place}");
    }
    check_data(stream, &["a\nc"]);
}

#[test]
fn a_bare_marker_inside_a_frame_is_ignored() {
    for place in 0..=20 {
        let stream = "data: a\n[DONE]\ndata: b\n\n";
        let (_, (items, _)) = decode_with(
            Decoder::default().marker("[DONE]"),
            cut(stream.as_bytes(), &[place]),
        );
        let frame = Seen::Frame("message".into(), "a\nb".into(), String::new());
        assert_eq!(items, [frame], "cut at {place}");
    }
}

#[test]
fn a_line_that_ends_a_frame_may_end_in_the_next_read() {
    let mut decoder = Decoder::default().error_lines();
    for piece in ["data: a\n{", "\r"] {
        decoder.push(piece.into());
    }
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "a");
    // The LF belongs to the CR, so it is not a blank line.
    decoder.push("\n}\n\n".into());
    assert_eq!(decoder.next_frame().unwrap().unwrap().data, "{\n}");
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn text_similar_to_the_marker_is_not_the_marker() {
    let marked = || Decoder::default().marker("[DONE]");
    for line in [
        "[DONE] ", " [DONE]", "[done]", "[DONE]:", "[DONE]x", ": [DONE]",
    ] {
        check_tail(marked, line, None);
    }
}

// Limits.

#[test]
fn one_large_line_is_read_from_reads_of_any_size() {
    let stream = Bytes::from(format!("data: {}\n\n", "x".repeat(8 << 20)));
    for size in [1, 4096] {
        let mut decoder = Decoder::new(Limits::default().line(16 << 20).frame(16 << 20));
        let mut lengths = Vec::new();
        for start in (0..stream.len()).step_by(size) {
            decoder.push(stream.slice(start..stream.len().min(start + size)));
            while let Some(frame) = decoder.next_frame().unwrap() {
                lengths.push(frame.data.len());
            }
        }
        assert_eq!(lengths, [8 << 20]);
    }
}

#[test]
fn many_short_data_lines_are_one_large_frame() {
    let lines = 1 << 20;
    let mut decoder = Decoder::new(Limits::default().frame(16 << 20));
    decoder.push(Bytes::from("data: x\n".repeat(lines)));
    decoder.push("\n".into());
    assert_eq!(
        decoder.next_frame().unwrap().unwrap().data.len(),
        2 * lines - 1
    );
}

#[test]
fn many_reads_may_be_buffered() {
    let stream = Bytes::from("data: x\n\n".repeat(1 << 17));
    let mut decoder = Decoder::default();
    for start in 0..stream.len() {
        decoder.push(stream.slice(start..=start));
    }
    let mut frames = 0;
    while decoder.next_frame().unwrap().is_some() {
        frames += 1;
    }
    assert_eq!(frames, 1 << 17);
}

// The stream of frames.

#[test]
fn a_body_gives_the_same_frames() {
    let clock = Clock::new();
    let error = inferstream_core::Error::new(ErrorKind::Disconnected, "the connection was lost");
    let pieces: [Piece; 5] = [
        "id: 1\nevent: e\nda".into(),
        seconds(5).into(),
        "ta: a\n\ndata: b\n\nretry: 9\n".into(),
        "data: c".into(),
        error.into(),
    ];
    let (body, watch) = body(&clock, pieces);
    let mut stream = frames(body);
    let mut seen = Vec::new();
    let error = block_on(&clock, async {
        loop {
            match stream.next().await.unwrap() {
                Ok(frame) => seen.push((frame.event, frame.data.to_string(), frame.id)),
                Err(FramesError::Input(error)) => return error,
                Err(error) => panic!("{error}"),
            }
        }
    });
    let own = |event: &str, data: &str| (event.to_owned(), data.to_owned(), "1".to_owned());
    assert_eq!(seen, [own("e", "a"), own("message", "b")]);
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(stream.decoder().retry(), Some(Duration::from_millis(9)));
    assert!(watch.dropped());
    assert!(block_on(&clock, stream.next()).is_none());
}

#[test]
fn a_limit_ends_the_stream_of_frames() {
    let clock = Clock::new();
    let (body, watch) = body(&clock, ["data: a\n\ndata: abc\n\n".into(), Piece::Hang]);
    let mut stream = Frames::new(body, Decoder::new(Limits::default().line(8)));
    assert_eq!(block_on(&clock, stream.next()).unwrap().unwrap().data, "a");
    let error = block_on(&clock, stream.next()).unwrap().unwrap_err();
    assert!(matches!(error, FramesError::TooLarge(_)));
    assert!(watch.dropped());
    assert!(block_on(&clock, stream.next()).is_none());
}

#[test]
fn texts_with_equal_content_are_equal_in_any_buffer() {
    let buffer = Bytes::from_static(b"abab");
    let whole = std::str::from_utf8(&buffer).unwrap();
    let texts: HashSet<_> = [
        Text::slice_of(&buffer, &whole[..2]),
        Text::slice_of(&buffer, &whole[2..]),
        Text::from("ab"),
    ]
    .into();
    assert_eq!(texts.len(), 1);
    assert!(texts.contains("ab"));
}
