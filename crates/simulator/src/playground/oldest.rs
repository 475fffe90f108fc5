//! The oldest protocol of the playground.

use serde_json::json;

use crate::{
    damage::{Event, Part},
    playground::inference::Inference,
};

/// The error event that ends a failed stream.
pub(super) const ERROR: &str = "data: {\"error\":\"Error during inference\"}\n\n";

/// Encodes the text of the response; this protocol has nothing else.
pub(super) fn stream(inference: &Inference) -> Vec<Event> {
    let mut events = Vec::new();
    for step in &inference.steps {
        events.extend(step.text.iter().map(|token| response(Part::Text, token)));
    }
    // A truncated response has no empty token at its end.
    if inference
        .steps
        .iter()
        .all(|step| step.finish_reason != "length")
    {
        events.push(response(Part::Rest, ""));
    }
    events.push(Event {
        part: Part::Rest,
        bytes: "data: [DONE]\n\n".into(),
    });
    events
}

fn response(part: Part, token: &str) -> Event {
    let json = json!({ "response": token });
    Event {
        part,
        bytes: format!("data: {json}\n\n").into(),
    }
}
