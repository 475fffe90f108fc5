//! What a caller may do with a stream: read, drop, finish, cancel.

use std::{task::Poll, time::Duration};

use http::Response;
use inferstream_core::{
    Body, End, ErrorKind, FinishReason, Timeouts, Timer, Usage, protocol::Started,
};

use super::{again, comment, frames, lost, open, show, wait};
use crate::support::{Piece, Script, block_on, poll_once, seconds};

#[test]
fn dropping_next_loses_nothing() {
    let pieces = [
        wait(1),
        "data: a\n".into(),
        wait(1),
        "\ndata: b+c\n\n".into(),
        wait(1),
        frames("fin [DONE]"),
    ];
    let mut opened = open(Timeouts::default(), pieces);
    let mut seen = Vec::new();
    loop {
        match poll_once(opened.stream.next()).0 {
            Poll::Pending => opened.script.clock.advance(Duration::from_millis(300)),
            Poll::Ready(None) => break,
            Poll::Ready(Some(event)) => seen.push(show(&event.unwrap())),
        }
    }
    assert_eq!(seen, ["a", "b", "c", "fin"]);
}

#[test]
fn dropping_the_stream_closes_the_connection_at_any_event() {
    for taken in 0..5 {
        let pieces = again(5, &[frames("a"), wait(1)]);
        let mut opened = open(Timeouts::default(), pieces);
        for _ in 0..taken {
            opened.expect("a");
        }
        assert!(!opened.watch.dropped());
        drop(opened.stream);
        assert!(opened.watch.dropped(), "after {taken}");
        assert_eq!(opened.script.run_tasks(), 0);
    }
}

#[test]
fn nothing_is_read_ahead() {
    let mut opened = open(Timeouts::default(), again(10, &[frames("a b")]));
    assert_eq!(opened.watch.polls(), 0);
    opened.expect("a");
    opened.expect("b");
    assert_eq!(opened.watch.polls(), 1);
}

#[test]
fn the_text_view_skips_other_events() {
    let mut opened = open(
        Timeouts::default(),
        [frames("reason a other usage b fin [DONE]")],
    );
    let mut texts = Vec::new();
    while let Some(text) = block_on(&opened.script.clock, opened.stream.text().next()) {
        texts.push(text.unwrap().to_string());
    }
    assert_eq!(texts, ["a", "b"]);
    let partial = opened.stream.partial();
    assert_eq!((partial.text(), partial.reasoning()), ("ab", "reason"));
    assert_eq!(partial.choices[1].text, "other");
}

