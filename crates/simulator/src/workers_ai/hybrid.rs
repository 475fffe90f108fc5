//! The `OpenAI` protocol with the members of Workers AI.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    damage::{Event, Part, place},
    fault::Fault,
    workers_ai::{
        completion::Completion,
        model::{Kind, Thoughts},
        native::{BARE_DONE, DONE, event, steps},
    },
};

/// The stop token reported as `matched_stop`.
const STOP_TOKEN: u32 = 106;

#[derive(Serialize)]
struct Chunk<'a> {
    choices: Value,
    created: u64,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kv_transfer_params: Option<()>,
    model: String,
    object: &'static str,
    p: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<()>,
    usage: Usage,
}

/// The last chunk before the end marker, without choices.
#[derive(Serialize)]
struct Tail {
    response: &'static str,
    usage: Usage,
}

/// The usage of a response or a part of it.
#[derive(Clone, Copy, Debug, Serialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
    neurons: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: usize,
}

/// Encodes the events of a stream.
pub(super) fn stream(completion: &mut Completion<'_>, fault: Option<&Fault>) -> Vec<Event> {
    let speech = completion.speech.clone();
    let key = key(completion);
    let prompt = completion.request.prompt_tokens;
    let opening = json!({"content": "", key: null, "role": "assistant"});
    let mut events = vec![chunk(completion, Part::Opening, &opening, usage(prompt, 0))];
    for token in &speech.reasoning {
        let delta = json!({ key: token });
        events.push(chunk(completion, Part::Reasoning, &delta, usage(0, 1)));
    }
    for token in &speech.text {
        let delta = json!({"content": token, key: null});
        events.push(chunk(completion, Part::Text, &delta, usage(0, 1)));
    }
    for (call, tokens) in speech.tool_calls.iter().enumerate().flat_map(steps) {
        let delta = json!({ "tool_calls": [call] });
        events.push(chunk(completion, Part::Rest, &delta, usage(0, tokens)));
    }
    if fault == Some(&Fault::NoFinish) {
        return events;
    }
    if fault == Some(&Fault::MidFinish) {
        let finish = finish(completion, "length");
        events.insert(place(&events), finish);
    }
    events.push(finish(completion, &speech.finish_reason));
    events.push(heartbeat(completion));
    let tail = Tail {
        response: "",
        usage: whole_usage(completion),
    };
    events.push(event(Part::Rest, &tail));
    let done = match fault {
        Some(Fault::BareDone) => BARE_DONE,
        _ => DONE,
    };
    events.push(Event {
        part: Part::Rest,
        bytes: Bytes::from_static(done.as_bytes()),
    });
    events
}

/// Encodes a chunk without choices; its usage counts the end token.
pub(super) fn heartbeat(completion: &mut Completion<'_>) -> Event {
    let usage = usage(0, closing(completion));
    let chunk = head(completion, json!([]), usage);
    event(Part::Rest, &chunk)
}

/// Encodes a response that is not streamed.
pub(super) fn whole(completion: &Completion<'_>) -> Value {
    let speech = &completion.speech;
    json!({
        "choices": [{
            "finish_reason": speech.finish_reason,
            "index": 0,
            "logprobs": null,
            "message": message(completion),
        }],
        "created": completion.created,
        "id": completion.id,
        "model": completion.request.model.echo(),
        "object": "chat.completion",
        "usage": whole_usage(completion),
    })
}

fn message(completion: &Completion<'_>) -> Value {
    let speech = &completion.speech;
    let mut message = Map::new();
    let content = if speech.text.is_empty() {
        Value::Null
    } else {
        speech.text.concat().into()
    };
    message.insert("content".to_owned(), content);
    if !speech.reasoning.is_empty() {
        let key = key(completion).to_owned();
        message.insert(key, speech.reasoning.concat().into());
    }
    message.insert("role".to_owned(), "assistant".into());
    if !speech.tool_calls.is_empty() {
        let calls = speech.tool_calls.iter().map(|call| {
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

/// Returns the model's member name for reasoning.
fn key(completion: &Completion<'_>) -> &'static str {
    match completion.request.model.kind {
        Kind::Hybrid(Thoughts::Reasoning) => "reasoning",
        _ => "reasoning_content",
    }
}

fn chunk(completion: &mut Completion<'_>, part: Part, delta: &Value, usage: Usage) -> Event {
    let choices = choices(completion, delta, None);
    event(part, &head(completion, choices, usage))
}

fn finish(completion: &mut Completion<'_>, reason: &str) -> Event {
    let delta = json!({ key(completion): null });
    let choices = choices(completion, &delta, Some(reason));
    event(Part::Rest, &head(completion, choices, usage(0, 0)))
}

/// Wraps a delta with the members of the model's server.
fn choices(completion: &Completion<'_>, delta: &Value, finish_reason: Option<&str>) -> Value {
    let mut choice = json!({
        "delta": delta,
        "finish_reason": finish_reason,
        "index": 0,
        "logprobs": null,
    });
    let (name, value) = match completion.request.model.kind {
        Kind::Matched => {
            let token = finish_reason.filter(|reason| *reason == "stop");
            ("matched_stop", json!(token.map(|_| STOP_TOKEN)))
        }
        _ => ("token_ids", Value::Null),
    };
    choice[name] = value;
    json!([choice])
}

fn head<'a>(completion: &'a mut Completion<'_>, choices: Value, usage: Usage) -> Chunk<'a> {
    let p = completion.padding();
    let noise = match completion.request.model.kind {
        Kind::Matched => None,
        _ => Some(()),
    };
    Chunk {
        choices,
        created: completion.created,
        id: &completion.id,
        kv_transfer_params: noise,
        model: completion.request.model.echo(),
        object: "chat.completion.chunk",
        p,
        prompt_token_ids: noise,
        usage,
    }
}

/// Counts the end token; a truncated response has none.
fn closing(completion: &Completion<'_>) -> usize {
    usize::from(completion.speech.finish_reason != "length")
}

fn whole_usage(completion: &Completion<'_>) -> Usage {
    let tokens = completion.speech.tokens() + closing(completion);
    usage(completion.request.prompt_tokens, tokens)
}

fn usage(prompt: usize, completion: usize) -> Usage {
    let number = |tokens| f64::from(u32::try_from(tokens).unwrap_or(u32::MAX));
    Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: prompt + completion,
        prompt_tokens_details: PromptDetails { cached_tokens: 0 },
        // An output token costs three times as much as an input token.
        neurons: (number(prompt) + 3.0 * number(completion)) / 110.0,
    }
}
