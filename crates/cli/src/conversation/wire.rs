//! Messages as JSON, in the shape of the chat protocol.

use inferstream::{ImageSource, Message, Part, Role, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// A message as it is written.
#[derive(Serialize)]
struct Written<'a> {
    role: &'a str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<WirePart>),
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart {
    Text { text: String },
    ImageUrl { image_url: Image },
}

#[derive(Deserialize, Serialize)]
struct Image {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Call {
    id: String,
    #[serde(rename = "type", default = "function")]
    kind: String,
    function: Function,
}

#[derive(Deserialize, Serialize)]
struct Function {
    name: String,
    arguments: String,
}

fn function() -> String {
    "function".to_owned()
}

/// Returns a message as JSON.
pub(super) fn write(message: &Message, truncated: bool) -> Box<RawValue> {
    let content = match message.content.as_slice() {
        [] => None,
        [Part::Text { text }] => Some(Content::Text(text)),
        parts => Some(Content::Parts(parts.iter().filter_map(part).collect())),
    };
    let calls = message.tool_calls.iter().map(|call| Call {
        id: call.id.clone(),
        kind: function(),
        function: Function {
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        },
    });
    let written = to_raw_value(&Written {
        role: message.role.as_str(),
        content,
        reasoning: message.reasoning.as_deref(),
        tool_calls: calls.collect(),
        tool_call_id: message.tool_call_id.as_deref(),
        truncated,
    });
    written.expect("strings and booleans can be written as JSON")
}

fn part(part: &Part) -> Option<WirePart> {
    match part {
        Part::Text { text } => Some(WirePart::Text { text: text.clone() }),
        Part::Image {
            source: ImageSource::Url(url),
            detail,
        } => Some(WirePart::ImageUrl {
            image_url: Image {
                url: url.clone(),
                detail: detail.clone(),
            },
        }),
        // The program adds images as URLs only.
        _ => None,
    }
}

/// A message as it is read. Other members are kept in the file, and not sent.
#[derive(Deserialize)]
struct Read {
    role: Role,
    #[serde(default)]
    content: serde_json::Value,
    /// Services call the model's reasoning by one of two names.
    #[serde(default, alias = "reasoning_content")]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    truncated: bool,
}

/// Parses a message. A truncated one has no tool calls.
///
/// # Errors
///
/// Returns what is invalid.
pub(super) fn read(json: &str) -> Result<Message, String> {
    let read: Read = serde_json::from_str(json).map_err(|error| without_place(&error))?;
    let mut message = Message::empty(read.role);
    match read.content {
        serde_json::Value::Null => {}
        serde_json::Value::String(text) => message = message.part(text),
        serde_json::Value::Array(parts) => {
            for part in parts {
                let part = serde_json::from_value(part).map_err(|error| without_place(&error))?;
                message.content.push(match part {
                    WirePart::Text { text } => text.into(),
                    WirePart::ImageUrl { image_url } => image_part(image_url),
                });
            }
        }
        _ => return Err("invalid `content`: expected text or a list of parts".to_owned()),
    }
    message.reasoning = read.reasoning;
    message.tool_call_id = read.tool_call_id;
    if !read.truncated {
        let calls = read.tool_calls.unwrap_or_default().into_iter();
        let calls =
            calls.map(|call| ToolCall::new(call.id, call.function.name, call.function.arguments));
        message.tool_calls = calls.collect();
    }
    if message.role == Role::Tool && message.tool_call_id.is_none() {
        return Err("missing `tool_call_id`".to_owned());
    }
    Ok(message)
}

fn image_part(image: Image) -> Part {
    let mut part = Part::image_url(image.url);
    if let Part::Image { detail, .. } = &mut part {
        *detail = image.detail;
    }
    part
}

/// Returns the message of an error without its position, which is that within one message.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}
