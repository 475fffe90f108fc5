//! A response as one document.

use inferstream::{ChatResponse, Choice, FinishReason, Json, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Identity,
    chunks::finish_reason,
    random_id,
    usage::{WireUsage, wire},
};
use crate::refusal::Refusal;

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

/// Encodes a complete response.
///
/// # Errors
///
/// Fails if a choice has no finish reason: it is not complete.
pub(crate) fn whole(identity: &Identity, response: &ChatResponse) -> Result<String, Refusal> {
    let choices = response.choices.iter().map(choice);
    let choices = choices.collect::<Option<Vec<_>>>().unwrap_or_default();
    if choices.is_empty() {
        return Err(Refusal::truncated());
    }
    let document = Document {
        id: &identity.id,
        object: "chat.completion",
        created: identity.created,
        model: &identity.model,
        choices,
        usage: response.usage.as_ref().and_then(wire),
    };
    serde_json::to_string(&document).map_err(|_| Refusal::truncated())
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
