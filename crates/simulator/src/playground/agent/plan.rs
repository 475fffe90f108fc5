//! An answer and a fault in, the steps of a stream out.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    damage::{self, Event, Part},
    fault::Fault,
    playground::{data_stream::finish_reason, inference::Inference, ui_stream},
    shared::Settings,
    speech::Speech,
};

/// What a model that does not exist says.
const NO_MODEL: [&str; 2] = [
    r#"{"type":"start"}"#,
    r#"{"type":"error","errorText":"An error occurred."}"#,
];

/// What a turn does, and when.
#[derive(Debug)]
pub(super) struct Plan {
    /// The time until the stream begins.
    pub(super) boot: Duration,
    pub(super) steps: Vec<Step>,
}

/// What a turn does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Tells a chunk.
    Chunk(String),
    /// Closes the connection that asked, with a close frame.
    Close,
    /// Cuts the connection that asked in the midst of this chunk.
    Cut(String),
    /// Ends the answer; a message is what it adds to the conversation.
    End(Option<Value>),
    /// Cuts all connections in the midst of this chunk, and forgets the answer.
    Evict(String),
    /// Ends the answer in words that are no JSON.
    Fail,
    /// Does nothing, for ever.
    Hang,
    /// Closes all connections, and refuses the next.
    Restart,
    Wait(Duration),
}

impl Plan {
    pub(super) fn new(settings: &Settings, inference: &Inference, fault: Option<&Fault>) -> Self {
        let reason = inference.steps.last().map(finish_reason);
        let finish = json!({"finishReason": reason.unwrap_or_default()});
        let mut before = ui_stream::chunks(inference, &finish);
        let mut rest = before.split_off(damage::place(&before));
        let next = rest.first().map(text).unwrap_or_default();
        let mut ends = vec![Step::End(Some(message(inference)))];
        let fault_step = match fault {
            Some(Fault::BadJson) if !rest.is_empty() => {
                drop(rest.remove(0));
                Some(Step::Chunk(without_end(&next)))
            }
            Some(Fault::Coalesced | Fault::Cut) => Some(Step::Cut(next)),
            Some(Fault::Error) => Some(Step::Fail),
            Some(Fault::Evicted) => Some(Step::Evict(next)),
            Some(Fault::Restart) => Some(Step::Restart),
            Some(Fault::Stall) => Some(Step::Hang),
            Some(Fault::Truncate) => Some(Step::Close),
            Some(Fault::Unfinished) => {
                rest.clear();
                ends = vec![Step::End(None)];
                None
            }
            _ => None,
        };
        let mut steps = paced(&before, settings.pace);
        steps.extend(fault_step);
        steps.extend(paced(&rest, settings.pace));
        steps.append(&mut ends);
        Self {
            boot: settings.boot,
            steps,
        }
    }

    /// Lets a model that does not exist answer.
    pub(super) fn without_model(settings: &Settings) -> Self {
        let chunks = NO_MODEL.map(|chunk| Step::Chunk(chunk.to_owned()));
        Self {
            boot: settings.boot,
            steps: chunks.into_iter().chain([Step::End(None)]).collect(),
        }
    }
}

fn paced(events: &[Event], pace: Option<Duration>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(events.len() * 2);
    for event in events {
        let is_token = matches!(event.part, Part::Reasoning | Part::Text);
        steps.extend(pace.filter(|_| is_token).map(Step::Wait));
        steps.push(Step::Chunk(text(event)));
    }
    steps
}

fn text(event: &Event) -> String {
    String::from_utf8_lossy(&event.bytes).into_owned()
}

/// Returns JSON that has lost its last character, a brace.
fn without_end(json: &str) -> String {
    json.strip_suffix('}').unwrap_or(json).to_owned()
}

/// Returns an answer as a message of the conversation.
fn message(inference: &Inference) -> Value {
    let count = inference.steps.len();
    let steps = inference.steps.iter().enumerate();
    let parts: Vec<_> = steps
        .flat_map(|(index, step)| parts(step, index + 1 < count))
        .collect();
    json!({"id": inference.id, "role": "assistant", "parts": parts})
}

fn parts(step: &Speech, is_followed: bool) -> Vec<Value> {
    let mut parts = vec![json!({"type": "step-start"})];
    for (kind, tokens) in [("reasoning", &step.reasoning), ("text", &step.text)] {
        if !tokens.is_empty() {
            parts.push(json!({"type": kind, "text": tokens.concat(), "state": "done"}));
        }
    }
    for call in &step.tool_calls {
        let mut part = json!({
            "type": format!("tool-{}", call.name),
            "toolCallId": call.id,
            "state": "input-available",
            "input": call.value(),
        });
        if is_followed {
            part["state"] = "output-available".into();
            part["output"] = "simulated".into();
        }
        parts.push(part);
    }
    parts
}
