//! The native protocol of Workers AI.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Number, Value, json};

use crate::{
    damage::{Event, Part, place},
    fault::Fault,
    speech::ToolCall,
    tokens,
    workers_ai::{completion::Completion, model::Calls},
};

/// The end of the reasoning in the text of a model without a member for it; there is no start tag.
const THOUGHT: &str = "\n</think>\n\n";

/// The end marker, and the same without a field name.
pub(super) const DONE: &str = "data: [DONE]\n\n";
pub(super) const BARE_DONE: &str = "[DONE]\n\n";

/// The variant of the native protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    Plain(Calls),
    /// Each token is read as JSON, and tool calls are sent in fragments.
    Typed,
}

#[derive(Default, Serialize)]
struct Chunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// The usage of a response.
#[derive(Clone, Copy, Debug, Serialize)]
struct Usage {
    #[serde(rename = "prompt_tokens")]
    prompt: usize,
    #[serde(rename = "completion_tokens")]
    completion: usize,
    #[serde(rename = "total_tokens")]
    total: usize,
}

/// Encodes the events of a stream.
pub(super) fn stream(
    completion: &mut Completion<'_>,
    manner: Manner,
    fault: Option<&Fault>,
) -> Vec<Event> {
    let speech = completion.speech.clone();
    let mut events = Vec::new();
    if manner == Manner::Typed && !speech.reasoning.is_empty() {
        let thought = [THOUGHT.to_owned()];
        for token in speech.reasoning.iter().chain(&thought) {
            events.push(response(completion, Part::Reasoning, token.as_str().into()));
        }
    }
    for token in &speech.text {
        let value = match manner {
            Manner::Plain(_) => token.as_str().into(),
            Manner::Typed => typed(token),
        };
        events.push(response(completion, Part::Text, value));
    }
    for calls in delta_calls(&speech.tool_calls, manner) {
        let chunk = Chunk {
            tool_calls: Some(calls),
            p: Some(completion.padding()),
            ..Chunk::default()
        };
        events.push(event(Part::Rest, &chunk));
    }
    if fault == Some(&Fault::NoFinish) {
        return events;
    }
    if fault == Some(&Fault::MidFinish) {
        events.insert(place(&events), finish("length"));
    }
    if speech.tool_calls.is_empty() {
        let chunk = Chunk {
            tool_calls: Some(json!([])),
            p: Some(completion.padding()),
            ..Chunk::default()
        };
        events.push(event(Part::Rest, &chunk));
    }
    let tells_finish = completion.tells_finish || fault == Some(&Fault::MidFinish);
    if tells_finish || !speech.tool_calls.is_empty() {
        events.push(finish(&speech.finish_reason));
    }
    events.push(tail(completion));
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

/// Encodes the result of a response that is not streamed.
pub(super) fn whole(completion: &Completion<'_>, manner: Manner) -> Value {
    let speech = &completion.speech;
    let text = speech.text.concat();
    let response = match (&completion.request.schema, manner) {
        // Requested JSON is sent as a value, not as text.
        (Some(_), _) => serde_json::from_str(&text).unwrap_or_else(|_| text.into()),
        (None, Manner::Typed) => typed(&text),
        (None, Manner::Plain(_)) => text.into(),
    };
    let mut result = json!({"response": response, "usage": usage(completion)});
    if !speech.tool_calls.is_empty() {
        let calls = speech.tool_calls.iter().map(flat);
        result["tool_calls"] = calls.collect();
    }
    result
}

/// Reads a token as JSON if it is a number, a literal or empty.
fn typed(token: &str) -> Value {
    match token {
        "" | "null" => Value::Null,
        "false" => false.into(),
        "true" => true.into(),
        _ => match token.parse::<Number>() {
            // A number that would be written differently is text: 007, 1e3.
            Ok(number) if number.to_string() == token => number.into(),
            _ => token.into(),
        },
    }
}

/// Returns the tool calls of each chunk.
fn delta_calls(calls: &[ToolCall], manner: Manner) -> Vec<Value> {
    match manner {
        _ if calls.is_empty() => Vec::new(),
        Manner::Plain(Calls::Flat) => vec![calls.iter().map(flat).collect()],
        Manner::Plain(Calls::Whole) => vec![calls.iter().enumerate().map(full).collect()],
        Manner::Typed => {
            let steps = calls.iter().enumerate().flat_map(steps);
            steps.map(|(call, _)| json!([call])).collect()
        }
    }
}

fn flat(call: &ToolCall) -> Value {
    json!({"arguments": call.value(), "name": call.name})
}

fn full((index, call): (usize, &ToolCall)) -> Value {
    json!({
        "function": {"arguments": call.arguments, "name": call.name},
        "id": call.id,
        "index": index,
        "type": "function",
    })
}

/// Returns the fragments of a call, each with its number of tokens: start, arguments, end.
pub(super) fn steps((index, call): (usize, &ToolCall)) -> Vec<(Value, usize)> {
    let start = json!({
        "function": {"name": call.name},
        "id": call.id,
        "index": index,
        "type": "function",
    });
    let arguments = tokens::split(&call.arguments).into_iter();
    let arguments =
        arguments.map(|token| (json!({"function": {"arguments": token}, "index": index}), 1));
    let end = json!({
        "function": {"arguments": "", "name": null},
        "id": null,
        "index": index,
        "type": null,
    });
    let mut steps = vec![(start, tokens::split(&call.name).len())];
    steps.extend(arguments);
    steps.push((end, 0));
    steps
}

/// Returns the last chunk, with the usage of the complete response.
fn tail(completion: &Completion<'_>) -> Event {
    let chunk = Chunk {
        response: Some("".into()),
        usage: Some(usage(completion)),
        ..Chunk::default()
    };
    event(Part::Rest, &chunk)
}

fn response(completion: &mut Completion<'_>, part: Part, value: Value) -> Event {
    let chunk = Chunk {
        response: Some(value),
        p: Some(completion.padding()),
        ..Chunk::default()
    };
    event(part, &chunk)
}

fn finish(reason: &str) -> Event {
    let chunk = Chunk {
        finish_reason: Some(reason),
        ..Chunk::default()
    };
    event(Part::Rest, &chunk)
}

fn usage(completion: &Completion<'_>) -> Usage {
    let (prompt, tokens) = (completion.request.prompt_tokens, completion.speech.tokens());
    Usage {
        prompt,
        completion: tokens,
        total: prompt + tokens,
    }
}

/// Encodes one event.
pub(super) fn event(part: Part, chunk: &impl Serialize) -> Event {
    let json = serde_json::to_string(chunk).unwrap_or_default();
    Event {
        part,
        bytes: format!("data: {json}\n\n").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::typed;

    #[track_caller]
    fn check(token: &str, expected: &Value) {
        assert_eq!(typed(token), *expected);
    }

    #[test]
    fn a_token_is_read_as_json() {
        check("1", &json!(1));
        check("-2.5", &json!(-2.5));
        check("true", &json!(true));
        check("null", &json!(null));
        check("", &json!(null));
        for text in ["Count", " 1", "007", "1e3", "True", "\"a\"", "{}"] {
            check(text, &json!(text));
        }
    }
}
