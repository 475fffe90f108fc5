//! Our decoder of chat streams and its peers: each takes reads, and returns how many texts and bytes
//! of text it saw.

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use async_openai::types::chat::CreateChatCompletionStreamResponse;
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use inferstream_core::{
    ChatEvent,
    protocol::{Decode, Events},
    sse::Decoder,
};
use inferstream_openai_compat::ChatDecode;

use crate::workloads::{self, Workload};

/// Texts, and their bytes.
pub type Seen = (usize, usize);

pub struct Candidate {
    pub name: &'static str,
    pub decode: fn(&[Bytes]) -> Seen,
}

/// Ours first.
pub const ALL: &[Candidate] = &[
    Candidate {
        name: "inferstream",
        decode: ours,
    },
    Candidate {
        name: "sse-core + async-openai",
        decode: sse_core,
    },
    Candidate {
        name: "sse-stream + async-openai",
        decode: sse_stream,
    },
    Candidate {
        name: "eventsource-stream + async-openai",
        decode: eventsource_stream,
    },
];

/// Returns the workloads: streams of chunks that have a text each.
pub fn workloads() -> Vec<Workload> {
    let known = [
        "chunks of 330 B, reads of 16 KB",
        "chunks of 330 B, reads of 1.4 KB",
        "chunks of 330 B, one per read",
        "chunks of 330 B, not ASCII, 1.4 KB",
    ];
    let mut list = workloads::all();
    list.retain(|workload| known.contains(&workload.name));
    list.push(workloads::cut(
        "every tenth text with an escape, 16 KB",
        chunks(|at| {
            let text = if at % 10 == 0 { "\\n" } else { " word" };
            (text.to_owned(), "null".to_owned())
        }),
        16 << 10,
    ));
    list.push(workloads::cut(
        "every text with an escape, 16 KB",
        chunks(|_| ("\\n".to_owned(), "null".to_owned())),
        16 << 10,
    ));
    list.push(workloads::cut(
        "another token count in each chunk, 16 KB",
        chunks(|at| {
            let total = at + 20;
            let usage = format!(
                "{{\"prompt_tokens\":20,\"completion_tokens\":{at},\"total_tokens\":{total}}}"
            );
            (" word".to_owned(), usage)
        }),
        16 << 10,
    ));
    list
}

/// Returns chunks with these texts and token counts.
fn chunks(of: impl Fn(usize) -> (String, String)) -> Vec<String> {
    let chunk = |at| {
        let (text, usage) = of(at);
        format!(
            "data: {{\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\
             \"chat.completion.chunk\",\"created\":1732900000,\"model\":\"llama-3.3-70b\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":null,\
             \"finish_reason\":null}}],\"usage\":{usage}}}\n\n"
        )
    };
    (0..workloads::FRAMES).map(chunk).collect()
}

fn ours(reads: &[Bytes]) -> Seen {
    let mut decoder = Decoder::default();
    let mut chat = ChatDecode::new("bench");
    let mut events = Events::default();
    let mut seen = (0, 0);
    for read in reads {
        decoder.push(read.clone());
        while let Some(frame) = decoder.next_frame().expect("no limit is reached") {
            chat.decode(frame, &mut events)
                .expect("all chunks are valid");
            while let Some(event) = black_box(events.pop()) {
                if let ChatEvent::Text { text, .. } = event {
                    seen.0 += 1;
                    seen.1 += text.len();
                }
            }
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
            match decoder.next(&mut read) {
                Some(Ok(sse_core::SseEvent::Message(message))) => parse(&message.data, &mut seen),
                Some(_) => {}
                None => break,
            }
        }
    }
    seen
}

fn sse_stream(reads: &[Bytes]) -> Seen {
    drain(
        sse_stream::SseByteStream::new(body(reads)),
        |event, seen| {
            parse(&event.data.unwrap_or_default(), seen);
        },
    )
}

fn eventsource_stream(reads: &[Bytes]) -> Seen {
    drain(
        eventsource_stream::EventStream::new(body(reads)),
        |event, seen| parse(&event.data, seen),
    )
}

/// Parses a chunk as `async-openai` does.
fn parse(data: &str, seen: &mut Seen) {
    let chunk: CreateChatCompletionStreamResponse =
        serde_json::from_str(data).expect("all chunks are valid");
    let chunk = black_box(chunk);
    for text in chunk
        .choices
        .iter()
        .filter_map(|one| one.delta.content.as_ref())
    {
        seen.0 += 1;
        seen.1 += text.len();
    }
}

fn body(reads: &[Bytes]) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(reads).map(|read| Ok(read.clone()))
}

fn drain<T, E>(events: impl Stream<Item = Result<T, E>>, take: fn(T, &mut Seen)) -> Seen {
    let mut events = pin!(events);
    let mut cx = Context::from_waker(Waker::noop());
    let mut seen = (0, 0);
    while let Poll::Ready(Some(event)) = events.as_mut().poll_next(&mut cx) {
        if let Ok(event) = event {
            take(event, &mut seen);
        }
    }
    seen
}
