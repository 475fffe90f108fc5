//! The detection of a response's protocol, and its frames.

use std::fmt::Write;

use bytes::Bytes;
use inferstream_cloudflare::playground::framer::PlaygroundFrames;
use inferstream_core::{
    Text,
    sse::{Framer, Limits, TooLarge},
};

use crate::support::strategies::cut;

/// The event by which tests identify a document.
const DOCUMENT: &str = "(document)";

/// The event and the data of a frame.
type Seen = (String, String);

/// All frames, the tail and the error.
type Verdict = (Vec<Seen>, Option<Seen>, Option<TooLarge>);

pub(super) fn frames_of(limits: Limits, pieces: impl IntoIterator<Item = Bytes>) -> Verdict {
    let mut framer = PlaygroundFrames::new(limits);
    let mut seen = Vec::new();
    let mut error = None;
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    let text = Text::slice_of(frame.buffer, frame.data);
                    assert_eq!(text, frame.data, "the buffer contains the data");
                    seen.push((frame.event.to_owned(), frame.data.to_owned()));
                }
                Err(found) => {
                    assert_eq!(framer.next_frame(), Err(found), "the error repeats");
                    error = Some(found);
                    break;
                }
            }
        }
    }
    let tail = match framer.document() {
        Some(document) => Some((DOCUMENT.to_owned(), document.as_str().to_owned())),
        None => framer
            .tail()
            .map(|frame| (frame.event.to_owned(), frame.data.to_owned())),
    };
    (seen, tail.filter(|_| error.is_none()), error)
}

pub(super) fn bytewise(bytes: &[u8]) -> Vec<Bytes> {
    bytes.chunks(1).map(Bytes::copy_from_slice).collect()
}

#[track_caller]
fn check_limits(
    limits: Limits,
    bytes: &[u8],
    frames: &[(&str, &str)],
    tail: Option<(&str, &str)>,
    error: Option<TooLarge>,
) {
    let own = |(event, data): (&str, &str)| (event.to_owned(), data.to_owned());
    let expected = (
        frames.iter().copied().map(own).collect(),
        tail.map(own),
        error,
    );
    for place in 0..=bytes.len() {
        let found = frames_of(limits, cut(bytes, &[place]));
        assert_eq!(found, expected, "cut at {place}");
    }
    assert_eq!(frames_of(limits, bytewise(bytes)), expected, "byte by byte");
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, frames: &[(&str, &str)], tail: Option<(&str, &str)>) {
    check_limits(Limits::default(), bytes.as_ref(), frames, tail, None);
}

#[test]
fn a_code_and_json_are_a_data_stream() {
    check("0:\"a\"\n", &[("0", "\"a\"")], None);
    check("d:{}\n", &[("d", "{}")], None);
    check("e:{}\r\ni:{}\n", &[("e", "{}"), ("i", "{}")], None);
    check(
        "2:[]\n8: []\nk:null\n",
        &[("2", "[]"), ("8", " []"), ("k", "null")],
        None,
    );
}

#[test]
fn fields_and_comments_are_an_event_stream() {
    check("data:1\n\n", &[("message", "1")], None);
    check("event: d\ndata: 1\n\n", &[("d", "1")], None);
    check("id: 1\ndata: 1\n\n", &[("message", "1")], None);
    check("retry: 1\ndata: 1\n\n", &[("message", "1")], None);
    check(
        ":\n\ndata: 1\r\rdata: 2",
        &[("message", "1")],
        Some(("message", "2")),
    );
    check(
        "data: 1\n\n[DONE]\n\n",
        &[("message", "1"), ("message", "[DONE]")],
        None,
    );
}

#[test]
fn anything_else_is_a_document() {
    for text in [
        "{",
        "[]",
        "<a>\n",
        "Not found",
        "dat",
        "error code: 1020",
        "0:x\n",
        "l:{}\n",
        "d",
        "0:",
    ] {
        let is_open = ["dat", "d", "0:"].contains(&text);
        check(text, &[], (!is_open).then_some((DOCUMENT, text)));
    }
}

#[test]
fn leading_white_space_and_a_byte_order_mark_are_ignored() {
    check("\u{feff}\r\n \t0:1\n", &[("0", "1")], None);
    check("\n\u{feff}data: 1\n\n", &[("message", "1")], None);
    check(" \n{} ", &[], Some((DOCUMENT, "{} ")));
    check(" \r\n\t", &[], None);
    check("", &[], None);
}

