//! Text after a finish reason that starts with all text before it, which may be a copy.

use std::time::Duration;

use inferstream_core::ErrorKind;

use super::{
    GOING_ON,
    protocols::{Part, Stream},
    run, text,
};
use crate::support::{Piece, seconds};

#[test]
fn a_truncated_event_with_it_is_truncated() {
    for protocol in GOING_ON {
        let stream = Stream::new(protocol, &[text("i"), Part::Reason]).bytes;
        let event = protocol.event(&text("ia"), 9);
        let text_ends = event.find("\"ia").unwrap() + "\"ia".len();
        for place in text_ends..event.len() - 1 {
            let at = format!("{protocol:?}: {}", &event[..place]);
            let outcome = run(protocol, &(stream.clone() + &event[..place]));
            assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
            assert_eq!(outcome.text(), "i", "{at}");
        }
    }
}

#[test]
fn an_event_cut_after_it_is_truncated() {
    for protocol in GOING_ON {
        let parts = [text("i"), Part::Reason, text("ia")];
        let stream = Stream::new(protocol, &parts).bytes;
        for rest in [text("b"), Part::Reason, Part::Usage] {
            let event = protocol.event(&rest, 9);
            for place in 1..event.len() - 1 {
                let at = format!("{protocol:?}: {}", &event[..place]);
                let outcome = run(protocol, &(stream.clone() + &event[..place]));
                assert_eq!(outcome.kind(), Some(ErrorKind::Truncated), "{at}");
                assert_eq!(outcome.error().partial().unwrap().text(), "iia", "{at}");
            }
        }
    }
}

// The response may also have held text from before its finish reason.
#[test]
fn it_extends_the_wait_for_the_end() {
    let wait = || Piece::Wait(Duration::from_millis(1500));
    for protocol in GOING_ON {
        for before in [&["i"][..], &["i", "ia"]] {
            let mut parts: Vec<_> = before.iter().map(|part| text(part)).collect();
            parts.push(Part::Reason);
            let event = |part: &str| Piece::from(&*protocol.event(&text(part), 9));
            let last = before.last().unwrap().to_string() + "b";
            let outcome = protocol.run(vec![
                Piece::from(&*Stream::new(protocol, &parts).bytes),
                wait(),
                event(&last),
                wait(),
                event("c"),
                Piece::Hang,
            ]);
            assert_eq!(outcome.kind(), None, "{protocol:?}: {:?}", outcome.end);
            assert_eq!(
                outcome.text(),
                before.concat() + &last + "c",
                "{protocol:?}"
            );
            assert_eq!(outcome.elapsed, seconds(5), "{protocol:?}");
        }
    }
}
