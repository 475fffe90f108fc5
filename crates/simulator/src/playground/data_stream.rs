//! The data stream protocol of Vercel's AI SDK 4.

use serde::Serialize;
use serde_json::json;

use crate::{
    damage::{Event, Part},
    playground::inference::Inference,
    speech::Speech,
    tokens,
};

/// The last lines of a failed stream.
pub(super) const ERROR: &str = concat!(
    "3:\"Error during inference\"\n",
    "e:{\"finishReason\":\"error\",\"usage\":{\"promptTokens\":null,\"completionTokens\":null},\"isContinued\":false}\n",
    "d:{\"finishReason\":\"error\",\"usage\":{\"promptTokens\":null,\"completionTokens\":null}}\n",
);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finish<'a> {
    #[serde(rename = "finishReason")]
    reason: &'a str,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_continued: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// Encodes the lines of a stream.
pub(super) fn stream(inference: &Inference) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut tokens, mut reason) = (0, String::new());
    let count = inference.steps.len();
    for (index, step) in inference.steps.iter().enumerate() {
        events.push(line(
            Part::Opening,
            'f',
            &json!({"messageId": inference.id}),
        ));
        push_step(&mut events, step, index + 1 < count);
        tokens += step.tokens();
        reason = finish_reason(step);
        let finish = Finish {
            reason: &reason,
            usage: Usage {
                prompt_tokens: inference.prompt_tokens,
                completion_tokens: step.tokens(),
            },
            is_continued: Some(false),
        };
        events.push(line(Part::Rest, 'e', &finish));
    }
    let finish = Finish {
        reason: &reason,
        usage: Usage {
            prompt_tokens: inference.prompt_tokens * count,
            completion_tokens: tokens,
        },
        is_continued: None,
    };
    events.push(line(Part::Rest, 'd', &finish));
    events
}

/// Encodes one step, with the results of its tool calls if another step follows.
fn push_step(events: &mut Vec<Event>, step: &Speech, is_followed: bool) {
    for token in &step.reasoning {
        events.push(line(Part::Reasoning, 'g', token));
    }
    for token in &step.text {
        events.push(line(Part::Text, '0', token));
    }
    for call in &step.tool_calls {
        let (id, name) = (&call.id, &call.name);
        let mut push = |code, json| events.push(line(Part::Rest, code, &json));
        push('b', json!({"toolCallId": id, "toolName": name}));
        for token in tokens::split(&call.arguments) {
            push('c', json!({"argsTextDelta": token, "toolCallId": id}));
        }
        push(
            '9',
            json!({"args": call.value(), "toolCallId": id, "toolName": name}),
        );
        if is_followed {
            push('a', json!({"result": "simulated", "toolCallId": id}));
        }
    }
}

/// Returns the finish reason as the SDK has it: `tool-calls`.
pub(super) fn finish_reason(speech: &Speech) -> String {
    speech.finish_reason.replace('_', "-")
}

fn line(part: Part, code: char, json: &impl Serialize) -> Event {
    let json = serde_json::to_string(json).unwrap_or_default();
    Event {
        part,
        bytes: format!("{code}:{json}\n").into(),
    }
}
