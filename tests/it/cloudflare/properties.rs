//! Properties of generated chunks split at any byte, and of arbitrary bytes.

use std::fmt::Write;

use inferstream_cloudflare::{Endpoint, ErrorKind};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{Answer, ENDPOINTS, Outcome, fixtures, piece, run, stream_of};
use crate::support::strategies::{self, pieces};

/// A chunk, its text and its reasoning.
#[derive(Clone, Debug)]
struct Chunk {
    json: Value,
    text: String,
    thoughts: String,
}

fn chunk(json: Value, text: impl Into<String>) -> Chunk {
    Chunk {
        json,
        text: text.into(),
        thoughts: String::new(),
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z ]{0,8}",
        "[\u{0}-\u{1f}\u{2028}\u{feff}😀é]{0,5}",
        prop::sample::select(vec![
            "[DONE]",
            "data: [DONE]\n\n",
            "null",
            "1",
            "</think>",
            "{}"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_chunk() -> impl Strategy<Value = Chunk> {
    let increment = json!({ "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 });
    let beat = increment.clone();
    prop_oneof![
        word().prop_map(|text| chunk(json!({ "response": text, "p": "pad" }), text)),
        any::<i64>().prop_map(|number| chunk(json!({ "response": number }), number.to_string())),
        any::<bool>().prop_map(|word| chunk(json!({ "response": word }), word.to_string())),
        Just(chunk(json!({ "response": null }), "")),
        Just(chunk(json!({ "tool_calls": [], "p": "abc" }), "")),
        Just(chunk(json!({ "choices": [], "usage": beat }), "")),
        word().prop_map(move |text| {
            let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
            chunk(
                json!({ "choices": [choice], "usage": increment, "p": "q" }),
                text,
            )
        }),
        (word(), any::<bool>()).prop_map(|(thoughts, long)| {
            let name = if long {
                "reasoning_content"
            } else {
                "reasoning"
            };
            let json = json!({ "choices": [{ "index": 0, "delta": { name: thoughts } }] });
            Chunk {
                thoughts,
                ..chunk(json, "")
            }
        }),
    ]
}

/// The end of the response.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Marker,
    Bare,
    Reason,
    TopReason,
    Nothing,
}

fn ending() -> impl Strategy<Value = Ending> {
    prop::sample::select(vec![
        Ending::Marker,
        Ending::Bare,
        Ending::Reason,
        Ending::TopReason,
        Ending::Nothing,
    ])
}

fn seen(outcome: &Outcome) -> (Vec<String>, Option<&'static str>) {
    (outcome.lines(), outcome.kind().map(ErrorKind::as_str))
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop::sample::select(ENDPOINTS.to_vec())
}

/// JSON of any structure that uses the protocol's member names.
fn any_json() -> impl Strategy<Value = String> {
    let words = &["\"error\"", "\"[DONE]\"", "\"AiError: x\"", "3040", "4006"];
    let names = &[
        "response",
        "result",
        "success",
        "errors",
        "error",
        "code",
        "message",
        "messages",
        "internalCode",
        "httpCode",
        "name",
        "description",
        "choices",
        "index",
        "delta",
        "content",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "function",
        "arguments",
        "id",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "p",
    ];
    let shapes = &[
        r#"{"result":@,"success":true}"#,
        r#"{"response":"a","tool_calls":[@]}"#,
        r#"{"choices":[{"delta":@}]}"#,
    ];
    strategies::json(words, names, shapes)
}

proptest! {
    #[test]
    fn the_text_is_complete_and_the_usage_is_the_total(
        list in vec(any_chunk(), 0..10),
        counts in (0..1000_u64, 0..1000_u64),
        tail in any::<bool>(),
        ending in ending(),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in vec(any::<usize>(), 0..12),
        endpoint in endpoint(),
    ) {
        let mut stream = String::new();
        let mut frame = |json: &Value| {
            write!(stream, "data: {json}{line_end}{line_end}").unwrap();
        };
        for chunk in &list {
            frame(&chunk.json);
        }
        match ending {
            Ending::Reason => frame(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] })),
            Ending::TopReason => frame(&json!({ "response": "", "finish_reason": "stop" })),
            _ => {}
        }
        let (prompt, completion) = counts;
        if tail {
            frame(&json!({ "response": "", "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            } }));
        }
        match ending {
            Ending::Marker => write!(stream, "data: [DONE]{line_end}{line_end}").unwrap(),
            Ending::Bare => write!(stream, "[DONE]{line_end}{line_end}").unwrap(),
            _ => {}
        }
        let whole = run(endpoint, stream_of(&stream));
        let found = run(endpoint, Answer::sse(pieces(stream.as_bytes(), &cuts)));
        prop_assert_eq!(seen(&found), seen(&whole));
        let text: String = list.iter().map(|chunk| chunk.text.as_str()).collect();
        let thoughts: String = list.iter().map(|chunk| chunk.thoughts.as_str()).collect();
        prop_assert_eq!(found.text(), &*text);
        prop_assert_eq!(found.reasoning(), &*thoughts);
        if matches!(ending, Ending::Nothing) {
            prop_assert_eq!(found.kind(), Some(ErrorKind::Truncated));
            return Ok(());
        }
        if text.is_empty() && thoughts.is_empty() {
            // The module `streams` tests these.
            return Ok(());
        }
        prop_assert_eq!(found.kind(), None);
        prop_assert_eq!(found.reason(), "stop");
        if tail {
            let sum = prompt + completion;
            prop_assert_eq!(found.usage(), [Some(prompt), Some(completion), Some(sum)]);
        }
    }

    #[test]
    fn damaged_recordings_have_one_end_wherever_they_are_cut(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<usize>(), any::<u8>(), 0..40_usize), 1..6),
        cuts in vec(any::<usize>(), 0..12),
        endpoint in endpoint(),
    ) {
        let streams = fixtures::streams();
        let mut bytes = which.get(&streams).clone();
        for (place, byte, length) in changes {
            let place = place % (bytes.len() + 1);
            let end = (place + length).min(bytes.len());
            bytes.splice(place..end, [byte]);
        }
        let whole = run(endpoint, stream_of(&bytes));
        let found = run(endpoint, Answer::sse(pieces(&bytes, &cuts)));
        prop_assert_eq!(seen(&found), seen(&whole));
    }

    #[test]
    fn any_json_has_one_end(
        first in any_json(),
        second in any_json(),
        status in prop::sample::select(vec![200, 400, 429, 500]),
        endpoint in endpoint(),
    ) {
        let stream = format!("data: {first}\n\ndata: {second}\n\ndata: [DONE]\n\n");
        let whole = run(endpoint, stream_of(&stream));
        let found = run(endpoint, Answer::sse(stream.as_bytes().chunks(1).map(piece)));
        prop_assert_eq!(seen(&found), seen(&whole));
        run(endpoint, Answer::json(status, &first));
    }

    #[test]
    fn any_bytes_have_one_end(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<usize>(), 0..6)) {
        let whole = run(Endpoint::Native, stream_of(&bytes));
        let found = run(Endpoint::Native, Answer::sse(pieces(&bytes, &cuts)));
        prop_assert_eq!(seen(&found), seen(&whole));
    }
}
