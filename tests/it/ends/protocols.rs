//! The same response in each protocol.

use inferstream_cloudflare::Endpoint;
use serde_json::{Value, json};

use crate::{
    chat, cloudflare, playground, replicate,
    support::{Answer, Outcome, Piece},
};

/// A protocol, or a variant of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Protocol {
    Chat,
    Cerebras,
    /// Workers AI at `/ai/run`.
    Native,
    /// Workers AI at the OpenAI-compatible path.
    OpenAi,
    /// The playground's data stream.
    Lines,
    /// The playground's UI message stream.
    Messages,
    Replicate,
}

pub(super) const ALL: [Protocol; 7] = [
    Protocol::Chat,
    Protocol::Cerebras,
    Protocol::Native,
    Protocol::OpenAi,
    Protocol::Lines,
    Protocol::Messages,
    Protocol::Replicate,
];

/// A part of a response, which is one event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Reason,
    /// An event without text, such as token counts.
    Usage,
    Comment,
    Marker,
}

/// A response on the wire.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) protocol: Protocol,
    pub(super) bytes: String,
    /// The parts, each with the position at which its event ends.
    pub(super) parts: Vec<(Part, usize)>,
}

impl Protocol {
    #[track_caller]
    pub(super) fn run(self, pieces: Vec<Piece>) -> Outcome {
        match self {
            Self::Chat => chat::run_stream(false, pieces),
            Self::Cerebras => chat::run_stream(true, pieces),
            Self::Native => cloudflare::run_stream(Endpoint::Native, pieces),
            Self::OpenAi => cloudflare::run_stream(Endpoint::OpenAi, pieces),
            Self::Lines | Self::Messages => playground::run(pieces),
            Self::Replicate => replicate::run_stream(pieces, Answer::json(503, "{}")),
        }
    }

    /// Returns the event of a part; `nth` makes its id unique if events have ids.
    pub(super) fn event(self, part: &Part, nth: usize) -> String {
        let data = |value: Value| format!("data: {value}\n\n");
        let chat = |choices: Value| data(json!({ "choices": choices, "id": "c1", "model": "m" }));
        let counts = json!({ "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 });
        match (self, part) {
            (Self::Lines, Part::Text(text)) => format!("0:{}\n", json!(text)),
            (Self::Lines, Part::Reason) => {
                "e:{\"finishReason\":\"stop\",\"isContinued\":false}\n".to_owned()
            }
            (Self::Lines, Part::Usage | Part::Comment) => "8:[{\"a\":1}]\n".to_owned(),
            (Self::Lines, Part::Marker) => "d:{\"finishReason\":\"stop\"}\n".to_owned(),
            (_, Part::Comment) => ": wait\n\n".to_owned(),
            (Self::Replicate, Part::Text(text)) => {
                let lines = text.split('\n').map(|line| format!("data: {line}\n"));
                format!(
                    "event: output\nid: {nth}:0\n{}\n",
                    lines.collect::<String>()
                )
            }
            (Self::Replicate, Part::Marker) => "event: done\nid: 99:0\ndata: {}\n\n".to_owned(),
            (Self::Replicate, Part::Reason | Part::Usage) => {
                format!("event: logs\nid: {nth}:0\ndata: loaded\n\n")
            }
            (_, Part::Marker) => "data: [DONE]\n\n".to_owned(),
            (Self::Messages, Part::Text(text)) => {
                data(json!({ "type": "text-delta", "id": "0", "delta": text }))
            }
            (Self::Messages, Part::Reason) => {
                data(json!({ "type": "finish", "finishReason": "stop" }))
            }
            (Self::Messages, Part::Usage) => {
                let usage = json!({ "usage": { "inputTokens": 7, "outputTokens": 2 } });
                data(json!({ "type": "message-metadata", "messageMetadata": usage }))
            }
            (Self::Native, Part::Text(text)) => data(json!({ "p": "abc", "response": text })),
            (Self::Native, Part::Reason) => {
                data(json!({ "response": "", "finish_reason": "stop" }))
            }
            (Self::Native, Part::Usage) => data(json!({ "response": "", "usage": counts })),
            (_, Part::Text(text)) => chat(json!([{ "index": 0, "delta": { "content": text } }])),
            (_, Part::Reason) => {
                chat(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]))
            }
            (_, Part::Usage) => data(json!({ "choices": [], "id": "c1", "usage": counts })),
        }
    }
}

impl Stream {
    pub(super) fn new(protocol: Protocol, parts: &[Part]) -> Self {
        let mut stream = Self {
            protocol,
            bytes: String::new(),
            parts: Vec::new(),
        };
        for (nth, part) in parts.iter().enumerate() {
            stream.bytes += &protocol.event(part, nth);
            stream.parts.push((part.clone(), stream.bytes.len()));
        }
        stream
    }
}
