//! What is said in, the conventions' JSON of it out: for those alone who ask for it by name.

use tracing::{
    Level, Metadata, callsite::DefaultCallsite, dispatcher, level_filters::LevelFilter, metadata,
    metadata::Kind,
};

use crate::{
    json::Json,
    message::{ImageSource, Message, Part, Role, ToolCall},
    response::Choice,
};

/// Describes an event that is told to nobody, for a filter to be asked about.
macro_rules! event_of {
    ($target:literal) => {{
        static CALLSITE: DefaultCallsite = DefaultCallsite::new(&METADATA);
        static METADATA: Metadata<'static> = metadata! {
            name: "gen_ai.client.inference.operation.details",
            target: $target,
            level: Level::TRACE,
            fields: &[],
            callsite: &CALLSITE,
            kind: Kind::EVENT,
        };
        &METADATA
    }};
}

/// Returns true if the subscriber's filter names the target of what is said.
///
/// A filter that lets everything through names nothing: it would show a prompt to whoever wanted to
/// see why a request failed. So a neighbour of the target must be off where the target is not.
///
/// The subscriber is asked as it is for each place in a program, and not whether an event is wanted
/// now (`enabled`): after that layers with filters of their own take the next event, which may be
/// anybody's, for the one that was asked about. One that decides each time anew names nothing.
pub(super) fn is_named() -> bool {
    LevelFilter::current() == LevelFilter::TRACE
        && dispatcher::get_default(|subscriber| {
            let interest = |event| subscriber.register_callsite(event);
            !interest(event_of!("inferstream::content")).is_never()
                && interest(event_of!("inferstream::unnamed")).is_never()
        })
}

/// Writes a request's messages down.
pub(super) fn input(messages: &[Message]) -> String {
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

/// Writes an answer's choices down, as far as they came.
pub(super) fn output(choices: &[Choice]) -> String {
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
            // Without its bytes, which nobody reads in a trace.
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
        // As text, for models err: it need not be JSON.
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
