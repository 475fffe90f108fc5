//! The steps of an agent's response, with its fault.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    damage::{self, Event, Part},
    fault::Fault,
    playground::{data_stream::finish_reason, inference::Inference, ui_stream},
    shared::Settings,
    speech::Speech,
};

/// The chunks of a response from an unknown model.
const NO_MODEL: [&str; 2] = [
    r#"{"type":"start"}"#,
    r#"{"type":"error","errorText":"An error occurred."}"#,
];

/// The steps of a turn and their timing.
#[derive(Debug)]
pub(super) struct Plan {
    /// The time until the stream begins.
    pub(super) boot: Duration,
    pub(super) steps: Vec<Step>,
}

/// One step of a turn.
#[derive(Debug)]
pub(super) enum Step {
    /// Sends a chunk.
    Chunk(String),
    /// Closes the requesting connection with a close frame.
    Close,
    /// Cuts the requesting connection in the middle of this chunk.
    Cut(String),
    /// Ends the response and adds the message, if any, to the conversation.
    End(Option<Value>),
    /// Cuts all connections in the middle of this chunk and discards the response.
    Evict(String),
    /// Ends the response with an error, whose text is not JSON.
    Fail,
    /// Waits without end.
    Hang,
    /// Closes all connections and refuses the next one.
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

    /// Returns the plan of a response from an unknown model.
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

/// Returns JSON without its last character, a brace.
fn without_end(json: &str) -> String {
    json.strip_suffix('}').unwrap_or(json).to_owned()
}

/// Returns a response as a message of the conversation.
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
