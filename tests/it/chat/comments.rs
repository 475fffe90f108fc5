//! Comments that gateways send as data.

use std::time::Duration;

use inferstream_core::End;

use super::{Answer, Client, FINISH, TEXT, frames, run};
use crate::support::{Piece, seconds};

#[test]
fn comments_sent_as_data_are_ignored() {
    for comment in [
        ":",
        ": keep-alive",
        " : ping",
        ":{\"error\":{}}",
        ": [DONE]",
    ] {
        for client in [Client::Plain, Client::Cerebras] {
            let list = [comment, TEXT, comment, TEXT, FINISH, comment, "[DONE]"];
            let outcome = run(client, Answer::sse([frames(&list)]));
            assert_eq!(outcome.kind(), None, "{comment}: {:?}", outcome.end);
            assert_eq!(outcome.text(), "aa", "{comment}");
            assert_eq!(outcome.response().end, Some(End::Marker), "{comment}");
            assert_eq!(outcome.meta().warnings, [""; 0], "{comment}");
        }
    }
}

#[test]
fn comments_sent_as_data_do_not_extend_the_wait_for_the_end() {
    let comment = [Piece::Wait(Duration::from_millis(900)), frames(&[": ping"])];
    let pieces =
        std::iter::once(frames(&[TEXT, FINISH])).chain(comment.into_iter().cycle().take(20));
    let outcome = run(Client::Plain, Answer::sse(pieces.collect::<Vec<_>>()));
    assert_eq!(outcome.response().end, Some(End::FinishReason));
    assert_eq!(outcome.elapsed, seconds(2));
}
