//! Invalid, closing and fragmented frames inside a response.

use inferstream_cloudflare::ErrorKind;

use super::{
    CHUNKS, TEXT, plan,
    plan::{Break, Plan, Resume},
    run,
};

/// The text of the first five chunks.
const PARTIAL: &str = "Hello, 世界";

/// The index of the chunk after `finish`.
const FINISHED: usize = CHUNKS.len();

fn framed(head: &[u8], payload: &[u8]) -> Vec<u8> {
    [head, payload].concat()
}

/// A close frame with this payload.
fn close(payload: &[u8]) -> Vec<u8> {
    framed(&[0x88, u8::try_from(payload.len()).unwrap()], payload)
}

fn close_with(code: u16, reason: &[u8]) -> Vec<u8> {
    close(&[&code.to_be_bytes(), reason].concat())
}

/// Frames that violate the protocol (RFC 6455, sections 5 and 8.1).
fn invalid() -> Vec<(&'static str, Vec<u8>)> {
    let long = [b'a'; 126];
    let mut frames = vec![
        ("a masked frame", framed(&[0x81, 0x81, 1, 2, 3, 4], b"a")),
        ("a masked ping", framed(&[0x89, 0x80, 1, 2, 3, 4], b"")),
        ("a continuation of nothing", framed(&[0x80, 1], b"a")),
        ("a text in a text", framed(&[0x01, 1, b'{', 0x81, 1], b"a")),
        (
            "a binary in a text",
            framed(&[0x01, 1, b'{', 0x82, 1], b"a"),
        ),
        ("a ping in fragments", framed(&[0x09, 1], b"a")),
        ("a pong in fragments", framed(&[0x0A, 1], b"a")),
        ("a close in fragments", framed(&[0x08, 2], &[3, 0xE8])),
        ("a long ping", framed(&[0x89, 126, 0, 126], &long)),
        ("a long pong", framed(&[0x8A, 126, 0, 126], &long)),
        ("a long close", framed(&[0x88, 126, 0, 126], &long)),
        ("no UTF-8", framed(&[0x81, 2], &[0xFF, 0xFE])),
        ("half a character", framed(&[0x81, 2], &[0xE4, 0xB8])),
        ("a surrogate", framed(&[0x81, 3], &[0xED, 0xA0, 0x80])),
        (
            "no UTF-8 in the last fragment",
            framed(&[0x01, 1, b'a', 0x80, 1], &[0xFF]),
        ),
        (
            "half a character in the last fragment",
            framed(&[0x01, 1, 0xE4, 0x80, 1], &[0xB8]),
        ),
        ("a close of one byte", close(&[3])),
        ("a close reason without UTF-8", close(&[3, 0xE8, 0xFF])),
    ];
    for bits in [0x40, 0x20, 0x10, 0x70] {
        frames.push(("a reserved bit in a text", framed(&[0x81 | bits, 1], b"a")));
        frames.push(("a reserved bit in a ping", framed(&[0x89 | bits, 0], b"")));
        frames.push(("a reserved bit in a close", framed(&[0x88 | bits, 0], b"")));
    }
    for kind in (3..8).chain(11..16) {
        frames.push(("a reserved opcode", framed(&[0x80 | kind, 0], b"")));
    }
    frames
}

#[test]
fn invalid_frames_are_a_protocol_error_after_the_text_before_them() {
    for (what, bytes) in invalid() {
        for (index, text) in [(0, ""), (5, PARTIAL), (FINISHED, TEXT)] {
            for piece in [1, usize::MAX] {
                let (outcome, agent) = run(Plan {
                    inject: Some((index, bytes.clone())),
                    piece,
                    ..plan()
                });
                let at = format!("{what} before chunk {index}: {:?}", outcome.end);
                assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{at}");
                assert_eq!(outcome.text(), text, "{at}");
                assert!(agent.connections() <= 2, "{at}: one more cancel");
                let is_canceled = 0 < agent.count("chat_request_cancel");
                assert_eq!(is_canceled, index < FINISHED, "{at}");
            }
        }
    }
    // Before the response, too.
    for (what, raw) in invalid() {
        let (outcome, _) = run(Plan { raw, ..plan() });
        assert_eq!(outcome.kind(), Some(ErrorKind::Protocol), "{what}");
    }
}

