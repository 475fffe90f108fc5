//! Streams inside combinators, and streams as the `Stream` of other crates.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::FusedStream;
use futures_util::StreamExt;
use inferstream_core::{
    ChatEvent, ChatResponse, ChatStream, Result, Timeouts, protocol::EventStream,
};

use super::{frames, open, show};
use crate::support::block_on;

/// A combinator that changes nothing, and copies the response at the end.
struct Copying(ChatStream);

impl EventStream for Copying {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        Pin::new(&mut self.0).poll_event(cx)
    }

    fn partial(&self) -> &ChatResponse {
        EventStream::partial(&self.0)
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        Pin::new(&mut self.0).warn(warning);
    }
}

/// A combinator that changes nothing, and moves the response at the end.
struct Moving(ChatStream);

impl EventStream for Moving {
    fn poll_event(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ChatEvent>>> {
        Pin::new(&mut self.0).poll_event(cx)
    }

    fn partial(&self) -> &ChatResponse {
        EventStream::partial(&self.0)
    }

    fn take_partial(mut self: Pin<&mut Self>) -> ChatResponse {
        Pin::new(&mut self.0).take_partial()
    }

    fn warn(mut self: Pin<&mut Self>, warning: String) {
        Pin::new(&mut self.0).warn(warning);
    }
}

#[test]
fn a_combinator_keeps_the_response_and_its_warnings() {
    let combinators = [
        |stream: ChatStream| stream.wrap(Copying),
        |stream: ChatStream| stream.wrap(Moving),
    ];
    for combinator in combinators {
        let opened = open(Timeouts::default(), [frames("a b fin [DONE]")]);
        let clock = &opened.script.clock;
        let mut stream = combinator(opened.stream);
        EventStream::warn(Pin::new(&mut stream), "odd".to_owned());
        let first = block_on(clock, stream.next()).unwrap().unwrap();
        assert_eq!(show(&first), "a");
        assert_eq!(stream.partial().text(), "a");
        let response = block_on(clock, stream.finish()).unwrap();
        assert_eq!(response.text(), "ab");
        assert_eq!(response.meta.warnings, ["odd"]);
    }
}

#[test]
fn a_stream_is_terminated_after_its_end() {
    let mut opened = open(Timeouts::default(), [frames("a fin [DONE]")]);
    let clock = &opened.script.clock;
    for word in ["a", "fin"] {
        assert!(!opened.stream.is_terminated());
        let event = block_on(clock, StreamExt::next(&mut opened.stream));
        assert_eq!(show(&event.unwrap().unwrap()), word);
    }
    assert!(!opened.stream.is_terminated());
    assert!(block_on(clock, StreamExt::next(&mut opened.stream)).is_none());
    assert!(opened.stream.is_terminated());
}

#[test]
fn a_view_of_the_text_is_a_stream() {
    let mut opened = open(Timeouts::default(), [frames("a reason b fin [DONE]")]);
    let texts = opened.stream.text().map(Result::unwrap);
    let texts: Vec<_> = block_on(&opened.script.clock, texts.collect());
    assert_eq!(texts, ["a", "b"]);
}
