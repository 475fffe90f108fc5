//! An answer in, the events that the playground had first out.

use serde_json::json;

use crate::{
    damage::{Event, Part},
    playground::inference::Inference,
};

/// The last event of a stream that is given up.
pub(super) const ERROR: &str = "data: {\"error\":\"Error during inference\"}\n\n";

/// Encodes the text of the answer; this protocol has nothing else.
pub(super) fn stream(inference: &Inference) -> Vec<Event> {
    let mut events = Vec::new();
    for step in &inference.steps {
        events.extend(step.text.iter().map(|token| response(Part::Text, token)));
    }
    // An answer that was cut lacks the empty token that ends one.
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