/// Codes that a close frame may contain, except 1000.
const CODES: [u16; 17] = [
    1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4001, 4408,
    4999,
];

/// Codes that must not be sent in a close frame (RFC 6455, section 7.4).
const INVALID_CODES: [u16; 12] = [
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535,
];

#[test]
fn a_close_with_any_code_inside_a_response_is_a_lost_connection() {
    for code in [1000].into_iter().chain(CODES).chain(INVALID_CODES) {
        for reason in [&b""[..], "\u{1b}[2J世".as_bytes(), &[b'x'; 123]] {
            for index in [0, 5, FINISHED - 1] {
                let plan = Plan {
                    inject: Some((index, close_with(code, reason))),
                    ..plan()
                };
                let (outcome, agent) = run(plan.clone());
                let at = format!("{code} before chunk {index}: {:?}", outcome.end);
                assert_eq!(outcome.kind(), None, "{at}");
                assert_eq!(outcome.text(), TEXT, "{at}");
                assert_eq!(agent.count("use_chat_request"), 1, "{at}");

                let resume = Resume::Gone;
                let (outcome, _) = run(Plan { resume, ..plan });
                let at = format!("{code} before chunk {index}: {:?}", outcome.end);
                assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
                assert!(TEXT.starts_with(&outcome.text()), "{at}");
            }
        }
    }
}

#[test]
fn a_close_after_the_finish_is_complete_only_if_it_is_normal() {
    let check = |payload: &[u8], kind| {
        let (outcome, _) = run(Plan {
            inject: Some((FINISHED, close(payload))),
            resume: Resume::Gone,
            last: Vec::new(),
            ..plan()
        });
        assert_eq!(outcome.kind(), kind, "{payload:?}: {:?}", outcome.end);
        assert_eq!(outcome.text(), TEXT, "{payload:?}");
    };
    check(&[], None);
    check(&1000_u16.to_be_bytes(), None);
    check(b"\x03\xE8bye", None);
    for code in CODES.into_iter().chain(INVALID_CODES) {
        check(&code.to_be_bytes(), Some(ErrorKind::Truncated));
    }
}

#[test]
fn frames_after_a_close_are_ignored() {
    let more = br#"{"type":"cf_agent_use_chat_response","body":"x"}"#;
    let length = u8::try_from(more.len()).unwrap();
    let bytes = [close_with(1000, b""), framed(&[0x81, length], more)].concat();
    let (outcome, _) = run(Plan {
        inject: Some((FINISHED, bytes)),
        ..plan()
    });
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    assert_eq!(outcome.text(), TEXT);
}

#[test]
fn messages_may_have_many_fragments_with_pings_between_them() {
    for fragment in [1, 2, 3, 7, 100] {
        for (binary, pings) in [(false, false), (false, true), (true, true)] {
            for piece in [1, 5, usize::MAX] {
                let (outcome, _) = run(Plan {
                    piece,
                    fragment,
                    pings,
                    binary,
                    ..plan()
                });
                assert_eq!(outcome.kind(), None, "{fragment}: {:?}", outcome.end);
                assert_eq!(outcome.text(), TEXT);
            }
        }
    }
}

#[test]
fn a_fragmented_response_that_is_cut_is_complete_only_if_it_is_resumed() {
    let fragmented = || Plan {
        fragment: 40,
        pings: true,
        ..plan()
    };
    let (_, agent) = run(fragmented());
    let length = agent.seen.lock().unwrap().sent[0] - 2;
    for (how, resume, kind) in [
        (Break::Lost, Resume::Ended, None),
        (Break::Closed, Resume::Gone, Some(ErrorKind::Truncated)),
    ] {
        for bytes in (0..length).step_by(3) {
            let (outcome, _) = run(Plan {
                cuts: vec![Some((bytes, how))],
                resume,
                ..fragmented()
            });
            let at = format!("{how:?} at {bytes} of {length}: {:?}", outcome.end);
            assert_eq!(outcome.kind(), kind, "{at}");
            assert!(TEXT.starts_with(&outcome.text()), "{at}");
        }
    }
}
