//! The encoder for messages to an agent.

use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, Field, Json, Message, Part, Result, Role, protocol::push_escaped,
};

use super::super::encode::{SYSTEM_MESSAGE, adapt, check_size, list, object, texts, unsupported};

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
pub(super) fn turn(
    model: &str,
    request: &mut ChatRequest,
    id: &str,
) -> Result<(Vec<String>, Dropped)> {
    let dropped = adapt(request, &[Field::Temperature])?;
    let request = &*request;
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
    let is_replaced = request.has_extra("system");
    let sent = [conversation, if is_replaced { &[] } else { system }];
    let parts = sent
        .into_iter()
        .flatten()
        .flat_map(|message| &message.content);
    let texts = parts.filter_map(Part::as_text);
    check_size(texts.map(str::len).sum(), MAX_MESSAGE)?;
    let settings = settings(model, system, request)?;
    let asked = ask(conversation, id)?;
    check_size(settings.len() + asked.len(), MAX_MESSAGE)?;
    Ok((vec![settings, asked], dropped))
}

/// Encodes the conversation. It is JSON within a string, so its texts are escaped twice.
fn ask(conversation: &[Message], id: &str) -> Result<String> {
    let mut asked = String::with_capacity(room(conversation));
    asked.push_str(r#"{"type":"cf_agent_use_chat_request","id":"#);
    asked.push_str(Json::from(id).as_str());
    asked.push_str(r#","init":{"method":"POST","body":"{\"messages\":["#);
    for (index, message) in conversation.iter().enumerate() {
        asked.push_str(if index == 0 { "" } else { "," });
        asked.push_str(r#"{\"role\":\""#);
        asked.push_str(role(message)?);
        asked.push_str(r#"\",\"parts\":["#);
        for (index, text) in texts(message)?.into_iter().enumerate() {
            asked.push_str(if index == 0 { "" } else { "," });
            asked.push_str(r#"{\"type\":\"text\",\"text\":\""#);
            push_twice_escaped(&mut asked, text);
            asked.push_str(r#"\"}"#);
        }
        asked.push_str(r#"],\"id\":\"msg_"#);
        asked.push_str(&index.to_string());
        asked.push_str(r#"\"}"#);
    }
    asked.push_str(r#"],\"trigger\":\"submit-message\"}"}}"#);
    Ok(asked)
}

/// Returns about how many bytes the message with the conversation has.
fn room(conversation: &[Message]) -> usize {
    const MEMBERS: usize = 128;
    let parts = conversation.iter().flat_map(|message| &message.content);
    let texts = parts.filter_map(Part::as_text);
    let texts = texts.map(|text| MEMBERS + twice_escaped_length(text));
    2 * MEMBERS + texts.sum::<usize>()
}

/// Appends a text to JSON, escaped as within a string that is within a string.
fn push_twice_escaped(json: &mut String, text: &str) {
    let mut once = String::new();
    let mut rest = text;
    // In parts, so that a long text is not copied once more.
    while !rest.is_empty() {
        let mut end = rest.len().min(4 << 10);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        once.clear();
        push_escaped(&mut once, &rest[..end]);
        push_escaped(json, &once);
        rest = &rest[end..];
    }
}

/// Returns the number of bytes that [`push_twice_escaped`] appends for a text.
fn twice_escaped_length(text: &str) -> usize {
    let lengths = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => 4,
        b'\n' | b'\r' | b'\t' => 3,
        ..b' ' => 7,
        _ => 1,
    });
    lengths.sum()
}

/// Encodes the settings, which replace all settings of the agent.
fn settings(model: &str, system: &[Message], request: &ChatRequest) -> Result<String> {
    let mut words = Vec::new();
    for message in system {
        let texts = message.content.iter().map(|part| match part.as_text() {
            Some(text) => Ok(text),
            None => Err(unsupported("does not support images")),
        });
        words.extend(texts.collect::<Result<Vec<_>>>()?);
    }
    let words = match words.as_slice() {
        [] | [""] => Json::from(SYSTEM_MESSAGE),
        [one] => Json::from(*one),
        several => Json::from(several.join("\n\n")),
    };
    let temperature = request.temperature.unwrap_or(TEMPERATURE);
    let mut state = vec![
        ("model", Json::from(model)),
        ("temperature", Json::from(temperature)),
        ("stream", Json::from(true)),
        ("system", words),
        ("useExternalProvider", Json::from(false)),
    ];
    for (name, value) in &request.extra {
        match state.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => state.push((name, value.clone())),
        }
    }
    let state = object(&state);
    Ok(format!(r#"{{"type":"cf_agent_state","state":{state}}}"#))
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
