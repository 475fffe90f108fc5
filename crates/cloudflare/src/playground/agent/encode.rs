//! The encoder for messages to an agent.

use inferstream_client::Dropped;
use inferstream_core::{ChatRequest, Error, ErrorKind, Field, Json, Message, Result, Role};

use super::super::encode::{SYSTEM_MESSAGE, adapt, list, object, parts, unsupported};

/// The page's default temperature.
const TEMPERATURE: f64 = 1.0;

/// The maximum size of a message, in bytes; Cloudflare's Workers accept 32 MiB.
const MAX_MESSAGE: usize = 16 << 20;

/// Encodes the two messages that start a turn: the agent's settings and the conversation.
///
/// The leading `system` messages are one of the settings. Members of `extra` are further settings,
/// and replace those of the same name. The settings that were dropped are returned with the
/// messages.
///
/// # Errors
///
/// Returns `Unsupported` if the request has settings that the agent does not support, and its
/// policy is to refuse them, and `TooLarge` if the messages exceed the limit.
pub(super) fn turn(model: &str, request: &ChatRequest, id: &str) -> Result<(Vec<String>, Dropped)> {
    let (request, dropped) = adapt(request, &[Field::Temperature])?;
    let is_system = |message: &Message| matches!(message.role, Role::System | Role::Developer);
    let first = request
        .messages
        .iter()
        .position(|message| !is_system(message));
    let (system, conversation) = request
        .messages
        .split_at(first.unwrap_or(request.messages.len()));
    if conversation.is_empty() {
        return Err(Error::config(
            "the playground requires a user or assistant message",
        ));
    }
    let messages = conversation.iter().enumerate();
    let messages = messages.map(|(index, message)| {
        Ok(object(&[
            ("role", Json::from(role(message)?)),
            ("parts", parts(message)?),
            ("id", Json::from(format!("msg_{index}"))),
        ]))
    });
    let messages = messages.collect::<Result<Vec<_>>>()?;
    let body = object(&[
        ("messages", list(&messages)),
        ("trigger", Json::from("submit-message")),
    ]);
    let init = object(&[
        ("method", Json::from("POST")),
        ("body", Json::from(body.as_str())),
    ]);
    let ask = object(&[
        ("type", Json::from("cf_agent_use_chat_request")),
        ("id", Json::from(id)),
        ("init", init),
    ]);
    let turn = [settings(model, system, &request)?, ask];
    let length = turn.iter().map(|message| message.as_str().len()).sum();
    if MAX_MESSAGE < length {
        let message =
            format!("request too large: expected at most {MAX_MESSAGE} bytes, got {length}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    let turn = turn.iter().map(|message| message.as_str().to_owned());
    Ok((turn.collect(), dropped))
}

/// Encodes the settings, which replace all settings of the agent.
fn settings(model: &str, system: &[Message], request: &ChatRequest) -> Result<Json> {
    let mut words = Vec::new();
    for message in system {
        let texts = message.content.iter().map(|part| match part.as_text() {
            Some(text) => Ok(text),
            None => Err(unsupported("does not support images")),
        });
        words.extend(texts.collect::<Result<Vec<_>>>()?);
    }
    let words = words.join("\n\n");
    let words = if words.is_empty() {
        SYSTEM_MESSAGE
    } else {
        &words
    };
    let temperature = request.temperature.unwrap_or(TEMPERATURE);
    let mut state = vec![
        ("model", Json::from(model)),
        ("temperature", Json::from(temperature)),
        ("stream", Json::from(true)),
        ("system", Json::from(words)),
        ("useExternalProvider", Json::from(false)),
    ];
    for (name, value) in &request.extra {
        match state.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => state.push((name, value.clone())),
        }
    }
    Ok(object(&[
        ("type", Json::from("cf_agent_state")),
        ("state", object(&state)),
    ]))
}

fn role(message: &Message) -> Result<&'static str> {
    match message.role {
        Role::System | Role::Developer => Ok(Role::System.as_str()),
        Role::Tool => Err(unsupported("does not support tool results")),
        role => Ok(role.as_str()),
    }
}

/// Encodes a message that consists of its type and the turn's id.
pub(super) fn about(kind: &str, id: &str) -> String {
    let message = object(&[("type", Json::from(kind)), ("id", Json::from(id))]);
    message.as_str().to_owned()
}

/// Encodes a call of one of the agent's methods, without arguments.
pub(super) fn call(method: &str, id: &str) -> String {
    let call = object(&[
        ("type", Json::from("rpc")),
        ("id", Json::from(id)),
        ("method", Json::from(method)),
        ("args", list(&[])),
    ]);
    call.as_str().to_owned()
}

/// The message that asks whether a turn is running.
pub(super) const RESUME: &str = r#"{"type":"cf_agent_stream_resume_request"}"#;
