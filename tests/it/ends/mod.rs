//! If the input ends inside an event, the response is an error or has a warning, in every protocol.

mod held;
mod properties;
mod protocols;
mod replaced;

use inferstream_core::{Error, ErrorKind, Phase};

use self::protocols::{Part, Protocol, Stream};
use crate::support::{Outcome, Piece, broken, piece, seconds};

const COUNTS: &str = "token counts or other details are missing";

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

#[track_caller]
fn run(protocol: Protocol, stream: &str) -> Outcome {
    protocol.run(vec![piece(stream.as_bytes())])
}

/// Checks that an outcome is a success whose only warning reports missing token counts.
#[track_caller]
fn check_warned(outcome: &Outcome, at: &str) {
    assert_eq!(outcome.kind(), None, "{at}: {:?}", outcome.end);
    let warnings = &outcome.meta().warnings;
    assert!(
        matches!(&warnings[..], [warning] if warning.ends_with(COUNTS)),
        "{at}: {warnings:?}"
    );
}

/// The protocols in which text may come after a finish reason.
const GOING_ON: [Protocol; 4] = [
    Protocol::Chat,
    Protocol::Cerebras,
    Protocol::Native,
    Protocol::OpenAi,
];

#[test]
fn an_event_cut_after_text_after_a_finish_reason_is_truncated() {
    for protocol in GOING_ON {
        let parts = [text("Hello"), Part::Reason, text(" wor")];
        let stream = Stream::new(protocol, &parts).bytes;
        for rest in [text("ld"), Part::Reason, Part::Usage] {
            let event = protocol.event(&rest, 9);
            for place in 1..event.len() {
                let at = format!("{protocol:?}: {}", &event[..place]);
                let outcome = run(protocol, &(stream.clone() + &event[..place]));
                assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
                assert_eq!(outcome.error().partial().unwrap().text(), "Hello wor");
            }
        }
    }
}

// Text that begins with all the text before it is held back, because it may be a copy of it.
#[test]
fn held_back_text_comes_before_every_error() {
    for protocol in GOING_ON {
        let stream = Stream::new(protocol, &[text("a"), text("ab")]).bytes;
        let rests = [
            (broken(), ErrorKind::Truncated),
            (
                Piece::Error(Error::protocol("invalid chunked encoding")),
                ErrorKind::Protocol,
            ),
            (piece(b"data: {]}\n\n"), ErrorKind::Protocol),
            (Piece::Hang, ErrorKind::Timeout(Phase::Idle)),
        ];
        for (rest, kind) in rests {
            let outcome = protocol.run(vec![piece(stream.as_bytes()), rest]);
            assert_eq!(outcome.kind(), Some(kind), "{protocol:?}");
            assert_eq!(outcome.text(), "aab", "{protocol:?}, {kind}");
            assert_eq!(outcome.error().partial().unwrap().text(), "aab");
        }
    }
}

#[test]
fn a_usage_event_cut_after_the_finish_reason_is_a_warning() {
    for protocol in GOING_ON.into_iter().chain([Protocol::Messages]) {
        let stream = Stream::new(protocol, &[text("Hello"), Part::Reason]).bytes;
        let event = protocol.event(&Part::Usage, 9);
        for place in 1..event.len() {
            let at = format!("{protocol:?}: {}", &event[..place]);
            let cut = stream.clone() + &event[..place];
            check_warned(&run(protocol, &cut), &at);
            // The same if the connection stays open.
            let silent = protocol.run(vec![Piece::from(&*cut), Piece::Hang]);
            check_warned(&silent, &at);
            assert_eq!(silent.elapsed, seconds(2), "{at}");
        }
    }
}

#[test]
fn an_event_without_text_after_the_finish_reason_does_not_change_that() {
    for protocol in GOING_ON {
        let parts = [text("Hello"), Part::Reason, Part::Reason, Part::Comment];
        let stream = Stream::new(protocol, &parts).bytes;
        let event = protocol.event(&Part::Usage, 9);
        for place in 1..event.len() {
            let at = format!("{protocol:?}: {}", &event[..place]);
            check_warned(&run(protocol, &(stream.clone() + &event[..place])), &at);
        }
    }
}

#[test]
fn text_in_a_truncated_event_is_not_lost_silently() {
    for protocol in GOING_ON {
        let stream = Stream::new(protocol, &[text("Hello"), Part::Reason]).bytes;
        let event = protocol.event(&text(" world"), 9);
        let text_begins = event.find("world").unwrap() + 1;
        for place in 1..event.len() {
            let at = format!("{protocol:?}: {}", &event[..place]);
            let outcome = run(protocol, &(stream.clone() + &event[..place]));
            if place < text_begins - 1 {
                check_warned(&outcome, &at);
            } else {
                assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
            }
        }
    }
}

