//! Properties of every response.

use std::task::Poll;

use inferstream_core::{ChatResponse, End, Timeouts};
use proptest::{collection::vec, prelude::*};

use super::{comment, frames, lost, open, show, wait};
use crate::support::{Piece, block_on, poll_once, seconds};

fn pieces() -> impl Strategy<Value = Piece> {
    let words = vec![
        "a", "a b", "reason", "other", "usage", "void", "late:z", "fin", "[DONE]", "err", "a+err",
    ];
    prop_oneof![
        8 => prop::sample::select(words).prop_map(frames),
        2 => prop::sample::select(vec!["data", ": ", "a\n", "\n\n"]).prop_map(Piece::from),
        2 => (0_u64..200).prop_map(wait),
        1 => (0_u64..200).prop_map(|time| Piece::Pass(seconds(time))),
        1 => Just(comment()),
        1 => Just(lost()),
        1 => Just(Piece::Hang),
    ]
}

proptest! {
    #[test]
    fn a_response_has_exactly_one_end(pieces in vec(pieces(), 0..20)) {
        let mut opened = open(Timeouts::default(), pieces);
        let mut sum = ChatResponse::default();
        loop {
            match opened.next() {
                Some(Ok(event)) => sum.add(&event),
                Some(Err(error)) => {
                    prop_assert_eq!(&error.partial().unwrap().choices, &sum.choices);
                    prop_assert_eq!(opened.stream.partial().end, None);
                    break;
                }
                None => {
                    prop_assert!(opened.stream.partial().end.is_some());
                    break;
                }
            }
            prop_assert_eq!(&opened.stream.partial().choices, &sum.choices);
        }
        for _ in 0..3 {
            prop_assert!(opened.next().is_none());
        }
        opened.script.run_tasks();
        prop_assert!(opened.watch.dropped());
    }

    #[test]
    fn the_split_of_a_response_does_not_matter(
        lengths in vec((1_usize..12, 0_u64..100), 0..20),
        polls in 0_usize..4,
    ) {
        let answer = "data: a\n\n: c\r\ndata: b+c\r\rdata: void\n\ndata: fin\n\ndata: [DONE]\n\n";
        let (mut script, mut rest) = (Vec::new(), answer);
        for (length, time) in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            // The two seconds after the finish reason are not part of the wait.
            if !answer[..answer.len() - rest.len()].contains("fin") {
                script.push(wait(time));
            }
            script.push(piece.into());
            rest = after;
        }
        script.push(rest.into());
        let mut opened = open(Timeouts::none(), script);
        for _ in 0..polls {
            // Dropping a future loses nothing.
            if let Poll::Ready(event) = poll_once(opened.stream.next()).0 {
                prop_assert_eq!(show(&event.unwrap().unwrap()), "a");
                return Ok(());
            }
        }
        let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
        prop_assert_eq!((response.text(), response.end), ("abc", Some(End::Marker)));
    }
}