#[test]
fn the_text_of_a_choice_is_read_by_its_index() {
    let mut opened = open(Timeouts::default(), [frames("a other b other err")]);
    let mut said = Vec::new();
    let error = loop {
        match block_on(&opened.script.clock, opened.stream.text_of(1).next()).unwrap() {
            Ok(text) => said.push((text.to_string(), opened.stream.partial().text().to_owned())),
            Err(error) => break error,
        }
    };
    let pair = |before: &str| ("other".to_owned(), before.to_owned());
    assert_eq!(
        said,
        [pair("a"), pair("ab")],
        "skipped text is kept in `partial`"
    );
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[test]
fn the_text_view_returns_the_error() {
    let mut opened = open(Timeouts::default(), [frames("a")]);
    let clock = opened.script.clock.clone();
    let mut texts = opened.stream.text();
    assert_eq!(block_on(&clock, texts.next()).unwrap().unwrap(), "a");
    let error = block_on(&clock, texts.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(block_on(&clock, texts.next()).is_none());
}

#[test]
fn finish_returns_the_complete_response() {
    let mut opened = open(
        Timeouts::default(),
        [frames("model a"), wait(9), frames("b usage fin [DONE]")],
    );
    opened.expect("a");
    let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
    assert_eq!(response.text(), "ab");
    assert_eq!(response.model.as_deref(), Some("model"));
    assert_eq!(response.finish_reason(), Some(&FinishReason::Stop));
    assert_eq!(
        (response.usage, response.end),
        (Some(Usage::default()), Some(End::Marker))
    );
}

#[test]
fn finish_returns_the_error_with_the_partial_response() {
    let opened = open(Timeouts::default(), [frames("a b")]);
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    assert_eq!(error.partial().unwrap().text(), "ab");
}

#[test]
fn finish_returns_the_error_again() {
    let mut opened = open(Timeouts::default(), [frames("a")]);
    opened.expect("a");
    assert!(opened.next().unwrap().is_err());
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(error.partial().unwrap().text(), "a");
}

#[test]
fn finish_after_the_end_returns_the_response() {
    let mut opened = open(Timeouts::default(), [frames("a fin [DONE]")]);
    while opened.next().is_some() {}
    let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
    assert_eq!((response.text(), response.end), ("a", Some(End::Marker)));
}

#[test]
fn cancel_closes_the_connection_and_returns_the_partial_response() {
    let mut opened = open(Timeouts::default(), [frames("a b"), Piece::Hang]);
    opened.expect("a");
    let response = block_on(&opened.script.clock, opened.stream.cancel()).unwrap();
    assert_eq!((response.text(), response.end), ("a", None));
    assert!(opened.watch.dropped());
}

#[test]
fn a_stream_has_metadata() {
    let mut opened = open(Timeouts::default(), [comment(), wait(3), frames("a")]);
    assert_eq!(opened.stream.meta().request_id(), Some("r-1"));
    assert_eq!(opened.stream.meta().time_to_first_event, None);
    opened.expect("a");
    assert_eq!(opened.stream.meta().time_to_first_event, Some(seconds(3)));
    assert_eq!(opened.stream.meta().attempts, 2);
}

#[test]
fn the_time_to_the_end_is_known_after_the_last_event() {
    let mut opened = open(
        Timeouts::default(),
        [frames("a"), wait(3), frames("b fin [DONE]")],
    );
    for word in ["a", "b", "fin"] {
        opened.expect(word);
        assert_eq!(opened.stream.meta().time_to_end, None);
    }
    assert!(opened.next().is_none());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(3)));
}

#[test]
fn the_time_to_the_end_is_when_the_end_was_read() {
    let mut opened = open(Timeouts::default(), [wait(1), frames("a+b")]);
    opened.expect("a");
    opened.script.clock.advance(seconds(5));
    opened.expect("b");
    assert!(opened.next().unwrap().is_err());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(6)));

    // The end was read together with the events, which the caller processed slowly.
    let mut opened = open(Timeouts::default(), [wait(1), frames("a+err")]);
    opened.expect("a");
    opened.script.clock.advance(seconds(5));
    assert!(opened.next().unwrap().is_err());
    assert_eq!(opened.stream.meta().time_to_end, Some(seconds(1)));
}

#[test]
fn an_error_has_the_time_to_it() {
    let opened = open(Timeouts::default(), [wait(1), frames("a"), wait(4), lost()]);
    let error = block_on(&opened.script.clock, opened.stream.finish()).unwrap_err();
    let meta = &error.partial().unwrap().meta;
    assert_eq!(meta.time_to_first_event, Some(seconds(1)));
    assert_eq!(meta.time_to_end, Some(seconds(5)));
    assert_eq!((meta.attempts, meta.request_id()), (2, Some("r-1")));
}

#[test]
fn the_wait_for_a_missing_end_marker_is_not_part_of_the_time() {
    for rest in [vec![Piece::Hang], vec![wait(1), comment(), Piece::Hang]] {
        let pieces = [wait(1), frames("a fin")].into_iter().chain(rest);
        let opened = open(Timeouts::default(), pieces.collect::<Vec<_>>());
        let response = block_on(&opened.script.clock, opened.stream.finish()).unwrap();
        assert_eq!(opened.script.clock.elapsed(), seconds(3));
        assert_eq!(response.meta.time_to_end, Some(seconds(1)));
    }
}

#[test]
fn the_time_to_the_headers_counts_from_the_start() {
    let script = Script::new([]);
    let start = script.now();
    script.clock.advance(seconds(4));
    let response = Response::new(Body::from("data: a\n\n"));
    let started = Started::new(script, start, Timeouts::default(), response);
    assert_eq!(started.meta.time_to_head, seconds(4));
}
