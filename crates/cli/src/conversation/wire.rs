//! Messages as JSON, in the shape of the chat protocol.

use inferstream::{ImageSource, Message, Part};
use inferstream_chat_json::read_message;
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
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<WirePart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Image<'a> },
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Returns a message as JSON.
pub(super) fn write(message: &Message, truncated: bool) -> Box<RawValue> {
    let content = match message.content.as_slice() {
        [] => None,
        [Part::Text { text }] => Some(Content::Text(text)),
        parts => Some(Content::Parts(parts.iter().filter_map(part).collect())),
    };
    let calls = message.tool_calls.iter().map(|call| Call {
        id: &call.id,
        kind: "function",
        function: Function {
            name: &call.name,
            arguments: &call.arguments,
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

fn part(part: &Part) -> Option<WirePart<'_>> {
    match part {
        Part::Text { text } => Some(WirePart::Text { text }),
        Part::Image {
            source: ImageSource::Url(url),
            detail,
        } => Some(WirePart::ImageUrl {
            image_url: Image {
                url,
                detail: detail.as_deref(),
            },
        }),
        // The program adds images as URLs only.
        _ => None,
    }
}

/// Parses a message, which errors name by its index. Members that a message has no place for are kept in
/// the file, and not sent. A truncated message has no tool calls.
///
/// # Errors
///
/// Returns what is invalid.
pub(super) fn read(index: usize, json: &RawValue) -> Result<Message, String> {
    #[derive(Deserialize)]
    struct Mark {
        #[serde(default)]
        truncated: bool,
    }

    let at = format!("messages[{index}]");
    let mut message = read_message(&at, json).map_err(|error| error.message)?;
    let mark: Mark = serde_json::from_str(json.get())
        .map_err(|_| format!("invalid `{at}.truncated`: expected a boolean"))?;
    if mark.truncated {
        message.tool_calls.clear();
    }
    Ok(message)
}
