//! The scripted transport of core: delays, truncation, splits and the record of requests.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http::Request;
use inferstream_core::{Error, ErrorKind, Phase, Result, Timeouts, Timer, Transport};
use inferstream_test::{Clock, Piece, Reply, ScriptedTransport};

use crate::support::{poll_once, seconds};

fn get() -> Request<Bytes> {
    Request::get("https://test.test/a")
        .body(Bytes::new())
        .unwrap()
}

/// Sends a request, and returns the reads of its body and how it ended.
fn read(transport: &ScriptedTransport) -> (Vec<Bytes>, Result<()>) {
    transport.block_on(async {
        let mut reads = Vec::new();
        let mut body = match transport.send(get()).await {
            Ok(response) => response.into_body(),
            Err(error) => return (reads, Err(error)),
        };
        loop {
            match body.data().await {
                None => return (reads, Ok(())),
                Some(Ok(bytes)) => reads.push(bytes),
                Some(Err(error)) => return (reads, Err(error)),
            }
        }
    })
}

/// Checks the reads of a reply's body, and the kind of the error at its end.
#[track_caller]
fn check(reply: Reply, reads: &[&str], error: Option<ErrorKind>) {
    let (found, end) = read(&ScriptedTransport::new([reply]));
    assert_eq!(found, reads);
    assert_eq!(end.err().map(|error| error.kind()), error);
}

#[test]
fn a_body_ends_or_breaks_after_a_number_of_bytes() {
    let reply = || Reply::sse(["abc", "def"]);
    let lost = Some(ErrorKind::Disconnected);
    check(reply(), &["abc", "def"], None);
    check(reply().end_after(4), &["abc", "d"], None);
    check(reply().disconnect_after(4), &["abc", "d"], lost);
    check(reply().disconnect_after(3), &["abc"], lost);
    check(reply().end_after(3), &["abc"], None);
    check(reply().end_after(0), &[], None);
    check(reply().end_after(99), &["abc", "def"], None);
    check(reply().disconnect_after(99), &["abc", "def"], lost);
}

#[test]
fn a_body_is_split_into_reads_of_a_size() {
    check(
        Reply::sse(["abc", "de"]).split_every(2),
        &["ab", "c", "de"],
        None,
    );
    let reply = Reply::new(200, ["abcd"]).split_every(1).end_after(2);
    check(reply, &["a", "b"], None);
}

#[test]
fn a_request_beyond_the_script_is_an_error() {
    let transport = ScriptedTransport::new([Reply::empty(204)]);
    assert!(read(&transport).1.is_ok());
    let error = read(&transport).1.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Config, false)
    );
    assert_eq!(transport.requests().len(), 2);
}

#[test]
fn delays_advance_the_clock_and_nothing_else() {
    let hour = seconds(3600);
    let pieces = ["a".into(), hour.into(), Piece::from("b")];
    let transport = ScriptedTransport::new([Reply::sse(pieces).after(hour)]);
    assert_eq!(read(&transport).0, ["a", "b"]);
    assert_eq!(transport.clock().elapsed(), 2 * hour);
}

#[test]
fn the_timeout_of_the_headers_applies() {
    let limit = seconds(5);
    for (reply, is_timeout) in [
        (Reply::hang(), true),
        (Reply::empty(200).after(seconds(6)), true),
        (Reply::empty(200).after(limit), false),
        (Reply::error(Error::config("no")), false),
    ] {
        let transport = ScriptedTransport::new([reply]);
        let mut request = get();
        let timeouts = Timeouts::none().head(limit);
        request.extensions_mut().insert(timeouts);
        let kind = transport.block_on(transport.send(request)).err();
        let kind = kind.map(|error| error.kind());
        assert_eq!(kind == Some(ErrorKind::Timeout(Phase::Head)), is_timeout);
        assert!(transport.clock().elapsed() <= limit);
    }
}

#[test]
fn bodies_and_background_tasks_are_recorded() {
    let transport = ScriptedTransport::by(|_, before| Reply::new(200, [before.len().to_string()]));
    assert_eq!(read(&transport).0, ["0"]);
    let second = transport.block_on(transport.send(get())).unwrap();
    let bodies = transport.bodies();
    assert!(bodies[0].dropped() && !bodies[1].dropped());
    assert_eq!((bodies[0].bytes(), bodies[1].bytes()), (1, 0));
    drop(second);
    assert!(bodies[1].dropped());

    transport.detach(transport.sleep(seconds(9)));
    assert_eq!(transport.clock().elapsed(), Duration::ZERO);
    assert_eq!(transport.run_detached(), 1);
    assert_eq!(transport.clock().elapsed(), seconds(9));
    assert_eq!(transport.sleeps(), [seconds(9)]);
}

#[test]
fn a_clock_wakes_due_waits_and_forgets_dropped_ones() {
    let clock = Clock::new();
    let mut sleep = clock.sleep(seconds(2));
    let mut dropped = clock.sleep(seconds(1));
    assert!(poll_once(&mut dropped).0.is_pending());
    drop(dropped);
    clock.block_on(async { sleep.as_mut().await });
    assert_eq!(clock.elapsed(), seconds(2));
    clock.advance(Duration::MAX);
    assert!(poll_once(clock.sleep(Duration::MAX)).0.is_pending());
    let stuck = std::panic::catch_unwind(|| Clock::new().block_on(pending::<()>()));
    assert!(stuck.is_err(), "it would wait forever");
}
