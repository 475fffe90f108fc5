//! The encoder for requests to the playground over HTTP.

use std::borrow::Cow;

use bytes::Bytes;
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, Json, Message, Part, Result, Role, Tool,
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
pub fn body(model: &str, request: &ChatRequest) -> Result<(Bytes, Dropped)> {
    let (request, dropped) = adapt(request, &[Field::MaxTokens, Field::Tools])?;
    let said = match request.messages.as_slice() {
        _ if request.has_extra("messages") => &[],
        said => said,
    };
    let messages = said.iter().map(message).collect::<Result<Vec<_>>>()?;
    let tools = request.tools.iter().map(tool).collect::<Result<Vec<_>>>()?;
    let mut members = vec![
        ("messages", list(&messages)),
        ("lora", Json::from_text("null")),
        ("model", Json::from(model)),
        (
            "max_tokens",
            Json::from(request.max_tokens.unwrap_or(MAX_TOKENS)),
        ),
        ("stream", Json::from(true)),
        ("system_message", Json::from(SYSTEM_MESSAGE)),
        ("tools", list(&tools)),
    ];
    for (name, value) in &request.extra {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None => members.push((name, value.clone())),
        }
    }
    let body = Bytes::from(object(&members).as_str().to_owned());
    Ok((body, dropped))
}

/// Removes the settings that are not in `known`, as the request's policy says.
pub(super) fn adapt<'a>(
    request: &'a ChatRequest,
    known: &[Field],
) -> Result<(Cow<'a, ChatRequest>, Dropped)> {
    let mut dropped = Dropped::new(INFO.id.clone(), request.on_unsupported);
    let mut request = Cow::Borrowed(request);
    if request
        .settings()
        .any(|field| request.has_extra(field.name()))
    {
        request.to_mut().yield_to_extra(Field::name);
    }
    if !request.settings().all(|field| known.contains(&field)) {
        let reason = "unknown to the playground";
        dropped.keep(request.to_mut(), reason, |field| known.contains(&field));
    }
    if request.tools.iter().any(|tool| tool.strict == Some(true)) {
        for tool in &mut request.to_mut().tools {
            if tool.strict.take() == Some(true) {
                let field = format!("tools/{}#strict", tool.name);
                dropped.setting(field, "not guaranteed by the playground");
            }
        }
    }
    dropped.settle()?;
    Ok((request, dropped))
}

fn message(message: &Message) -> Result<Json> {
    let role = match message.role {
        // The playground has no role `developer`, so it is sent as `system`.
        Role::Developer => Role::System,
        Role::Tool => return Err(unsupported("does not support tool results")),
        role => role,
    };
    let parts = parts(message)?;
    let content = match message.content.as_slice() {
        [Part::Text { text }] => text,
        _ => "",
    };
    Ok(object(&[
        ("role", Json::from(role.as_str())),
        ("content", Json::from(content)),
        ("parts", parts),
    ]))
}

/// Encodes the contents of a message as parts of the AI SDK's format.
pub(super) fn parts(message: &Message) -> Result<Json> {
    if !message.tool_calls.is_empty() {
        return Err(unsupported("does not support tool calls in messages"));
    }
    let parts = message.content.iter().map(part);
    Ok(list(&parts.collect::<Result<Vec<_>>>()?))
}

fn part(part: &Part) -> Result<Json> {
    match part {
        Part::Text { text } => Ok(object(&[
            ("type", Json::from("text")),
            ("text", Json::from(text.as_str())),
        ])),
        _ => Err(unsupported("does not support images")),
    }
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
    let members = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", Json::from(*name)));
    Json::from_text(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

pub(super) fn list(values: &[Json]) -> Json {
    let values = values.iter().map(Json::as_str);
    Json::from_text(format!("[{}]", values.collect::<Vec<_>>().join(",")))
}
