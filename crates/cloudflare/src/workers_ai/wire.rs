//! The members of native chunks and documents, and their conversion to the OpenAI-compatible
//! format.

use std::{borrow::Cow, fmt};

use inferstream_core::{Error, Json, Result, Usage, sse::TooLarge};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The maximum number of tool calls per chunk, the same as the compatible decoder's limit per
/// response.
const MAX_CALLS: usize = 128;

/// The most values of other members that an object keeps. Chunks have one, `p`.
const MAX_PASSED: usize = 8;

/// Declares a JSON object whose members are kept as text. The last member of each name counts.
/// Unknown members are ignored, and their values are kept for templates.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($field:ident = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $name<'a> {
            $($field: Raw<'a>,)*
            passed: Vec<&'a str>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members<'a>($name<'a>);

                impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        mut self,
                        mut map: A,
                    ) -> Result<$name<'a>, A::Error> {
                        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                            match &*name {
                                $($wire => self.0.$field = Raw(Some(map.next_value::<&RawValue>()?.get())),)*
                                _ => {
                                    let value = map.next_value::<&RawValue>()?.get();
                                    if self.0.passed.len() < MAX_PASSED {
                                        self.0.passed.push(value);
                                    }
                                }
                            }
                        }
                        Ok(self.0)
                    }
                }

                deserializer.deserialize_map(Members($name::default()))
            }
        }
    };
}

object! {
    /// A chunk or a document.
    Chunk {
        response = "response",
        reasoning = "reasoning",
        reasoning_content = "reasoning_content",
        tool_calls = "tool_calls",
        finish_reason = "finish_reason",
        usage = "usage",
        choices = "choices",
        output = "output",
        result = "result",
        success = "success",
        error = "error",
        errors = "errors",
        internal_code = "internalCode",
    }
}

object! {
    /// A tool call in either format.
    Call {
        index = "index",
        id = "id",
        name = "name",
        arguments = "arguments",
        function = "function",
    }
}

object! {
    /// A choice of the compatible format.
    Choice {
        delta = "delta",
        message = "message",
    }
}

object! {
    /// The part of a choice that may contain tool calls.
    Delta {
        tool_calls = "tool_calls",
    }
}

/// Returns what is between the quotation marks of a JSON string.
fn inside(json: &str) -> Option<&str> {
    json.strip_prefix('"')?.strip_suffix('"')
}

/// The JSON text of a value, including `null`; `None` if the member is missing.
#[derive(Clone, Copy, Debug, Default)]
struct Raw<'a>(Option<&'a str>);

impl<'a> Raw<'a> {
    /// Returns the text unless it is missing or `null`.
    fn some(self) -> Option<&'a str> {
        self.0.filter(|text| *text != "null")
    }

    /// Returns the text if it is a JSON string.
    fn string(self) -> Option<&'a str> {
        self.some().filter(|text| text.starts_with('"'))
    }

    fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.some()?).ok()
    }

    fn value(self) -> Option<Value> {
        self.read()
    }

    /// Returns true if an `error` or `errors` member reports an error, and false for values such as
    /// `false` or `[]`.
    fn tells(self) -> bool {
        let is_none = |text: &str| matches!(text, "false" | "\"\"" | "{}" | "[]" | "0");
        self.some().is_some_and(|text| !is_none(text))
    }
}

impl<'a> Chunk<'a> {
    pub(super) fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// Returns true if the chunk has members of the native format.
    pub(super) fn is_native(&self) -> bool {
        let is_answer = self.response.0.is_some() || self.tool_calls.some().is_some();
        // A Responses API object has a `reasoning` that is not a string.
        let has_reasoning =
            self.reasoning.string().is_some() || self.reasoning_content.string().is_some();
        // Chunks of the compatible format may have these members, too.
        let has_others = self.finish_reason.some().is_some() || has_reasoning;
        is_answer || has_others && !self.has_choices()
    }

    /// Returns true if the chunk has choices of the compatible format; native members may be
    /// present, too.
    pub(super) fn has_choices(&self) -> bool {
        self.choices.some().is_some() && !self.has_empty_choices()
    }

