//! Responses that are read as one document: the limit and the timeouts.

use std::{sync::Arc, time::Duration};

use http::Response;
use inferstream_core::{ErrorKind, Phase, Timeouts, Timer, Transport, protocol::Started};

use super::wait;
use crate::support::{Piece, Script, block_on, body, seconds};

/// Reads a document of at most 4 bytes. Returns it, or its error, and when reading ended.
fn read(
    timeouts: Timeouts,
    pieces: impl IntoIterator<Item = Piece, IntoIter: Send + 'static>,
) -> (Result<String, ErrorKind>, Duration) {
    let script = Script::new([]);
    let (body, _) = body(&script.clock, pieces);
    let transport: Arc<dyn Transport> = Arc::clone(&script) as _;
    let mut started = Started::new(transport, script.now(), timeouts, Response::new(body));
    let outcome = block_on(&script.clock, started.document(4));
    let text = |bytes: bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let outcome = outcome.map(text).map_err(|error| error.kind());
    (outcome, script.clock.elapsed())
}

#[test]
fn a_document_may_be_as_long_as_its_limit() {
    let read = |pieces: &[&'static str]| {
        let pieces: Vec<Piece> = pieces.iter().map(|piece| (*piece).into()).collect();
        read(Timeouts::default(), pieces).0
    };
    assert_eq!(read(&[]).as_deref(), Ok(""));
    assert_eq!(read(&["ab", "c"]).as_deref(), Ok("abc"));
    assert_eq!(read(&["ab", "cd"]).as_deref(), Ok("abcd"));
    for pieces in [&["abcde"][..], &["abc", "de"], &["a", "bcde"]] {
        assert_eq!(read(pieces), Err(ErrorKind::TooLarge), "{pieces:?}");
    }
}

#[test]
fn a_document_has_timeouts() {
    let timeouts = Timeouts::default().idle(Some(seconds(5)));
    let timeouts = timeouts.progress(Some(seconds(8)));
    let idle = Err(ErrorKind::Timeout(Phase::Idle));
    let pieces = || ["a".into(), wait(4), "b".into(), wait(3)];
    assert_eq!(read(timeouts, pieces()), (Ok("ab".to_owned()), seconds(7)));
    let silent = ["a".into(), wait(2), "b".into(), wait(6)];
    assert_eq!(read(timeouts, silent), (idle, seconds(7)));
    let progress = Err(ErrorKind::Timeout(Phase::Progress));
    let slow = [
        "a".into(),
        wait(4),
        "b".into(),
        wait(4),
        "c".into(),
        wait(4),
    ];
    assert_eq!(read(timeouts, slow), (progress, seconds(8)));
}
