//! What of a chunk tells its kind, and the protocol's form of what is not in it.

use std::borrow::Cow;

use inferstream_core::Usage;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};

/// The members of a chunk, or of a document, as they are.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    response: Raw<'a>,
    #[serde(borrow)]
    tool_calls: Raw<'a>,
    #[serde(borrow)]
    finish_reason: Raw<'a>,
    #[serde(borrow)]
    usage: Raw<'a>,
    #[serde(borrow)]
    choices: Raw<'a>,
    #[serde(borrow)]
    result: Raw<'a>,
    #[serde(borrow)]
    success: Raw<'a>,
    #[serde(borrow, rename = "internalCode")]
    internal_code: Raw<'a>,
}

/// A value's text, `null` included; nothing where there is no value.
#[derive(Clone, Copy, Debug, Default)]
struct Raw<'a>(Option<&'a str>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw.get())))
    }
}

impl<'a> Raw<'a> {
    /// Returns the text of what is there and not `null`.
    fn some(self) -> Option<&'a str> {
        self.0.filter(|text| *text != "null")
    }

    fn value(self) -> Option<Value> {
        serde_json::from_str(self.some()?).ok()
    }
}

impl<'a> Chunk<'a> {
    pub(super) fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns true for a chunk of the service's own form; the others are the protocol's, or errors.
    pub(super) fn is_native(&self) -> bool {
        let is_answer = self.response.0.is_some() || self.tool_calls.some().is_some();
        self.choices.some().is_none() && (is_answer || self.finish_reason.some().is_some())
    }

    /// Returns true if it holds no part of the answer, only what goes with it.
    pub(super) fn has_no_choices(&self) -> bool {
        let is_empty = |choices: &str| choices.trim_matches(['[', ']', ' ']).is_empty();
        self.choices.some().is_some_and(is_empty)
    }

    /// Returns true for an envelope that says that there is no answer in it, and for an error that
    /// stands where an answer should be.
    pub(super) fn has_failed(&self) -> bool {
        self.success.0 == Some("false") || self.internal_code.some().is_some()
    }

    /// Returns the answer in an envelope, or all where there is none.
    pub(super) fn inner(&self, all: &'a str) -> &'a str {
        self.result.some().unwrap_or(all)
    }

    /// Returns true if the text has an escape for half a character.
    pub(super) fn has_halves(&self) -> bool {
        let is_half = |text: &str| text.contains("\\ud") || text.contains("\\uD");
        self.response.some().is_some_and(is_half)
    }

    /// Returns the reason that stands beside choices which have none.
    pub(super) fn reason_beside(&self) -> Option<String> {
        let reason = self.reason().filter(|_| self.choices.some().is_some())?;
        let own = self.choices.value()?[0]["finish_reason"].is_string();
        let choice = json!({ "index": 0, "delta": {}, "finish_reason": reason });
        (!own).then(|| json!({ "choices": [choice] }).to_string())
    }

    /// Returns true if the reason is the word `unknown`, which is not the same as none.
    pub(super) fn is_of_unknown_reason(&self) -> bool {
        let is_unknown = |value: &Value| value == "unknown";
        let choices = self.choices.value().unwrap_or_default();
        is_unknown(&choices[0]["finish_reason"])
            || self.reason().is_some_and(|reason| is_unknown(&reason))
    }

    /// Returns the text: some models' tokens are parsed as JSON before they are sent, so that digits
    /// come as numbers and the words `true` and `false` as themselves.
    ///
    /// # Errors
    ///
    /// For a string that is none, such as one with half a character.
    pub(super) fn text(&self) -> serde_json::Result<Cow<'a, str>> {
        let Some(response) = self.response.some() else {
            return Ok(Cow::Borrowed(""));
        };
        match response.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Text<'a>>(response).map(|text| text.0),
            None => Ok(Cow::Borrowed("")),
            // A number is as it is written, and an answer in JSON is its text.
            Some(_) => Ok(Cow::Borrowed(response)),
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let value = self.usage.value()?;
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

    /// Returns the text as a chunk of the protocol, as it is: halves of characters included.
    pub(super) fn text_chunk(&self) -> Option<String> {
        let text = self.response.some().filter(|text| text.starts_with('"'))?;
        Some(format!(
            r#"{{"choices":[{{"index":0,"delta":{{"content":{text}}}}}]}}"#
        ))
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
        Ok(json!({ "choices": [choice], "usage": self.usage.value() }).to_string())
    }

    fn reason(&self) -> Option<Value> {
        self.finish_reason.value().filter(Value::is_string)
    }

    /// Returns tool calls in the protocol's form: flat ones are numbered on, those that come in pieces
    /// have their number.
    fn calls(&self, calls: &mut usize) -> Option<Value> {
        let list = self.tool_calls.value()?;
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