    /// Returns true if the list of choices is empty, so that the chunk holds only data about the
    /// response, such as its usage.
    pub(super) fn has_empty_choices(&self) -> bool {
        let is_empty = |choices: &str| choices.trim_matches(['[', ']', ' ']).is_empty();
        self.choices.some().is_some_and(is_empty)
    }

    /// Returns the text of a native chunk that has nothing else, as it is written, and the values of
    /// unknown members.
    pub(super) fn only_text(&self) -> Option<(&'a str, &[&'a str])> {
        let is_bare = !self.has_choices()
            && !self.has_own_calls()
            && self.finish_reason.some().is_none()
            && self.reasoning.some().is_none()
            && self.reasoning_content.some().is_none()
            && self.usage().is_none();
        let text = inside(self.response.string()?)?;
        is_bare.then_some((text, &self.passed[..]))
    }

    /// Returns true for a compatible chunk without members of the service's own.
    pub(super) fn is_compatible(&self) -> bool {
        let own = [
            self.response,
            self.tool_calls,
            self.finish_reason,
            self.result,
            self.internal_code,
        ];
        self.has_choices() && own.iter().all(|member| member.0.is_none())
    }

    /// Returns true if there are tool calls outside the choices.
    pub(super) fn has_own_calls(&self) -> bool {
        self.tool_calls.some().is_some_and(|calls| calls != "[]")
    }

    /// Returns true if there are tool calls in the choices.
    pub(super) fn has_chosen_calls(&self) -> bool {
        let choices = self.choices.some().unwrap_or_default();
        // Only an escape can hide the name, so most chunks need no parsing here.
        if !choices.contains("tool_calls") && !choices.contains('\\') {
            return false;
        }
        let has_calls = |choice: &Choice<'_>| {
            // `message` counts only if there is no `delta`, as in the compatible decoder.
            let delta = match choice.delta.0 {
                Some(_) => choice.delta,
                None => choice.message,
            };
            let calls = delta.read::<Delta<'_>>().unwrap_or_default().tool_calls;
            calls
                .read::<Vec<Option<IgnoredAny>>>()
                .is_some_and(|list| list.iter().any(Option::is_some))
        };
        let choices = self.choices.read::<Vec<Option<Choice<'_>>>>();
        choices.is_some_and(|choices| choices.iter().flatten().any(has_calls))
    }

    /// Returns true for an envelope that reports a failure, and for an error in place of a response
    /// or next to one.
    pub(super) fn has_failed(&self) -> bool {
        self.success.0 == Some("false")
            || self.internal_code.some().is_some()
            || self.error.tells()
            || self.errors.tells()
    }

    /// Returns true if the document is an envelope around a response.
    pub(super) fn is_envelope(&self) -> bool {
        self.result.some().is_some()
    }

    /// Returns the response in the envelope, or the complete text if it is not an envelope.
    pub(super) fn inner(&self, all: &'a str) -> &'a str {
        self.result.some().unwrap_or(all)
    }

    /// Returns a chunk with the finish reason that is outside the choices, if they have none.
    pub(super) fn reason_beside(&self) -> Option<String> {
        let reason = self.finish_reason.string().filter(|_| self.has_choices())?;
        let own = self.choices.value()?[0]["finish_reason"].is_string();
        (!own).then(|| choice(&format!("\"delta\":{{}},\"finish_reason\":{reason}")))
    }

    /// Returns true if the finish reason is the word `unknown`, as opposed to missing.
    pub(super) fn is_of_unknown_reason(&self) -> bool {
        let choices = self.choices.value().unwrap_or_default();
        choices[0]["finish_reason"] == "unknown" || self.finish_reason.some() == Some("\"unknown\"")
    }

    /// Returns the text. The tokens of some models are parsed as JSON before they are sent, so that
    /// digits arrive as numbers, and `true` and `false` as booleans.
    ///
    /// # Errors
    ///
    /// Fails if the string is invalid, for example because it contains half of a surrogate pair.
    pub(super) fn text(&self) -> serde_json::Result<Cow<'a, str>> {
        match self.response.some() {
            None => Ok(Cow::Borrowed("")),
            Some(text) if text.starts_with('"') => {
                serde_json::from_str::<Text<'a>>(text).map(|text| text.0)
            }
            // A number is kept as it is written, and a response that is JSON is kept as its text.
            Some(text) => Ok(Cow::Borrowed(text)),
        }
    }

    /// Returns the text as a JSON string, including halves of surrogate pairs.
    fn text_json(&self) -> Cow<'a, str> {
        match self.response.some() {
            None => Cow::Borrowed("\"\""),
            Some(text) if text.starts_with('"') => Cow::Borrowed(text),
            Some(text) => Cow::Owned(Json::from(text).as_str().to_owned()),
        }
    }

    /// Returns the text as a chunk of the compatible format.
    pub(super) fn text_chunk(&self) -> String {
        choice(&format!("\"delta\":{{}},\"text\":{}", self.text_json()))
    }

    /// Returns the chunk or document with the native text added to its first choice as `text`. The
    /// compatible decoder recognizes it there as a copy of the content, so it is not delivered
    /// twice.
    pub(super) fn with_text_in_choices(&self, all: &str) -> Option<String> {
        self.response.some()?;
        let choices = self.choices.some()?;
        let brace = choices.find('{')?;
        let start = (choices.as_ptr() as usize).checked_sub(all.as_ptr() as usize)? + brace;
        let (before, rest) = (all.get(..start)?, all.get(start + 1..)?);
        let comma = if rest.trim_start().starts_with('}') {
            ""
        } else {
            ","
        };
        Some(format!(
            "{before}{{\"text\":{}{comma}{rest}",
            self.text_json()
        ))
    }

    /// Returns true if the document is in the format of the Responses API.
    pub(super) fn is_responses_object(&self) -> bool {
        self.output
            .some()
            .is_some_and(|output| output.starts_with('['))
            && !self.is_native()
            && !self.has_choices()
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        let value = self.usage.value()?;
        let count = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let mut usage = Usage::default();
        // The second names are those of the Responses API.
        usage.input_tokens = count(&value["prompt_tokens"]).or(count(&value["input_tokens"]));
        usage.output_tokens = count(&value["completion_tokens"]).or(count(&value["output_tokens"]));
        usage.total_tokens = count(&value["total_tokens"]);
        usage.cached_tokens = count(&value["prompt_tokens_details"]["cached_tokens"]);
        (usage != Usage::default()).then_some(usage)
    }

    /// Returns everything but the text as a chunk of the compatible format. `calls` counts the
    /// complete calls so far.
    ///
    /// # Errors
    ///
    /// Returns `Protocol` if the tool calls are not a valid list, and `TooLarge` if there are more
    /// than 128.
    pub(super) fn chunk(&self, calls: &mut Calls) -> Result<String> {
        let mut delta = Vec::new();
        let reasoning = self.reasoning.string().or(self.reasoning_content.string());
        let is_in_choices = |choices: &str| choices.contains("reasoning");
        let is_copy = self.choices.some().is_some_and(is_in_choices);
        if let Some(reasoning) = reasoning.filter(|_| !is_copy) {
            delta.push(format!("\"reasoning\":{reasoning}"));
        }
        if let Some(list) = self.calls(calls)? {
            delta.push(format!("\"tool_calls\":{list}"));
        }
        let mut members = vec![format!("\"delta\":{{{}}}", delta.join(","))];
        if let Some(reason) = self.reason()?.filter(|_| !self.has_choices()) {
            members.push(format!("\"finish_reason\":{reason}"));
        }
        Ok(choice(&members.join(",")))
    }

    /// Returns the document in the compatible format. `reason` is the finish reason if it has none.
    ///
    /// # Errors
    ///
    /// The same as [`chunk`](Self::chunk).
    pub(super) fn completion(&self, reason: &str) -> Result<String> {
        let mut message = vec![format!("\"content\":{}", self.text_json())];
        if let Some(reasoning) = self.reasoning.string().or(self.reasoning_content.string()) {
            message.push(format!("\"reasoning\":{reasoning}"));
        }
        let list = self.calls(&mut Calls::default())?;
        let quoted = match list {
            Some(_) => "\"tool_calls\"".to_owned(),
            None => format!("\"{reason}\""),
        };
        let reason = self.reason()?.map_or(quoted, str::to_owned);
        message.extend(list.map(|list| format!("\"tool_calls\":{list}")));
        let message = message.join(",");
        let members = format!("\"message\":{{{message}}},\"finish_reason\":{reason}");
        Ok(choice(&members))
    }

    fn reason(&self) -> Result<Option<&'a str>> {
        match self.finish_reason.some() {
            Some(reason) if serde_json::from_str::<Text<'_>>(reason).is_err() => Err(not_a_chunk()),
            reason => Ok(reason),
        }
    }

    /// Returns the tool calls in the compatible format, with their arguments unchanged. Flat calls,
    /// which are complete, get the next free number; calls in fragments have their own.
    fn calls(&self, calls: &mut Calls) -> Result<Option<String>> {
        let Some(list) = self.tool_calls.some() else {
            return Ok(None);
        };
        let list = serde_json::from_str::<Vec<&RawValue>>(list).map_err(|_| not_a_chunk())?;
        if list.is_empty() {
            return Ok(None);
        }
        if MAX_CALLS < list.len() {
            return Err(TooLarge::new("list of tool calls", MAX_CALLS).into());
        }
        let mut made = Vec::new();
        for raw in list {
            let call = serde_json::from_str::<Call<'_>>(raw.get()).map_err(|_| not_a_chunk())?;
            if call.function.some().is_some() {
                let index = call.index.some().and_then(|index| index.parse().ok());
                calls.note(index)?;
                made.push(raw.get().to_owned());
                continue;
            }
            let name = call.name.string().ok_or_else(not_a_chunk)?;
            let id = call.id.some().unwrap_or("null");
            let arguments = call.arguments.some().unwrap_or("{}");
            let index = calls.number()?;
            made.push(format!(
                "{{\"index\":{index},\"id\":{id},\"function\":{{\"name\":{name},\"arguments\":{arguments}}}}}"
            ));
        }
        Ok(Some(format!("[{}]", made.join(","))))
    }
}

