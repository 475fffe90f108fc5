//! The encoder for requests to the playground over HTTP.

use bytes::Bytes;
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, Json, Message, Part, Result, Role, Tool,
    protocol::{escaped_length, push_escaped},
};
use inferstream_openai_compat::without_schema_uri;

use super::wire;
use crate::models::INFO;

/// The token limit if the request sets none, the same as the page sent.
const MAX_TOKENS: u64 = 2048;

/// The system message that the page sends; messages with the role `system` are sent in addition.
pub(super) const SYSTEM_MESSAGE: &str = "You are a helpful assistant";

/// Encodes a request as the playground's page did from 2025-03-29 to 2025-10-28.
///
/// A message that consists of one text has it in `content`, too; all others have an empty
/// `content`. Members of `extra` replace members of the same name, and others are appended. The
/// settings that were dropped are returned with the body.
///
/// # Errors
///
/// - `Unsupported` if the request has settings that the body has no member for, and its policy is
///   to refuse them. Images, tool calls and tool results in the messages are always refused: the
///   server ignored such parts, so the model answered without them.
/// - `Config` if the parameters of a tool are not valid JSON.
/// - `TooLarge`, before the messages are encoded if their texts alone are too large.
pub fn body(model: &str, request: &mut ChatRequest) -> Result<(Bytes, Dropped)> {
    let dropped = adapt(request, &[Field::MaxTokens, Field::Tools])?;
    let request = &*request;
    let tools = request.tools.iter().map(tool).collect::<Result<Vec<_>>>()?;
    let max_tokens = request.max_tokens.unwrap_or(MAX_TOKENS);
    let mut members = vec![
        ("lora", Json::from_text("null")),
        ("model", Json::from(model)),
        ("max_tokens", Json::from(max_tokens)),
        ("stream", Json::from(true)),
        ("system_message", Json::from(SYSTEM_MESSAGE)),
        ("tools", list(&tools)),
    ];
    for (name, value) in &request.extra {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None if name == "messages" => members.insert(0, (name, value.clone())),
            None => members.push((name, value.clone())),
        }
    }
    if request.has_extra("messages") {
        let body = object(&members);
        check_size(body.as_str().len(), MAX_BODY)?;
        return Ok((Bytes::from(body.as_str().to_owned()), dropped));
    }
    let others = object(&members);
    let others = &others.as_str()[1..];
    let least = twice_of(&request.messages, str::len) + others.len();
    check_size(least, MAX_BODY)?;
    // The messages are encoded into the body itself, because they are most of it.
    let room = MEMBERS * request.messages.len() + twice_of(&request.messages, escaped_length);
    let mut body = String::with_capacity("{\"messages\":[],".len() + room + others.len());
    body.push_str("{\"messages\":[");
    for (index, one) in request.messages.iter().enumerate() {
        body.push_str(if index == 0 { "" } else { "," });
        message(one, &mut body)?;
    }
    body.push_str("],");
    body.push_str(others);
    check_size(body.len(), MAX_BODY)?;
    Ok((Bytes::from(body), dropped))
}

/// The maximum size of a request body, in bytes.
const MAX_BODY: usize = 16 << 20;

/// The maximum length of a message of one part, without its text.
const MEMBERS: usize =
    r#"{"role":"assistant","content":"","parts":[{"type":"text","text":""}]},"#.len();

/// Refuses a body that has at least `length` bytes, if that is more than `limit`.
pub(super) fn check_size(length: usize, limit: usize) -> Result<()> {
    if length <= limit {
        return Ok(());
    }
    let message =
        format!("request too large: expected at most {limit} bytes, got at least {length}");
    Err(Error::new(ErrorKind::TooLarge, message))
}

/// Adds up the lengths of the texts, where that of a message's only one counts twice: it is sent as
/// `content` and as a part.
fn twice_of(messages: &[Message], length: fn(&str) -> usize) -> usize {
    let lengths = messages.iter().map(|one| match one.content.as_slice() {
        [Part::Text { text }] => 2 * length(text),
        parts => parts.iter().filter_map(Part::as_text).map(length).sum(),
    });
    lengths.sum()
}

/// Removes the settings that are not in `known`, as the request's policy says.
pub(super) fn adapt(request: &mut ChatRequest, known: &[Field]) -> Result<Dropped> {
    let mut dropped = Dropped::new(INFO.id.clone(), request.on_unsupported);
    request.yield_to_extra(Field::name);
    let reason = "unknown to the playground";
    dropped.keep(request, reason, |field| known.contains(&field));
    for tool in &mut request.tools {
        if tool.strict.take() == Some(true) {
            let field = format!("tools/{}#strict", tool.name);
            dropped.setting(field, "not guaranteed by the playground");
        }
    }
    dropped.settle()?;
    Ok(dropped)
}

/// Writes a message.
fn message(message: &Message, body: &mut String) -> Result<()> {
    let role = match message.role {
        // The playground does not distinguish the two.
        Role::Developer => Role::System,
        Role::Tool => return Err(unsupported("does not support tool results")),
        role => role,
    };
    let texts = texts(message)?;
    body.push_str("{\"role\":\"");
    body.push_str(role.as_str());
    body.push_str("\",\"content\":\"");
    if let [text] = texts.as_slice() {
        push_escaped(body, text);
    }
    body.push_str("\",\"parts\":[");
    for (index, text) in texts.iter().enumerate() {
        body.push_str(if index == 0 { "" } else { "," });
        body.push_str("{\"type\":\"text\",\"text\":\"");
        push_escaped(body, text);
        body.push_str("\"}");
    }
    body.push_str("]}");
    Ok(())
}

/// Returns the texts of a message, which become its parts as the AI SDK sends them.
pub(super) fn texts(message: &Message) -> Result<Vec<&str>> {
    if !message.tool_calls.is_empty() {
        return Err(unsupported("does not support tool calls in messages"));
    }
    let texts = message.content.iter().map(|part| match part.as_text() {
        Some(text) => Ok(text),
        None => Err(unsupported("does not support images")),
    });
    texts.collect()
}

fn tool(tool: &Tool) -> Result<Json> {
    if !wire::is_json(tool.parameters.as_str()) {
        let message = format!(
            "invalid parameters of the tool `{}`: expected JSON",
            tool.name
        );
        return Err(Error::config(message));
    }
    let mut members = vec![("name", Json::from(tool.name.as_str()))];
    if let Some(description) = &tool.description {
        members.push(("description", Json::from(description.as_str())));
    }
    members.push(("inputSchema", without_schema_uri(&tool.parameters)));
    Ok(object(&members))
}

pub(super) fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the playground {what}"))
}

pub(super) fn object(members: &[(&str, Json)]) -> Json {
    let lengths = members
        .iter()
        .map(|(name, value)| name.len() + value.as_str().len() + 4);
    let mut json = String::with_capacity(lengths.sum::<usize>() + 2);
    for (name, value) in members {
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(Json::from(*name).as_str());
        json.push(':');
        json.push_str(value.as_str());
    }
    json.push_str(if members.is_empty() { "{}" } else { "}" });
    Json::from_text(json)
}

pub(super) fn list(values: &[Json]) -> Json {
    let lengths = values.iter().map(|value| value.as_str().len() + 1);
    let mut json = String::with_capacity(lengths.sum::<usize>() + 2);
    for value in values {
        json.push(if json.is_empty() { '[' } else { ',' });
        json.push_str(value.as_str());
    }
    json.push_str(if values.is_empty() { "[]" } else { "]" });
    Json::from_text(json)
}
