//! What a decoder reports beside its frames: replaced characters, an incomplete event, its limits.

use bytes::Bytes;
use inferstream_core::sse::{Decoder, Framer, Limits};
use inferstream_test::strategy::streams;
use proptest::prelude::*;

use super::{bytewise, decode_with, naive};
use crate::support::strategies::cut;

/// Checks a property of a decoder after a stream, however the stream is split.
#[track_caller]
fn check<T: std::fmt::Debug + PartialEq>(
    stream: &[u8],
    decoder: impl Fn() -> Decoder,
    property: impl Fn(&mut Decoder) -> T,
    expected: &T,
) {
    let shown = String::from_utf8_lossy(stream);
    let check = |pieces: Vec<Bytes>, how: &str| {
        let (mut decoder, _) = decode_with(decoder(), pieces);
        assert_eq!(&property(&mut decoder), expected, "{shown:?} {how}");
    };
    for place in 0..=stream.len() {
        check(cut(stream, &[place]), &format!("cut at {place}"));
    }
    check(bytewise(stream), "byte by byte");
}

#[track_caller]
fn check_replaced(stream: impl AsRef<[u8]>, count: usize) {
    let replaced = |decoder: &mut Decoder| decoder.replaced();
    check(stream.as_ref(), Decoder::default, replaced, &count);
    let replaced = |decoder: &mut Decoder| Framer::replaced(decoder);
    check(stream.as_ref(), Decoder::default, replaced, &count);
}

#[track_caller]
fn check_cut(stream: &str, is_cut: bool) {
    let cut = |decoder: &mut Decoder| decoder.is_cut();
    check(stream.as_bytes(), Decoder::default, cut, &is_cut);
    let cut = |decoder: &mut Decoder| Framer::is_cut(decoder);
    check(stream.as_bytes(), Decoder::default, cut, &is_cut);
}

#[test]
fn valid_characters_are_not_counted_as_replaced() {
    check_replaced("", 0);
    check_replaced("event: é\nid: 漢\ndata: \u{FFFD}😀\n\n", 0);
}

#[test]
fn each_replaced_sequence_is_counted() {
    check_replaced(b"data: a\x80b\n\n", 1);
    check_replaced(b"data: \xFF\xFF\xE6\xBC\ndata: \xC3\n\ndata: \xFE\n\n", 5);
    check_replaced(b"event: \xFF\nid: \xC3a\x80\ndata: a\n\n", 3);
    check_replaced([&b"data: \xFF"[..], &[b'x'; 3000], b"\xFF\n\n"].concat(), 2);
}

#[test]
fn bytes_that_are_not_delivered_are_not_counted() {
    check_replaced(b": \xFF\nfoo: \xFF\n\xFF\ndata: a\n\n", 0);
    check_replaced(b"data: a\n\ndata: \xFF", 0);
}

#[test]
fn a_character_cut_by_the_end_is_not_counted() {
    for stream in [
        &b"data: \xFF\n\ndata: \xE6\xBC"[..],
        b"data: \xFF\n\nevent: \xE6\xBC",
        b"data: \xFF\n\nid: \xE6\xBC",
    ] {
        let replaced = |decoder: &mut Decoder| {
            decoder.tail();
            decoder.replaced()
        };
        check(stream, Decoder::default, replaced, &1);
    }
}

#[test]
fn an_input_is_complete_after_a_blank_line() {
    check_cut("", false);
    check_cut("data: a\n\n", false);
    check_cut("data: a\r\r", false);
    check_cut("event: e\r\n\r\n", false);
    check_cut("foo\n\n", false);
}

#[test]
fn an_input_is_cut_after_a_line_of_any_field() {
    for line in [
        "data: a", "data", "event: e", "id: 1", "id: \0", "retry: 1", "retry: x", "error: a",
        "foo: a", "foo", "{", "da", "[DONE]",
    ] {
        check_cut(line, true);
        check_cut(&format!("data: a\n\n{line}\n"), true);
        check_cut(&format!("{line}\r\n: comment\n \n"), true);
        check_cut(&format!("{line}\n\n"), false);
    }
}

#[test]
fn comments_and_spaces_do_not_begin_an_event() {
    for line in [": a", ":", " ", "\t ", "  "] {
        check_cut(line, false);
        check_cut(&format!("data: a\n\n{line}\n"), false);
        check_cut(&format!("{line}\n{line}"), false);
    }
}

#[test]
fn an_error_line_begins_an_event() {
    for line in [
        "data: a\n{\"b\": 1}\n",
        "{\n",
        "error: a\n",
        "data: a\nerror: b\n",
    ] {
        let decoder = || Decoder::default().error_lines();
        let cut = |decoder: &mut Decoder| decoder.is_cut();
        check(line.as_bytes(), decoder, cut, &true);
        check(format!("{line}\n").as_bytes(), decoder, cut, &false);
    }
}

#[test]
fn nothing_is_left_after_a_limit() {
    let decoder = || Decoder::new(Limits::default().line(8));
    let left = |decoder: &mut Decoder| (decoder.is_cut(), decoder.tail().is_some());
    for stream in [
        "data: a\ntoo long a line",
        "data: a\nevent: long\n\ndata: b",
    ] {
        check(stream.as_bytes(), decoder, left, &(false, false));
    }
}

#[test]
fn a_decoder_returns_its_limits() {
    let limits = Limits::default().line(1).frame(2).document(3);
    assert_eq!(Decoder::new(limits).limits(), limits);
    assert_eq!((limits.line, limits.frame, limits.document), (1, 2, 3));
}

#[test]
fn a_decoder_does_not_read_documents() {
    let mut decoder = Decoder::default();
    decoder.push("{}".into());
    assert_eq!(decoder.next_frame(), Ok(None));
    assert!(Framer::document(&mut decoder).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_input_is_cut_as_the_reference_decoder_says(
        stream in streams(),
        cuts in prop::collection::vec(0_usize..400, 0..12),
    ) {
        let (decoder, _) = decode_with(Decoder::default(), cut(&stream, &cuts));
        prop_assert_eq!(decoder.is_cut(), naive::is_cut(&stream));
    }
}