#[test]
fn blank_lines_are_not_frames() {
    check("0:1\n\n \r\n\r\n0:2\n", &[("0", "1"), ("0", "2")], None);
}

#[test]
fn a_line_without_a_code_has_an_empty_event() {
    let stray = ("", "data: {}");
    check(
        "0:1\ndata: {}\nZ\n::\n",
        &[("0", "1"), stray, ("", "Z"), ("", "::")],
        None,
    );
}

#[test]
fn an_unterminated_last_line_is_the_tail() {
    check("0:1\n0:\"a", &[("0", "1")], Some(("0", "\"a")));
    check("0:1\nd", &[("0", "1")], Some(("", "d")));
    check("0:1\n \r", &[("0", "1")], None);
}

#[test]
fn a_cr_alone_does_not_end_a_line() {
    check("0:1\r2\r\n", &[("0", "1\r2")], None);
}

#[test]
fn invalid_utf8_is_replaced() {
    check(b"0:\"\xff\"\n", &[("0", "\"\u{fffd}\"")], None);
    check(b"<\xff", &[], Some((DOCUMENT, "<\u{fffd}")));
    check(b"\xff", &[], Some((DOCUMENT, "\u{fffd}")));
}

#[test]
fn a_line_above_the_limit_is_an_error_after_the_complete_lines() {
    let limits = Limits::default().line(6);
    let error = Some(TooLarge::new("line", 6));
    check_limits(
        limits,
        b"0:1234\r\n0:1234\n",
        &[("0", "1234"); 2],
        None,
        None,
    );
    check_limits(
        limits,
        b"0:1234\n0:12345\n0:1\n",
        &[("0", "1234")],
        None,
        error,
    );
    check_limits(limits, b"0:1234\n0:12345", &[("0", "1234")], None, error);
    check_limits(limits, b"0:1234\r\r\n", &[], None, error);
}

#[test]
fn events_and_documents_have_their_limits() {
    let limits = Limits::default().line(8).frame(4).document(4);
    let error = TooLarge::new("line", 8);
    check_limits(
        limits,
        b"data: 1\n\ndata: 234\n\n",
        &[("message", "1")],
        None,
        Some(error),
    );
    check_limits(limits, b"{123", &[], Some((DOCUMENT, "{123")), None);
    let error = TooLarge::new("document", 4);
    check_limits(limits, b"{1234", &[], None, Some(error));
}

#[test]
fn after_a_reset_another_response_begins() {
    let mut framer = PlaygroundFrames::default();
    framer.push("0:1\n0:2".into());
    assert_eq!(framer.next_frame().unwrap().unwrap().data, "1");
    framer.reset();
    framer.push("data: 3\n\n".into());
    assert_eq!(framer.next_frame().unwrap().unwrap().data, "3");
    framer.reset();
    assert!(framer.tail().is_none());
}

#[test]
fn a_line_within_one_read_is_not_copied() {
    let read = Bytes::from("0:\"a\"\n0:\"b\"\n");
    let range = read.as_ptr_range();
    let mut framer = PlaygroundFrames::default();
    framer.push(read.clone());
    for _ in 0..2 {
        let frame = framer.next_frame().unwrap().unwrap();
        assert!(range.contains(&frame.data.as_ptr()));
        assert!(range.contains(&frame.buffer.as_ptr()));
    }
}

#[test]
fn debug_output_does_not_show_the_response() {
    let mut framer = PlaygroundFrames::default();
    framer.push("0:\"secret".into());
    let shown = format!("{framer:?}");
    assert!(
        shown.contains("lines") && !shown.contains("secret"),
        "{shown}"
    );
}

/// The test does not measure time: with a quadratic algorithm it would not finish.
#[test]
fn the_work_is_linear() {
    let mut many = String::new();
    for number in 0..200_000 {
        writeln!(many, "0:\"{number}\"").unwrap();
    }
    let limits = Limits::default();
    let (frames, ..) = frames_of(limits, [Bytes::from(many.clone())]);
    assert_eq!(frames.len(), 200_000);
    let (frames, ..) = frames_of(limits, bytewise(many.as_bytes()));
    assert_eq!(frames.len(), 200_000);
    for begin in ["0:", "{", "data: ", " "] {
        let long = begin.to_owned() + &" ".repeat(1_000_000);
        let (frames, _, error) = frames_of(limits, bytewise(long.as_bytes()));
        assert!(frames.is_empty() && error.is_none());
    }
}
