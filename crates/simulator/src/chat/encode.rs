//! The encoding of chat completions, with keys in the recorded order.

use std::{borrow::Cow, iter};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    chat::{completion::Completion, request::Taste},
    damage::{Event, Part},
    speech::{Speech, ToolCall},
    tokens,
};

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    choices: [ChunkChoice<'a>; 1],
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    object: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_info: Option<TimeInfo>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    delta: Delta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    index: usize,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<DeltaCall<'a>>>,
}

#[derive(Serialize)]
struct DeltaCall<'a> {
    function: DeltaFunction<'a>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    index: usize,
}

#[derive(Serialize)]
struct DeltaFunction<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: Cow<'a, str>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: usize,
}

#[derive(Serialize)]
struct CompletionDetails {
    #[serde(rename = "accepted_prediction_tokens")]
    accepted: usize,
    #[serde(rename = "rejected_prediction_tokens")]
    rejected: usize,
    #[serde(rename = "reasoning_tokens")]
    reasoning: usize,
}

#[derive(Serialize)]
struct TimeInfo {
    queue_time: f64,
    prompt_time: f64,
    completion_time: f64,
    total_time: f64,
    created: f64,
}

/// Encodes the events of a stream; several choices are interleaved.
pub(crate) fn stream(completion: &Completion, taste: Taste) -> Vec<Event> {
    let mut events = Vec::new();
    let turns = completion.choices.iter();
    let mut turns: Vec<_> = turns.map(|choice| deltas(choice, taste)).collect();
    let longest = turns.iter().map(Vec::len).max().unwrap_or_default();
    for _ in 0..longest {
        for (index, turn) in turns.iter_mut().enumerate() {
            if !turn.is_empty() {
                let (part, delta) = turn.remove(0);
                events.push(event(part, &chunk(completion, index, delta)));
            }
        }
    }
    let last = completion.choices.len() - 1;
    for (index, choice) in completion.choices.iter().enumerate() {
        let mut chunk = chunk(completion, index, Delta::default());
        events.push(event(Part::Rest, &chunk));
        chunk.choices[0].finish_reason = Some(&choice.finish_reason);
        if index == last {
            chunk.usage = Some(usage(completion));
            chunk.time_info = Some(time_info(completion));
        }
        events.push(event(Part::Rest, &chunk));
    }
    if completion.done_marker {
        events.push(Event {
            part: Part::Rest,
            bytes: Bytes::from_static(b"data: [DONE]\n\n"),
        });
    }
    events
}

/// Encodes the body of a response that is not streamed.
pub(crate) fn whole(completion: &Completion) -> Bytes {
    let choices = completion.choices.iter().enumerate();
    // The keys are in alphabetical order, as recorded, so both map types of `serde_json` write the
    // same bytes.
    let body = json!({
        "choices": choices.map(|(index, choice)| json!({
            "finish_reason": choice.finish_reason,
            "index": index,
            "message": message(choice),
        })).collect::<Value>(),
        "created": completion.created,
        "id": completion.id,
        "model": completion.model,
        "object": "chat.completion",
        "system_fingerprint": completion.fingerprint,
        "time_info": {
            "completion_time": completion.times.completion,
            "created": completion.times.created,
            "prompt_time": completion.times.prompt,
            "queue_time": completion.times.queue,
            "total_time": completion.times.total,
        },
        "usage": whole_usage(completion),
    });
    body.to_string().into()
}

fn deltas(choice: &Speech, taste: Taste) -> Vec<(Part, Delta<'_>)> {
    let opening = Delta {
        role: Some("assistant"),
        ..Delta::default()
    };
    let reasoning = choice.reasoning.iter().map(|token| Delta {
        reasoning: Some(token),
        ..Delta::default()
    });
    let text = choice.text.iter().map(|token| Delta {
        content: Some(token),
        ..Delta::default()
    });
    let mut deltas = vec![(Part::Opening, opening)];
    deltas.extend(reasoning.map(|delta| (Part::Reasoning, delta)));
    deltas.extend(text.map(|delta| (Part::Text, delta)));
    deltas.extend(call_deltas(&choice.tool_calls, taste));
    deltas
}