/// The numbers of a response's tool calls, tracked so that a flat call never gets the number of
/// another.
#[derive(Debug, Default)]
pub(super) struct Calls {
    flat: Vec<u64>,
    /// The lowest number above all known ones.
    next: u64,
    /// A call had no readable number.
    is_unknown: bool,
}

impl Calls {
    /// Records a call with its own number; `None` means that the number is unknown.
    ///
    /// # Errors
    ///
    /// Returns `Protocol` if a flat call has, or may have, the same number.
    pub(super) fn note(&mut self, index: Option<u64>) -> Result<()> {
        let is_taken = index.map_or(!self.flat.is_empty(), |index| self.flat.contains(&index));
        if is_taken {
            return Err(two_forms());
        }
        self.is_unknown |= index.is_none();
        self.next = self
            .next
            .max(index.map_or(0, |index| index.saturating_add(1)));
        Ok(())
    }

    /// Returns the number for the next flat call.
    fn number(&mut self) -> Result<u64> {
        if self.is_unknown {
            return Err(two_forms());
        }
        if MAX_CALLS <= self.flat.len() {
            return Err(TooLarge::new("list of tool calls", MAX_CALLS).into());
        }
        let index = self.next;
        self.flat.push(index);
        self.next = index.saturating_add(1);
        Ok(index)
    }
}

fn two_forms() -> Error {
    Error::protocol("invalid tool calls from cloudflare: calls in two formats have the same number")
}

/// Returns a chunk with one choice that has these members.
fn choice(members: &str) -> String {
    format!("{{\"choices\":[{{\"index\":0,{members}}}]}}")
}

pub(super) fn not_a_chunk() -> Error {
    Error::protocol("invalid chunk from cloudflare: expected JSON of this protocol")
}

/// A string, borrowed if it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
