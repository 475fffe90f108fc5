//! The rest of a connection after the end of the response.

use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use inferstream_core::{ChatStream, Error, TextStream, Timeouts, protocol::Started};

use super::{comment, frames, open};
use crate::support::{Clock, Piece, block_on, body};

#[test]
fn a_body_at_its_end_is_polled_once_more() {
    let mut opened = open(Timeouts::default(), [frames("a [DONE]")]);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert_eq!(opened.watch.polls(), 2);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.run_tasks(), 0);
}

#[test]
fn the_rest_of_a_body_is_read_in_the_background() {
    let rest = [
        frames("a [DONE]"),
        Piece::Wait(Duration::from_millis(20)),
        comment(),
    ];
    let mut opened = open(Timeouts::default(), rest);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert!(!opened.watch.dropped());
    drop(opened.stream);
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.clock.elapsed(), Duration::from_millis(20));
}

#[test]
fn the_rest_of_a_body_is_read_for_fifty_milliseconds() {
    let mut opened = open(Timeouts::default(), [frames("a [DONE]"), Piece::Hang]);
    opened.expect("a");
    assert!(opened.next().is_none());
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    assert_eq!(opened.script.clock.elapsed(), Duration::from_millis(50));
}

#[test]
fn the_rest_of_a_body_is_read_up_to_64_kib() {
    let kib = Piece::Bytes(Bytes::from(vec![b'x'; 1 << 10]));
    let pieces = std::iter::once(frames("a [DONE]")).chain(std::iter::repeat(kib));
    let mut opened = open(Timeouts::default(), pieces);
    opened.expect("a");
    let before = opened.watch.bytes();
    assert!(opened.next().is_none());
    assert_eq!(opened.script.run_tasks(), 1);
    assert!(opened.watch.dropped());
    // And the fragment of the first poll, and the one that exceeds the limit.
    let read = opened.watch.bytes() - before;
    assert_eq!(read, (64 << 10) + (2 << 10));
}

#[test]
fn a_stream_without_an_end_marker_closes_its_connection() {
    let mut opened = open(Timeouts::default(), [frames("fin"), Piece::Hang]);
    opened.expect("fin");
    assert!(opened.next().is_none());
    assert!(opened.watch.dropped());
}

#[test]
fn streams_are_send_and_static() {
    fn goes<T: Send + Unpin + 'static>() {}
    fn streams<T: Stream + Send + Unpin>() {}
    goes::<ChatStream>();
    streams::<ChatStream>();
    streams::<TextStream<'_>>();
    goes::<Error>();
    goes::<Started>();
}

#[test]
fn a_body_skips_empty_fragments() {
    let clock = Clock::new();
    let (mut body, _) = body(&clock, ["".into(), "a".into(), "".into()]);
    assert_eq!(block_on(&clock, body.data()).unwrap().unwrap(), "a");
    assert!(block_on(&clock, body.data()).is_none());
}
