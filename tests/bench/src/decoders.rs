//! Our decoder, other decoders and two lower bounds: each takes reads, and returns the number of
//! frames and bytes of data.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
use futures_util::{Stream, StreamExt, stream};
use inferstream_core::sse::Decoder;
use launchdarkly_sdk_transport::{ByteStream, HttpTransport, Request, Response, ResponseFuture};

/// The number of frames, and of bytes of data.
pub type Seen = (usize, usize);

pub struct Candidate {
    pub name: &'static str,
    pub version: &'static str,
    pub decode: fn(&[Bytes]) -> Seen,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Floor,
    Ours,
    Peer,
}

/// All candidates, ours first.
pub const ALL: &[Candidate] = &[
    candidate("inferstream", "", ours, Kind::Ours),
    candidate("sse-core", "0.2.3", sse_core, Kind::Peer),
    candidate("sseer", "0.3.1", sseer, Kind::Peer),
    candidate("sse-stream", "0.3.0", sse_stream, Kind::Peer),
    candidate("eventsource-client", "0.18.0", client, Kind::Peer),
    candidate(
        "eventsource-stream",
        "0.2.3",
        eventsource_stream,
        Kind::Peer,
    ),
    candidate("memchr", "", memchr, Kind::Floor),
    candidate("memcpy", "", memcpy, Kind::Floor),
];

const fn candidate(
    name: &'static str,
    version: &'static str,
    decode: fn(&[Bytes]) -> Seen,
    kind: Kind,
) -> Candidate {
    Candidate {
        name,
        version,
        decode,
        kind,
    }
}

fn ours(reads: &[Bytes]) -> Seen {
    let mut decoder = Decoder::default();
    let mut seen = (0, 0);
    for read in reads {
        decoder.push(read.clone());
        while let Some(frame) = black_box(decoder.next_frame()).expect("no limit is reached") {
            seen.0 += 1;
            seen.1 += frame.data.len();
        }
    }
    seen
}

fn sse_core(reads: &[Bytes]) -> Seen {
    let mut decoder = sse_core::SseDecoder::new();
    let mut seen = (0, 0);
    for read in reads {
        let mut read = read.clone();
        while read.has_remaining() {
            match black_box(decoder.next(&mut read)) {
                Some(Ok(sse_core::SseEvent::Message(message))) => {
                    seen.0 += 1;
                    seen.1 += message.data.len();
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    seen
}

fn sseer(reads: &[Bytes]) -> Seen {
    drain(sseer::EventStream::new(body(reads)), |event| {
        event.data.len()
    })
}

fn sse_stream(reads: &[Bytes]) -> Seen {
    drain(sse_stream::SseByteStream::new(body(reads)), |event| {
        event.data.map_or(0, |data| data.len())
    })
}

fn eventsource_stream(reads: &[Bytes]) -> Seen {
    drain(eventsource_stream::EventStream::new(body(reads)), |event| {
        event.data.len()
    })
}

fn body(reads: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(reads).map(|read| Ok(read.clone()))
}

fn drain<T, E>(events: impl Stream<Item = Result<T, E>>, length: fn(T) -> usize) -> Seen {
    let mut events = pin!(events);
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = (0, 0);
    while let Poll::Ready(Some(event)) = events.as_mut().poll_next(&mut cx) {
        if let Ok(event) = black_box(event) {
            seen.0 += 1;
            seen.1 += length(event);
        }
    }
    seen
}

/// Its parser is private, so a transport that returns the reads replaces the network.
fn client(reads: &[Bytes]) -> Seen {
    #[derive(Clone)]
    struct Replay(Vec<Bytes>);

    impl HttpTransport for Replay {
        fn request(&self, _: Request<Option<Bytes>>) -> ResponseFuture {
            let body: ByteStream = Box::pin(stream::iter(self.0.clone()).map(Ok));
            Box::pin(async { Ok(Response::new(body)) })
        }
    }

    let client = ClientBuilder::for_url("http://localhost/")
        .expect("it is a URL")
        .reconnect(ReconnectOptions::reconnect(false).build())
        .build_with_transport(Replay(reads.to_vec()));
    let mut events: Pin<Box<_>> = client.stream();
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = (0, 0);
    while let Poll::Ready(Some(Ok(event))) = events.as_mut().poll_next(&mut cx) {
        if let SSE::Event(event) = black_box(event) {
            seen.0 += 1;
            seen.1 += event.data.len();
        }
    }
    seen
}

/// Only finds the line ends.
fn memchr(reads: &[Bytes]) -> Seen {
    let ends = reads
        .iter()
        .map(|read| memchr::memchr_iter(b'\n', black_box(read)).count());
    (ends.sum(), 0)
}

/// Only copies the reads.
fn memcpy(reads: &[Bytes]) -> Seen {
    let mut copy = Vec::with_capacity(64 << 10);
    for read in reads {
        copy.clear();
        copy.extend_from_slice(black_box(read));
        black_box(&copy);
    }
    (0, 0)
}
