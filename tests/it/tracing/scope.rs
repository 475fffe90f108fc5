//! When a call's span is entered.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use inferstream_core::{Body, BoxFuture, Result, Timer, Transport};
use tracing::{Metadata, info, info_span};

use super::*;
use crate::support::poll_once;

/// A transport that records its operations as events.
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

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

impl Timer for Loud {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.0.system_time()
    }
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

/// Returns the messages, with the spans in which they were recorded.
fn told(seen: &Seen) -> Vec<(&str, Option<usize>)> {
    let events = seen.events.iter();
    events.map(|told| (told.message(), told.span)).collect()
}

/// How a stream ends after its first event has been read.
#[derive(Clone, Copy, Debug)]
enum Then {
    Cancel,
    Drop,
    Finish,
}

#[test]
fn events_of_the_transport_are_inside_the_span() {
    for then in [Then::Cancel, Then::Drop, Then::Finish] {
        let recorder = Recorder::new(everything);
        let wire = Wire::new([Answer::sse([
            Piece::from(sse(&[&chunk()]).as_str()),
            Piece::from(sse(&[&finish()]).as_str()),
        ])]);
        recorder.watch(|| {
            let mut stream = block_on(&wire.clock, loud(&wire).stream(PROMPT)).unwrap();
            block_on(&wire.clock, stream.next()).unwrap().unwrap();
            match then {
                Then::Cancel => drop(block_on(&wire.clock, stream.cancel()).unwrap()),
                Then::Drop => drop(stream),
                Then::Finish => drop(block_on(&wire.clock, stream.finish()).unwrap()),
            }
        });
        let seen = recorder.seen();
        let told = told(&seen);
        let inside = told.iter().all(|(_, span)| *span == Some(0));
        assert!(inside, "{then:?}: {told:?}");
        for message in ["send", "read", "close"] {
            assert!(told.iter().any(|(said, _)| *said == message), "{told:?}");
        }
        assert!(seen.call().closed, "{then:?}");
    }
}

/// A transport that panics itself, or whose body does.
#[derive(Clone, Debug)]
struct Panicking(Arc<Wire>, bool);

impl Transport for Panicking {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Body>>> {
        let (sent, in_body) = (self.0.send(request), self.1);
        Box::pin(async move {
            assert!(in_body, "while it is sent");
            Ok(sent.await?.map(|_| Body::new(PanickingBody)))
        })
    }

    fn detach(&self, _: BoxFuture<'static, ()>) {}
}

impl Timer for Panicking {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn system_time(&self) -> SystemTime {
        self.0.system_time()
    }
}

struct PanickingBody;

impl http_body::Body for PanickingBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>>>> {
        panic!("while it is read")
    }
}

#[test]
fn a_panic_leaves_the_span() {
    for in_body in [false, true] {
        let recorder = Recorder::new(everything);
        let wire = Wire::new(Endpoint::Cerebras.answers());
        recorder.watch(|| {
            let builder = Cerebras::builder().api_key(KEY);
            let transport = Panicking(Arc::new(wire.clone()), in_body);
            let client = builder.transport(transport).build().unwrap();
            let work = || {
                let mut stream = block_on(&wire.clock, client.stream(PROMPT)).unwrap();
                block_on(&wire.clock, stream.next())
            };
            catch_unwind(AssertUnwindSafe(work)).unwrap_err();
            assert!(recorder.seen().entered.is_empty());
            info!("after");
        });
        let seen = recorder.seen();
        assert_eq!(told(&seen), [("after", None)]);
        assert_eq!(seen.call().fields["inferstream.outcome"], "dropped");
        assert!(seen.call().closed);
    }
}

/// Runs a function on another thread with this subscriber, inside another span.
fn elsewhere<T: Send>(recorder: &Recorder, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let told = scope.spawn(|| {
            recorder.watch(|| {
                let done = info_span!("other").in_scope(work);
                info!("after");
                done
            })
        });
        told.join().unwrap()
    })
}

