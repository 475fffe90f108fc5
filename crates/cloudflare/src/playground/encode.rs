//! A request in, the body of the playground's inference call out.

use std::borrow::Cow;

use bytes::Bytes;
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, Json, Message, Part, Result, Role, Tool,
};
use inferstream_openai_compat::without_schema_uri;

use super::wire;
use crate::models::INFO;

/// How many tokens an answer may have where the request does not say: the page's own number.
const MAX_TOKENS: u64 = 2048;

/// What the page sends beside the messages; those of the role `system` stay among them.
pub(super) const SYSTEM_MESSAGE: &str = "You are a helpful assistant";

/// Encodes a request as the playground's page of 2025-03-29 to 2025-10-28 did.
///
/// A message of one text has it as `content` too, any other an empty one.
/// Members of `extra` stand in place of those of the same name, else behind them.
/// With the body comes what it does without.
///
/// # Errors
///
/// - `Unsupported` that names what the body has no member for, by the request's policy. Images and
///   the calls and answers of tools in the conversation are refused whatever that says: the server
///   passed over the parts that they would be, so that the model answered without them.
/// - `Config` for a tool whose schema is not JSON.
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

/// Takes the settings out of a request that are not among the known ones, by its policy.
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
                dropped.setting(field, "the playground makes no such promise");
            }
        }
    }
    dropped.settle()?;
    Ok((request, dropped))
}

fn message(message: &Message) -> Result<Json> {
    let role = match message.role {
        // It is `System` to who does not tell the two apart.
        Role::Developer => Role::System,
        Role::Tool => return Err(unsupported("does not take the answers of tools")),
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

/// Encodes what a message says, as the parts of the AI SDK's messages.
pub(super) fn parts(message: &Message) -> Result<Json> {
    if !message.tool_calls.is_empty() {
        return Err(unsupported("does not take the calls of tools"));
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
        _ => Err(unsupported("does not take images")),
    }
}

fn tool(tool: &Tool) -> Result<Json> {
    if !wire::is_json(tool.parameters.as_str()) {
        let message = format!("the parameters of the tool `{}` are not JSON", tool.name);
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