/// Encodes tool calls: all in one delta, or each as its name followed by fragments of its
/// arguments.
fn call_deltas(calls: &[ToolCall], taste: Taste) -> Vec<(Part, Delta<'_>)> {
    if calls.is_empty() {
        return Vec::new();
    }
    let delta = |calls| Delta {
        tool_calls: Some(calls),
        ..Delta::default()
    };
    let numbered = calls.iter().enumerate();
    match taste {
        Taste::Strict => {
            let whole = numbered.map(|(index, call)| delta_call(index, call, &call.arguments));
            vec![(Part::Rest, delta(whole.collect()))]
        }
        Taste::Any => numbered
            .flat_map(|(index, call)| {
                let pieces = tokens::split(&call.arguments).into_iter();
                let pieces = pieces.map(move |piece| delta_piece(index, piece));
                iter::once(delta_call(index, call, "")).chain(pieces)
            })
            .map(|call| (Part::Call, delta(vec![call])))
            .collect(),
    }
}

/// Returns the first delta of a call, with the arguments known so far.
fn delta_call<'a>(index: usize, call: &'a ToolCall, arguments: &'a str) -> DeltaCall<'a> {
    DeltaCall {
        function: DeltaFunction {
            name: Some(&call.name),
            arguments: arguments.into(),
        },
        kind: Some("function"),
        id: Some(&call.id),
        index,
    }
}

/// Returns a later delta of a call, with the next fragment of its arguments.
fn delta_piece(index: usize, piece: String) -> DeltaCall<'static> {
    DeltaCall {
        function: DeltaFunction {
            name: None,
            arguments: piece.into(),
        },
        kind: None,
        id: None,
        index,
    }
}

fn chunk<'a>(completion: &'a Completion, index: usize, delta: Delta<'a>) -> Chunk<'a> {
    Chunk {
        id: &completion.id,
        choices: [ChunkChoice {
            delta,
            finish_reason: None,
            index,
        }],
        created: completion.created,
        model: &completion.model,
        system_fingerprint: &completion.fingerprint,
        object: "chat.completion.chunk",
        usage: None,
        time_info: None,
    }
}

fn event(part: Part, chunk: &Chunk<'_>) -> Event {
    let json = serde_json::to_string(chunk).unwrap_or_default();
    Event {
        part,
        bytes: format!("data: {json}\n\n").into(),
    }
}

fn usage(completion: &Completion) -> Usage {
    let reasoning_tokens = completion.reasoning_tokens();
    Usage {
        prompt_tokens: completion.prompt_tokens,
        completion_tokens: completion.tokens(),
        total_tokens: completion.prompt_tokens + completion.tokens(),
        prompt_tokens_details: PromptDetails { cached_tokens: 0 },
        completion_tokens_details: (0 < reasoning_tokens).then_some(CompletionDetails {
            accepted: 0,
            rejected: 0,
            reasoning: reasoning_tokens,
        }),
    }
}

fn time_info(completion: &Completion) -> TimeInfo {
    TimeInfo {
        queue_time: completion.times.queue,
        prompt_time: completion.times.prompt,
        completion_time: completion.times.completion,
        total_time: completion.times.total,
        created: completion.times.created,
    }
}

fn message(choice: &Speech) -> Value {
    let mut message = Map::new();
    // The key is absent if tools are called and there is no text.
    if choice.tool_calls.is_empty() || !choice.text.is_empty() {
        message.insert("content".to_owned(), choice.text.concat().into());
    }
    if !choice.reasoning.is_empty() {
        message.insert("reasoning".to_owned(), choice.reasoning.concat().into());
    }
    message.insert("role".to_owned(), "assistant".into());
    if !choice.tool_calls.is_empty() {
        let calls = choice.tool_calls.iter().map(|call| {
            json!({
                "function": {"arguments": call.arguments, "name": call.name},
                "id": call.id,
                "type": "function",
            })
        });
        message.insert("tool_calls".to_owned(), calls.collect());
    }
    message.into()
}

fn whole_usage(completion: &Completion) -> Value {
    let mut usage = Map::new();
    usage.insert("completion_tokens".to_owned(), completion.tokens().into());
    if 0 < completion.reasoning_tokens() {
        let details = json!({
            "accepted_prediction_tokens": 0,
            "reasoning_tokens": completion.reasoning_tokens(),
            "rejected_prediction_tokens": 0,
        });
        usage.insert("completion_tokens_details".to_owned(), details);
    }
    let total = completion.prompt_tokens + completion.tokens();
    usage.insert("prompt_tokens".to_owned(), completion.prompt_tokens.into());
    usage.insert("total_tokens".to_owned(), total.into());
    usage.into()
}
