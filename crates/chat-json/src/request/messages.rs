//! The parser of messages, their parts and their tool calls.

use inferstream_core::{ImageSource, Message, Part, Role, ToolCall};
use serde_json::value::RawValue;

use super::members::{Members, invalid, is_empty, list, object, required, text};
use crate::error::ApiError;

/// Parses messages. Content is never dropped: what cannot be passed on is refused. Other members
/// that a message of core has no place for are dropped with a warning.
pub(super) fn read(raw: &RawValue, warnings: &mut Vec<String>) -> Result<Vec<Message>, ApiError> {
    let messages = required("messages", Some(list("messages", raw)))?;
    let mut read = Vec::with_capacity(messages.len());
    for (index, raw) in messages.into_iter().enumerate() {
        read.push(message(&format!("messages[{index}]"), raw, warnings)?);
    }
    Ok(read)
}

pub(super) fn message(
    at: &str,
    raw: &RawValue,
    warnings: &mut Vec<String>,
) -> Result<Message, ApiError> {
    let members = required(at, Some(object(at, raw)))?;
    let member = |name: &str| format!("{at}.{name}");
    let mut message = Message::empty(role(&member("role"), &members)?);
    for (name, raw) in members.last_of_each() {
        let at = member(name);
        match name {
            "role" => {}
            "content" => message.content = content(&at, raw, warnings)?,
            "reasoning" | "reasoning_content" => {
                let reasoning = text(&at, raw)?.filter(|text| !text.is_empty());
                message.reasoning = reasoning.or(message.reasoning);
            }
            "tool_call_id" => message.tool_call_id = text(&at, raw)?,
            "tool_calls" => message.tool_calls = tool_calls(&at, raw)?,
            // What the model or a tool said, in forms that no provider here accepts.
            "audio" | "function_call" | "refusal" if !is_empty(raw) => {
                return Err(ApiError::invalid(Some(&at), format!("unsupported `{at}`")));
            }
            _ if is_empty(raw) => {}
            _ => warnings.push(format!("{at} was dropped")),
        }
    }
    let may_be_empty = message.role == Role::Assistant;
    if message.content.is_empty() && !may_be_empty {
        return Err(missing(&member("content")));
    }
    if message.role == Role::Tool && message.tool_call_id.is_none() {
        return Err(missing(&member("tool_call_id")));
    }
    Ok(message)
}

fn missing(at: &str) -> ApiError {
    ApiError::invalid(Some(at), format!("missing `{at}`"))
}

fn role(at: &str, members: &Members<'_>) -> Result<Role, ApiError> {
    let word = required(at, members.get("role").map(|raw| text(at, raw)))?;
    match word.as_str() {
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "tool" => Ok(Role::Tool),
        _ => Err(invalid(
            at,
            "`system`, `developer`, `user`, `assistant` or `tool`",
        )),
    }
}

fn content(at: &str, raw: &RawValue, warnings: &mut Vec<String>) -> Result<Vec<Part>, ApiError> {
    if raw.get().starts_with('[') {
        let mut parts = Vec::new();
        for (index, raw) in list(at, raw)?.unwrap_or_default().into_iter().enumerate() {
            parts.push(part(&format!("{at}[{index}]"), raw, warnings)?);
        }
        return Ok(parts);
    }
    match serde_json::from_str::<Option<String>>(raw.get()) {
        Ok(text) => Ok(text.map(Part::from).into_iter().collect()),
        Err(_) => Err(invalid(at, "a string or a list of parts")),
    }
}

fn part(at: &str, raw: &RawValue, warnings: &mut Vec<String>) -> Result<Part, ApiError> {
    let members = required(at, Some(object(at, raw)))?;
    let at_kind = format!("{at}.type");
    let kind = required(&at_kind, members.get("type").map(|raw| text(&at_kind, raw)))?;
    let known = match kind.as_str() {
        "text" => "text",
        "image_url" => "image_url",
        _ => return Err(invalid(&at_kind, "`text` or `image_url`")),
    };
    for (name, raw) in members.last_of_each() {
        if name != "type" && name != known && !is_empty(raw) {
            warnings.push(format!("{at}.{name} was dropped"));
        }
    }
    let at = format!("{at}.{known}");
    match (known, members.get(known)) {
        ("text", value) => Ok(Part::from(required(&at, value.map(|raw| text(&at, raw)))?)),
        (_, Some(raw)) if raw.get().starts_with('"') => {
            Ok(Part::image_url(required(&at, Some(text(&at, raw)))?))
        }
        (_, value) => {
            let image = required(&at, value.map(|raw| object(&at, raw)))?;
            let at_url = format!("{at}.url");
            let url = required(&at_url, image.get("url").map(|raw| text(&at_url, raw)))?;
            let detail = image.get("detail");
            let detail = detail.map(|raw| text(&format!("{at}.detail"), raw));
            let mut part = Part::image_url(url);
            if let Part::Image { detail: place, .. } = &mut part {
                *place = detail.transpose()?.flatten();
            }
            debug_assert!(matches!(
                &part,
                Part::Image {
                    source: ImageSource::Url(_),
                    ..
                }
            ));
            Ok(part)
        }
    }
}

fn tool_calls(at: &str, raw: &RawValue) -> Result<Vec<ToolCall>, ApiError> {
    let mut calls = Vec::new();
    for (index, raw) in list(at, raw)?.unwrap_or_default().into_iter().enumerate() {
        let at = format!("{at}[{index}]");
        let call = required(&at, Some(object(&at, raw)))?;
        let read = |members: &Members<'_>, name: &str| {
            let at = format!("{at}.{name}");
            let raw = members.get(name);
            required(&at, raw.map(|raw| text(&at, raw)))
        };
        let at_function = format!("{at}.function");
        let function = call.get("function");
        let function = required(&at_function, function.map(|raw| object(&at_function, raw)))?;
        calls.push(ToolCall::new(
            read(&call, "id")?,
            read(&function, "name")?,
            read(&function, "arguments")?,
        ));
    }
    Ok(calls)
}