#[test]
fn a_call_that_moves_between_threads_is_one_span() {
    let recorder = Recorder::new(everything);
    let wire = Wire::new([Answer::sse([
        Piece::from(sse(&[&chunk()]).as_str()),
        Piece::from(sse(&[&finish()]).as_str()),
    ])]);
    let client = loud(&wire);
    let call = elsewhere(&recorder, || client.stream(PROMPT));
    let (opened, _) = elsewhere(&recorder, || poll_once(call));
    let Poll::Ready(Ok(mut stream)) = opened else {
        panic!("the response is available");
    };
    while stream.partial().end.is_none() {
        let (event, _) = elsewhere(&recorder, || poll_once(stream.next()));
        assert!(event.is_ready());
    }
    elsewhere(&recorder, || drop(stream));

    let seen = recorder.seen();
    let call = seen.call();
    assert_eq!(call.fields["inferstream.outcome"], "whole");
    assert_eq!(seen.spans[call.parent.unwrap()].name, "other");
    assert!(seen.spans.iter().all(|span| span.closed));
    for (message, span) in told(&seen) {
        let name = span.map(|span| seen.spans[span].name);
        match message {
            "after" => assert_eq!(name, None),
            _ => assert_eq!(name, Some("gen_ai.chat"), "{message}"),
        }
    }
}

#[test]
fn a_thread_without_a_subscriber_ends_the_span_too() {
    let recorder = Recorder::new(everything);
    let wire = Wire::new(Endpoint::Cerebras.answers());
    let client = Endpoint::Cerebras.client(&wire);
    let call = recorder.watch(|| client.chat(PROMPT.into()));
    let work = || block_on(&wire.clock, call).map(|answer| answer.text().to_owned());
    let answer = thread::scope(|scope| scope.spawn(work).join().unwrap());
    assert_eq!(answer.unwrap(), ANSWER);
    let seen = recorder.seen();
    assert_eq!(seen.call().fields["inferstream.outcome"], "whole");
    assert!(seen.call().closed && seen.entered.is_empty());
}

#[test]
fn events_of_the_caller_are_outside_the_span() {
    let recorder = Recorder::new(everything);
    let wire = Wire::new(Endpoint::Cerebras.answers());
    recorder.watch(|| {
        let client = Endpoint::Cerebras.client(&wire);
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
    for endpoint in ENDPOINTS {
        let recorder = Recorder::new(everything);
        let wire = Wire::new(endpoint.answers());
        recorder.watch(|| {
            let call =
                info_span!("mine").in_scope(|| endpoint.client(&wire).stream(endpoint.request()));
            // The span that is current when it is polled is not used.
            let stream = info_span!("other").in_scope(|| block_on(&wire.clock, call));
            block_on(&wire.clock, stream.unwrap().finish()).unwrap();
        });
        let seen = recorder.seen();
        let parent = seen.call().parent.unwrap();
        assert_eq!(seen.spans[parent].name, "mine", "{endpoint:?}");
        assert!(seen.spans.iter().all(|span| span.closed), "{endpoint:?}");
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
            panic!("the responses are available");
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
fn a_disabled_subscriber_sees_nothing() {
    for endpoint in ENDPOINTS {
        let (outcome, seen) = ask_under(nothing, endpoint, endpoint.answers(), endpoint.request());
        assert_eq!(outcome.text(), ANSWER);
        assert!(seen.spans.is_empty() && seen.events.is_empty());
    }
}

#[test]
fn a_traced_request_is_sent_unchanged() {
    for endpoint in ENDPOINTS {
        let requests = [nothing as Filter, everything].map(|filter| {
            let recorder = Recorder::new(filter);
            let wire = Wire::new(endpoint.answers());
            recorder
                .watch(|| {
                    block_on(
                        &wire.clock,
                        endpoint.client(&wire).stream(endpoint.request()),
                    )
                    .map(drop)
                })
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
        assert_eq!(requests[0], requests[1], "{endpoint:?}");
    }
}
