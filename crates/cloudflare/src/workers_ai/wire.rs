//! What of a chunk tells its kind, and the protocol's form of what is not in it.

use std::borrow::Cow;

use inferstream_core::Usage;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// The members of a chunk, or of a document, as they are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) response: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    success: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    pub(super) fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns true for a chunk of the service's own form; the others are the protocol's, or errors.
    pub(super) fn is_native(&self) -> bool {
        let has_choices = self.choices.is_some_and(|choices| choices.get() != "null");
        let is_native = self.response.is_some() || self.tool_calls.is_some();
        !has_choices && (is_native || self.finish_reason.is_some())
    }

    /// Returns true if it holds no part of the answer, only what goes with it.
    pub(super) fn has_no_choices(&self) -> bool {
        self.choices
            .is_some_and(|choices| choices.get().trim_matches(['[', ']', ' ']).is_empty())
    }

    /// Returns true if the envelope says that there is no answer in it.
    pub(super) fn has_failed(&self) -> bool {
        self.success.is_some_and(|success| success.get() == "false")
    }

    /// Returns the text: some models' tokens are parsed as JSON before they are sent, so that digits
    /// come as numbers and the words `true` and `false` as themselves.
    ///
    /// # Errors
    ///
    /// For a string that is none, such as one with half a character.
    pub(super) fn text(&self) -> serde_json::Result<Cow<'a, str>> {
        let Some(response) = self.response.map(RawValue::get) else {
            return Ok(Cow::Borrowed(""));
        };
        match response.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Text<'a>>(response).map(|text| text.0),
            Some(b'n') | None => Ok(Cow::Borrowed("")),
            // A number is as it is written, and an answer in JSON is its text.
            Some(_) => Ok(Cow::Borrowed(response)),
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let value = self.usage.map(RawValue::get)?;
        let value = serde_json::from_str::<Value>(value).ok()?;
        let count = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let mut usage = Usage::default();
        usage.input_tokens = count(&value["prompt_tokens"]);
        usage.output_tokens = count(&value["completion_tokens"]);
        usage.total_tokens = count(&value["total_tokens"]);
        usage.cached_tokens = count(&value["prompt_tokens_details"]["cached_tokens"]);
        (usage != Usage::default()).then_some(usage)
    }

    /// Returns what is not text as a chunk of the protocol; `calls` is how many calls came before.
    pub(super) fn chunk(&self, calls: &mut usize) -> String {
        let mut delta = json!({});
        if let Some(list) = self.calls(calls) {
            delta["tool_calls"] = list;
        }
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": self.reason() });
        json!({ "choices": [choice] }).to_string()
    }

    /// Returns all of a document as one of the protocol.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub(super) fn completion(&self, reason: &str) -> serde_json::Result<String> {
        let mut message = json!({ "role": "assistant", "content": self.text()? });
        let mut reason = self.reason().unwrap_or_else(|| reason.into());
        if let Some(list) = self.calls(&mut 0) {
            message["tool_calls"] = list;
            reason = "tool_calls".into();
        }
        let choice = json!({ "index": 0, "message": message, "finish_reason": reason });
        let usage = self.usage.map(RawValue::get);
        let usage = usage.and_then(|usage| serde_json::from_str::<Value>(usage).ok());
        Ok(json!({ "choices": [choice], "usage": usage }).to_string())
    }

    fn reason(&self) -> Option<Value> {
        let reason = serde_json::from_str::<Value>(self.finish_reason?.get()).ok()?;
        reason.is_string().then_some(reason)
    }

    /// Returns tool calls in the protocol's form: flat ones are numbered on, those that come in pieces
    /// have their number.
    fn calls(&self, calls: &mut usize) -> Option<Value> {
        let list = serde_json::from_str::<Value>(self.tool_calls?.get()).ok()?;
        let list = list.as_array().filter(|list| !list.is_empty())?;
        let call = |call: &Value| {
            if call["function"].is_object() {
                return call.clone();
            }
            let index = *calls;
            *calls += 1;
            let function = json!({ "name": call["name"], "arguments": call["arguments"] });
            json!({ "index": index, "id": call["id"], "type": "function", "function": function })
        };
        Some(list.iter().map(call).collect())
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
