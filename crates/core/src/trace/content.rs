//! The messages of a call as an event, in the JSON of the OpenTelemetry conventions.

use tracing::{Level, Span, event};

use crate::{
    json::Json,
    message::{ImageSource, Message, Part, Role, ToolCall},
    response::Choice,
};

/// Records the messages of a request, or the choices of a response, inside a span.
///
/// The JSON is written only if the subscriber enables the event.
pub(super) fn record(span: &Span, messages: Option<&[Message]>, choices: Option<&[Choice]>) {
    // The span is entered instead of named as the parent, because the current subscriber may not be
    // the one that gave the span its id.
    span.in_scope(|| {
        event!(
            name: "gen_ai.client.inference.operation.details",
            target: "inferstream::content",
            Level::TRACE,
            gen_ai.operation.name = "chat",
            gen_ai.input.messages = messages.map(input),
            gen_ai.output.messages = choices.map(output),
        );
    });
}

/// Returns the messages of a request as JSON.
fn input(messages: &[Message]) -> String {
    array(messages.iter().map(|message| {
        let mut parts = Vec::new();
        if let Some(reasoning) = &message.reasoning {
            parts.push(text("reasoning", reasoning));
        }
        match (message.role, &message.tool_call_id) {
            (Role::Tool, Some(id)) => parts.push(object(&[
                ("type", "tool_call_response"),
                ("id", id),
                ("response", &message.text()),
            ])),
            _ => parts.extend(message.content.iter().map(part)),
        }
        parts.extend(message.tool_calls.iter().map(tool_call));
        let role = quoted(message.role.as_str());
        format!("{{\"role\":{role},\"parts\":{}}}", array(parts))
    }))
}

/// Returns the choices of a response as JSON, as far as they were received.
fn output(choices: &[Choice]) -> String {
    array(choices.iter().map(|choice| {
        let mut parts = Vec::new();
        if !choice.reasoning.is_empty() {
            parts.push(text("reasoning", &choice.reasoning));
        }
        if !choice.text.is_empty() {
            parts.push(text("text", &choice.text));
        }
        parts.extend(choice.tool_calls.iter().map(tool_call));
        let parts = array(parts);
        match &choice.finish_reason {
            None => format!("{{\"role\":\"assistant\",\"parts\":{parts}}}"),
            Some(reason) => {
                let reason = quoted(reason.as_str());
                format!("{{\"role\":\"assistant\",\"parts\":{parts},\"finish_reason\":{reason}}}")
            }
        }
    }))
}

fn part(part: &Part) -> String {
    match part {
        Part::Text { text: said } => text("text", said),
        Part::Image { source, .. } => match source {
            ImageSource::Url(url) => {
                object(&[("type", "uri"), ("modality", "image"), ("uri", url)])
            }
            // Without the bytes, which are of no use in a trace.
            ImageSource::Bytes { media_type, .. } => object(&[
                ("type", "blob"),
                ("modality", "image"),
                ("mime_type", media_type),
            ]),
        },
    }
}

fn text(kind: &str, content: &str) -> String {
    object(&[("type", kind), ("content", content)])
}

fn tool_call(call: &ToolCall) -> String {
    object(&[
        ("type", "tool_call"),
        ("id", &call.id),
        ("name", &call.name),
        // As text, because models make mistakes: it may be invalid JSON.
        ("arguments", &call.arguments),
    ])
}

fn object(members: &[(&str, &str)]) -> String {
    let members = members.iter();
    let members: Vec<_> = members
        .map(|(name, value)| format!("\"{name}\":{}", quoted(value)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<_> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

fn quoted(text: &str) -> Json {
    Json::from(text)
}
