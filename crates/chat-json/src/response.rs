//! A complete response as one document.

use std::time::{SystemTime, UNIX_EPOCH};

use inferstream_core::{ChatResponse, Choice, FinishReason, Json, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    error::ApiError,
    usage::{WireUsage, wire},
};

/// What all documents and chunks of a response have in common.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Identity {
    /// The id, with the prefix `chatcmpl-`.
    pub id: String,
    /// The time of creation, in seconds since 1970.
    pub created: u64,
    /// The name that the client requested.
    pub model: String,
}

impl Identity {
    /// Creates an identity with a random id and the current time.
    pub fn new(model: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            id: format!("chatcmpl-{}", random_id()),
            created: now.map_or(0, |now| now.as_secs()),
            model,
        }
    }
}

/// Returns 24 random letters and digits.
pub fn random_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(24)
        .collect()
}

/// Returns the finish reason in OpenAI's words: strict clients refuse all others.
pub fn finish_reason(reason: &FinishReason, has_calls: bool) -> &'static str {
    match reason {
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Unknown if has_calls => "tool_calls",
        _ => "stop",
    }
}

#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WireChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
}

#[derive(Serialize)]
struct WireChoice<'a> {
    index: u32,
    message: Message<'a>,
    logprobs: Option<Box<RawValue>>,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    native_finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: std::borrow::Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// Encodes a complete response as a document `chat.completion`.
///
/// # Errors
///
/// Fails if a choice has no finish reason: it is not complete.
pub fn write_response(identity: &Identity, response: &ChatResponse) -> Result<String, ApiError> {
    let choices = response.choices.iter().map(choice);
    let choices = choices.collect::<Option<Vec<_>>>().unwrap_or_default();
    if choices.is_empty() {
        return Err(ApiError::truncated());
    }
    let document = Document {
        id: &identity.id,
        object: "chat.completion",
        created: identity.created,
        model: &identity.model,
        choices,
        usage: response.usage.as_ref().and_then(wire),
    };
    serde_json::to_string(&document).map_err(|_| ApiError::truncated())
}

fn choice(choice: &Choice) -> Option<WireChoice<'_>> {
    let reason = choice.finish_reason.as_ref()?;
    let has_calls = !choice.tool_calls.is_empty();
    let text = choice.text.as_str();
    Some(WireChoice {
        index: choice.index,
        message: Message {
            role: "assistant",
            content: Some(text).filter(|text| !(text.is_empty() && has_calls)),
            reasoning_content: &choice.reasoning,
            refusal: None,
            tool_calls: choice.tool_calls.iter().map(call).collect(),
        },
        logprobs: logprobs(&choice.logprobs),
        finish_reason: finish_reason(reason, has_calls),
        native_finish_reason: match reason {
            FinishReason::Other(word) => Some(word),
            _ => None,
        },
    })
}

fn call(call: &ToolCall) -> WireCall<'_> {
    WireCall {
        id: match call.id.as_str() {
            "" => format!("call_{}", random_id()).into(),
            id => id.into(),
        },
        kind: "function",
        function: Function {
            name: &call.name,
            arguments: &call.arguments,
        },
    }
}

/// Joins log probabilities: those of one document are one value, and those of fragments are objects
/// of lists.
fn logprobs(fragments: &[Json]) -> Option<Box<RawValue>> {
    if let [one] = fragments {
        return RawValue::from_string(one.as_str().to_owned()).ok();
    }
    let mut joined = serde_json::Map::new();
    for fragment in fragments {
        let members: serde_json::Map<_, _> = serde_json::from_str(fragment.as_str()).ok()?;
        for (name, value) in members {
            match (joined.get_mut(&name), value) {
                (Some(serde_json::Value::Array(list)), serde_json::Value::Array(more)) => {
                    list.extend(more);
                }
                (_, value) => {
                    joined.insert(name, value);
                }
            }
        }
    }
    let joined = (!joined.is_empty()).then_some(joined)?;
    serde_json::value::to_raw_value(&joined).ok()
}