#[test]
fn an_error_in_a_truncated_event_is_not_lost_silently() {
    let stream = Stream::new(Protocol::Chat, &[text("Hello"), Part::Reason]).bytes;
    for (rest, kind) in [
        (r#"data: {"error":{"message":"overl"#, ErrorKind::Truncated),
        // An error in plain text is an error wherever it is truncated.
        ("event: error\ndata: over", ErrorKind::Provider),
        ("event: error\ndata: {", ErrorKind::Truncated),
    ] {
        let outcome = run(Protocol::Chat, &(stream.clone() + rest));
        assert_eq!(outcome.kind(), Some(kind), "{rest}");
    }
}

/// JSON without a field name is an event of its own, and the next `data` field ends it.
#[test]
fn an_event_before_the_truncated_one_counts() {
    for protocol in GOING_ON {
        let stream = Stream::new(protocol, &[text("Hello"), Part::Reason]).bytes;
        let more = protocol.event(&text("more"), 9);
        for (rest, kind) in [
            (
                format!("{{}}\n{}", more.trim_end()),
                Some(ErrorKind::Truncated),
            ),
            (
                "{\"error\":{\"message\":\"m\"}}\ndata: [DONE]".to_owned(),
                Some(ErrorKind::Provider),
            ),
            (
                "{\"error\":{\"message\":\"m\"}}\ndata: {\"us".to_owned(),
                Some(ErrorKind::Provider),
            ),
            ("{}\ndata: [DONE]".to_owned(), None),
        ] {
            let outcome = run(protocol, &(stream.clone() + &rest));
            assert_eq!(outcome.kind(), kind, "{protocol:?}: {rest}");
        }
        let last = protocol.event(&text(" world"), 9);
        let outcome = run(protocol, &(stream + last.trim_end() + "\n{\"us"));
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{protocol:?}");
        assert_eq!(outcome.error().partial().unwrap().text(), "Hello world");
    }
}

#[test]
fn a_truncated_comment_or_marker_has_no_warning() {
    for protocol in GOING_ON.into_iter().chain([Protocol::Messages]) {
        let stream = Stream::new(protocol, &[text("Hello"), Part::Reason]).bytes;
        for rest in [
            "",
            "\n",
            "\r",
            "\n\n\n",
            " ",
            ":",
            ": wait",
            ": wait\n",
            ": wait\n\n: w",
            "data: [DONE]",
            "data: [DONE]\n",
            "data:[DONE]",
            "[DONE]",
            "[DONE]\n",
        ] {
            let outcome = run(protocol, &(stream.clone() + rest));
            let at = format!("{protocol:?}: {rest:?}");
            assert_eq!(outcome.kind(), None, "{at}: {:?}", outcome.end);
            assert_eq!(outcome.meta().warnings, Vec::<String>::new(), "{at}");
        }
    }
}

#[test]
fn a_truncated_event_has_a_warning() {
    let stream = Stream::new(Protocol::Chat, &[text("Hello"), Part::Reason]).bytes;
    for rest in [
        "d",
        "da",
        "data",
        "data:",
        "data: ",
        "data:\n",
        "data: [DON",
        "data: \"[DO",
        "data: {",
        "data: {}\n",
        "event",
        "event: x\n",
        "event\n",
        "{}\n",
        "id: 7\n",
        "retry: 3",
        ": wait\nda",
        "\u{e9}",
        r#"data: {"id":"c1","usage":{"prom"#,
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"st"#,
    ] {
        check_warned(&run(Protocol::Chat, &(stream.clone() + rest)), rest);
    }
    let bytes = [stream.as_bytes(), b"\xE2\x82"].concat();
    check_warned(&Protocol::Chat.run(vec![piece(&bytes)]), "half a character");
}

#[test]
fn a_connection_that_breaks_inside_an_event_is_truncated() {
    for protocol in GOING_ON.into_iter().chain([Protocol::Messages]) {
        let stream = Stream::new(protocol, &[text("Hello"), Part::Reason]).bytes;
        let outcome = protocol.run(vec![Piece::from(&*(stream + "data: {")), broken()]);
        assert_eq!(outcome.kind(), Some(ErrorKind::Truncated));
    }
}
