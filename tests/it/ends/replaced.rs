//! Invalid UTF-8 inside a response is replaced, and one warning reports it.

use super::protocols::Protocol;
use crate::support::{Outcome, piece};

#[track_caller]
fn check(outcome: &Outcome, text: &str, places: &str) {
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text(), text);
    let expected = format!("the response had invalid UTF-8, replaced by U+FFFD in {places}");
    assert_eq!(outcome.meta().warnings, [expected]);
}

const STREAMS: [(Protocol, &[u8]); 5] = [
    (
        Protocol::Chat,
        b"data: {\"choices\":[{\"delta\":{\"content\":\"a@b\"}}]}\n\ndata: [DONE]\n\n",
    ),
    (
        Protocol::Native,
        b"data: {\"response\":\"a@b\"}\n\ndata: [DONE]\n\n",
    ),
    (
        Protocol::Lines,
        b"0:\"a@b\"\nd:{\"finishReason\":\"stop\"}\n",
    ),
    (
        Protocol::Messages,
        b"data: {\"type\":\"text-delta\",\"delta\":\"a@b\"}\n\ndata: [DONE]\n\n",
    ),
    (
        Protocol::Chat,
        b"{\"choices\":[{\"message\":{\"content\":\"a@b\"},\"finish_reason\":\"stop\"}]}",
    ),
];

/// Replaces each `@` of a stream.
fn with(stream: &[u8], bytes: &[u8]) -> Vec<u8> {
    let parts: Vec<_> = stream.split(|byte| *byte == b'@').collect();
    parts.join(bytes)
}

#[test]
fn invalid_bytes_are_replaced_and_reported() {
    for (protocol, stream) in STREAMS {
        for (bytes, shown, places) in [
            (&b"\xFF"[..], "\u{fffd}", "1 place"),
            // The start of a character, followed by another character.
            (b"\xE2\x82", "\u{fffd}", "1 place"),
            (b"\xFF\xC3\xA9\xFF", "\u{fffd}\u{e9}\u{fffd}", "2 places"),
        ] {
            let stream = with(stream, bytes);
            let text = format!("a{shown}b");
            check(&protocol.run(vec![piece(&stream)]), &text, places);
            let bytes = stream.chunks(1).map(piece).collect();
            check(&protocol.run(bytes), &text, places);
        }
    }
}

#[test]
fn valid_text_cut_inside_a_character_is_not_reported() {
    for (protocol, stream) in STREAMS {
        let stream = with(stream, "é€😀".as_bytes());
        for place in 0..stream.len() {
            let (first, second) = stream.split_at(place);
            let outcome = protocol.run(vec![piece(first), piece(second)]);
            assert_eq!(outcome.text(), "aé€😀b");
            assert_eq!(outcome.meta().warnings, Vec::<String>::new());
        }
    }
}

#[test]
fn an_error_keeps_the_warning() {
    let (protocol, stream) = STREAMS[0];
    let stream = with(stream, b"\xFF");
    let end = stream
        .windows(2)
        .position(|bytes| bytes == b"\n\n")
        .unwrap();
    let outcome = protocol.run(vec![piece(&stream[..end + 2])]);
    assert!(outcome.end.is_err());
    assert_eq!(outcome.meta().warnings.len(), 1);
}

#[test]
fn bytes_outside_of_events_are_not_reported() {
    let (protocol, stream) = STREAMS[0];
    let stream = [b": \xFF\n\nfoo: \xFF\n", &*with(stream, b"-")].concat();
    let outcome = protocol.run(vec![piece(&stream)]);
    assert_eq!(outcome.meta().warnings, Vec::<String>::new());
}
