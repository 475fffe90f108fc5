//! The UI message stream protocol of Vercel's AI SDK 5.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    damage::{Event, Part},
    playground::inference::Inference,
    speech::Speech,
    tokens,
};

/// The last events of a failed stream.
pub(super) const ERROR: &str = concat!(
    "data: {\"type\":\"error\",\"errorText\":\"An error occurred.\"}\n\n",
    "data: {\"type\":\"finish-step\"}\n\n",
    "data: {\"type\":\"finish\"}\n\n",
    "data: [DONE]\n\n",
);

/// Encodes the events of a stream; it has no usage.
pub(super) fn stream(inference: &Inference) -> Vec<Event> {
    let event = |chunk: Event| Event {
        part: chunk.part,
        bytes: [b"data: ", &*chunk.bytes, b"\n\n"].concat().into(),
    };
    let chunks = chunks(inference, &json!({}));
    let mut events: Vec<_> = chunks.into_iter().map(event).collect();
    events.push(Event {
        part: Part::Rest,
        bytes: Bytes::from_static(b"data: [DONE]\n\n"),
    });
    events
}

/// Encodes the JSON of a stream; the members are those of its last chunk.
pub(super) fn chunks(inference: &Inference, finish: &Value) -> Vec<Event> {
    let mut events = Events::default();
    events.push(Part::Opening, "start", &json!({}));
    let count = inference.steps.len();
    for (index, step) in inference.steps.iter().enumerate() {
        events.push(Part::Opening, "start-step", &json!({}));
        events.push_text("reasoning", Part::Reasoning, &step.reasoning);
        events.push_text("text", Part::Text, &step.text);
        events.push_calls(step, index + 1 < count);
        events.push(Part::Rest, "finish-step", &json!({}));
    }
    events.push(Part::Rest, "finish", finish);
    events.all
}

#[derive(Debug, Default)]
struct Events {
    all: Vec<Event>,
    /// The number of texts so far.
    texts: usize,
}

impl Events {
    /// Encodes one text with its start and end, unless it is empty.
    fn push_text(&mut self, kind: &str, part: Part, tokens: &[String]) {
        if tokens.is_empty() {
            return;
        }
        let id = self.texts.to_string();
        self.texts += 1;
        self.push(Part::Opening, &format!("{kind}-start"), &json!({"id": id}));
        for token in tokens {
            let delta = json!({"delta": token, "id": id});
            self.push(part, &format!("{kind}-delta"), &delta);
        }
        let end = match part {
            // A fault breaks the text, which starts after this.
            Part::Reasoning => Part::Opening,
            _ => Part::Rest,
        };
        self.push(end, &format!("{kind}-end"), &json!({"id": id}));
    }

    /// Encodes the tool calls of a step, with their results if another step follows.
    fn push_calls(&mut self, step: &Speech, is_followed: bool) {
        for call in &step.tool_calls {
            let (id, name) = (&call.id, &call.name);
            let start = json!({"toolCallId": id, "toolName": name});
            self.push(Part::Rest, "tool-input-start", &start);
            for token in tokens::split(&call.arguments) {
                let delta = json!({"inputTextDelta": token, "toolCallId": id});
                self.push(Part::Rest, "tool-input-delta", &delta);
            }
            let input = json!({"input": call.value(), "toolCallId": id, "toolName": name});
            self.push(Part::Rest, "tool-input-available", &input);
            if is_followed {
                let output = json!({"output": "simulated", "toolCallId": id});
                self.push(Part::Rest, "tool-output-available", &output);
            }
        }
    }

    /// Encodes one chunk with its type as the first member.
    fn push(&mut self, part: Part, kind: &str, members: &Value) {
        let members = members.to_string();
        let members = match members.strip_prefix('{') {
            Some("}") | None => "}".to_owned(),
            Some(members) => format!(",{members}"),
        };
        self.all.push(Event {
            part,
            bytes: format!("{{\"type\":\"{kind}\"{members}").into(),
        });
    }
}
