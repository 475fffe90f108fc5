//! Where a call's span is, and where it is not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Result, Transport};
use tracing::{Metadata, info, info_span};

use super::*;
use crate::support::poll_once;

/// A transport that says what it does.
#[derive(Clone, Debug)]
struct Loud(Arc<Wire>);

impl Transport for Loud {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let sent = self.0.send(request);
        Box::pin(async {
            info!("send");
            Ok(sent.await?.map(|body| Body::new(LoudBody(body))))
        })
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

struct LoudBody(Body);

impl http_body::Body for LoudBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>>>> {
        info!("read");
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

impl Drop for LoudBody {
    fn drop(&mut self) {
        info!("close");
    }
}

fn loud(wire: &Wire) -> Cerebras {
    let builder = Cerebras::builder().api_key(KEY);
    builder
        .transport(Loud(Arc::new(wire.clone())))
        .build()
        .unwrap()
}

/// Returns the messages and the spans in which they were said.
fn told(seen: &Seen) -> Vec<(&str, Option<usize>)> {
    let events = seen.events.iter();
    events.map(|told| (told.message(), told.span)).collect()
}

#[test]
fn the_transports_events_are_inside() {
    for dropped in [false, true] {
        let recorder = Recorder::new(everything);
        let wire = Wire::new([Answer::sse([
            Piece::from(sse(&[&chunk()]).as_str()),
            Piece::from(sse(&[&finish()]).as_str()),
        ])]);
        recorder.watch(|| {
            let mut stream = block_on(&wire.clock, loud(&wire).stream(PROMPT)).unwrap();
            block_on(&wire.clock, stream.next()).unwrap().unwrap();
            if !dropped {
                block_on(&wire.clock, stream.finish()).unwrap();
            }
        });
        let seen = recorder.seen();
        let told = told(&seen);
        assert!(told.iter().all(|(_, span)| *span == Some(0)), "{told:?}");
        for message in ["send", "read", "close"] {
            assert!(told.iter().any(|(said, _)| *said == message), "{told:?}");
        }
    }
}

#[test]
fn the_callers_events_are_outside() {
    let recorder = Recorder::new(everything);
    let wire = Wire::new(Door::Cerebras.answers());
    recorder.watch(|| {
        let client = Door::Cerebras.client(&wire);
        let call = client.stream(PROMPT.into());
        info!("called");
        let mut stream = block_on(&wire.clock, call).unwrap();
        info!("opened");
        while block_on(&wire.clock, stream.next()).is_some() {
            assert!(recorder.seen().entered.is_empty());
            info!("event");
        }
        info!("ended");
    });
    let seen = recorder.seen();
    assert!(told(&seen).iter().all(|(_, span)| span.is_none()));
    assert!(3 < seen.events.len());
}

#[test]
fn the_parent_is_the_span_of_the_call() {
    for door in DOORS {
        let recorder = Recorder::new(everything);
        let wire = Wire::new(door.answers());
        recorder.watch(|| {
            let call = info_span!("mine").in_scope(|| door.client(&wire).stream(PROMPT.into()));
            // Not the one that is current when it is polled.
            let stream = info_span!("other").in_scope(|| block_on(&wire.clock, call));
            block_on(&wire.clock, stream.unwrap().finish()).unwrap();
        });
        let seen = recorder.seen();
        let parent = seen.call().parent.unwrap();
        assert_eq!(seen.spans[parent].name, "mine", "{door:?}");
        assert!(seen.spans.iter().all(|span| span.closed), "{door:?}");
    }
}

#[test]
fn streams_of_one_thread_keep_their_spans() {
    let recorder = Recorder::new(everything);
    let text = |text: &str| {
        let delta = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        Piece::from(sse(&[&delta.to_string()]).as_str())
    };
    let answer = |first: &str, second: &str| {
        let pieces = [first, second].map(text);
        Answer::sse(
            pieces
                .into_iter()
                .chain([Piece::from(sse(&[&finish()]).as_str())]),
        )
    };
    let wires = [Wire::new([answer("a", "b")]), Wire::new([answer("c", "d")])];
    recorder.watch(|| {
        let calls = wires.each_ref().map(|wire| loud(wire).stream(PROMPT));
        let [first, second] = calls.map(|call| poll_once(call).0);
        let (Poll::Ready(Ok(mut first)), Poll::Ready(Ok(mut second))) = (first, second) else {
            panic!("the answers are there");
        };
        loop {
            info!("between");
            let one = poll_once(first.next()).0;
            let other = poll_once(second.next()).0;
            if let (Poll::Ready(None), Poll::Ready(None)) = (one, other) {
                break;
            }
        }
    });
    let seen = recorder.seen();
    assert_eq!(seen.calls().len(), 2);
    let of = |message: &str, span| {
        let told = told(&seen);
        told.iter().filter(|told| **told == (message, span)).count()
    };
    assert_eq!((of("send", Some(0)), of("send", Some(1))), (1, 1));
    assert_eq!(of("read", Some(0)), of("read", Some(1)));
    assert!(3 <= of("read", Some(0)));
    assert_eq!(of("read", None), 0);
    assert_eq!(of("between", Some(0)) + of("between", Some(1)), 0);
    for call in seen.calls() {
        assert_eq!(call.fields["inferstream.outcome"], "whole");
    }
}

fn nothing(_: &Metadata<'_>) -> bool {
    false
}

#[test]
fn nobody_who_does_not_watch_sees_anything() {
    for door in DOORS {
        let (outcome, seen) = ask_under(nothing, door, door.answers(), PROMPT);
        assert_eq!(outcome.text(), ANSWER);
        assert!(seen.spans.is_empty() && seen.events.is_empty());
    }
}

#[test]
fn a_watched_request_is_the_same_on_the_wire() {
    for door in DOORS {
        let requests = [nothing as Filter, everything].map(|filter| {
            let recorder = Recorder::new(filter);
            let wire = Wire::new(door.answers());
            recorder
                .watch(|| block_on(&wire.clock, door.client(&wire).stream(PROMPT.into())).map(drop))
                .unwrap();
            let requests = wire.all().into_iter().map(|request| {
                (
                    request.uri().clone(),
                    request.headers().clone(),
                    request.into_body(),
                )
            });
            requests.collect::<Vec<_>>()
        });
        assert_eq!(requests[0], requests[1], "{door:?}");
    }
}
