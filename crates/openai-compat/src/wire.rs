//! The protocol's JSON as services really send it: nothing is required, and types may be off.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Declares an object of the wire: each member optional, unknown ones passed over, the last of
/// several winning, `null` the same as an empty object.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty $(= $wire:literal)?,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        // The names are the wire's.
        #[allow(clippy::struct_field_names)]
        pub(crate) struct $name<'a> {
            $(pub(crate) $field: $type,)*
            _borrowed: std::marker::PhantomData<&'a ()>,
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object<'a>($name<'a>);

                impl<'de: 'a, 'a> Visitor<'de> for Object<'a> {
                    type Value = $name<'a>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_unit<E>(self) -> Result<Self::Value, E> {
                        Ok(self.0)
                    }

                    fn visit_map<A: MapAccess<'de>>(
                        mut self,
                        mut map: A,
                    ) -> Result<Self::Value, A::Error> {
                        while let Some(Key(key)) = map.next_key()? {
                            match &*key {
                                $(object!(@name $field $($wire)?) => self.0.$field = map.next_value()?,)*
                                _ => drop(map.next_value::<IgnoredAny>()?),
                            }
                        }
                        Ok(self.0)
                    }
                }

                deserializer.deserialize_any(Object($name::default()))
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $wire:literal) => { $wire };
}

object! {
    /// A chunk of a stream, or the document that stands for all of them.
    Chunk {
        id: Lax<'a>,
        model: Lax<'a>,
        choices: Choices<'a>,
        usage: Usage<'a>,
        time_info: TimeInfo<'a>,
        // Errors come in every shape.
        error: Raw<'a>,
        error_message: Lax<'a>,
        errors: Raw<'a>,
        detail: Raw<'a>,
        message: Raw<'a>,
        code: Lax<'a>,
        status_code: Number,
    }
}

object! {
    Choice {
        index: Number,
        delta: Message<'a>,
        message: Message<'a>,
        text: Lax<'a>,
        finish_reason: Lax<'a>,
        logprobs: Raw<'a>,
        reasoning_logprobs: Raw<'a>,
    }
}

object! {
    Message {
        content: Lax<'a>,
        reasoning: Lax<'a>,
        reasoning_content: Lax<'a>,
        refusal: Lax<'a>,
        tool_calls: List<ToolCall<'a>>,
    }
}

object! {
    ToolCall {
        index: Number,
        id: Lax<'a>,
        function: Function<'a>,
    }
}

object! {
    Function {
        name: Lax<'a>,
        arguments: Raw<'a>,
    }
}

object! {
    Usage {
        prompt_tokens: Number,
        completion_tokens: Number,
        total_tokens: Number,
        prompt_tokens_details: PromptDetails<'a>,
        completion_tokens_details: CompletionDetails<'a>,
    }
}

object! {
    PromptDetails {
        cached_tokens: Number,
    }
}

object! {
    CompletionDetails {
        reasoning_tokens: Number,
        accepted_prediction_tokens: Number,
        rejected_prediction_tokens: Number,
    }
}

object! {
    TimeInfo {
        queue_time: Number,
        prompt_time: Number,
        completion_time: Number,
        total_time: Number,
        created: Number,
    }
}

object! {
    /// What an error object says of itself.
    ErrorObject {
        message: Lax<'a>,
        kind: Lax<'a> = "type",
        code: Lax<'a>,
        status: Number,
        status_code: Number,
        error: Raw<'a>,
        error_message: Lax<'a>,
        errors: Raw<'a>,
        detail: Raw<'a>,
    }
}

object! {
    /// A list of models.
    Models {
        data: Raw<'a>,
        models: Raw<'a>,
    }
}

object! {
    Model {
        id: Lax<'a>,
        name: Lax<'a>,
        owned_by: Lax<'a>,
        created: Number,
        context_length: Number,
        max_context_length: Number,
        context_window: Number,
    }
}

impl Usage<'_> {
    /// Returns the counts, or `None` if there is none at all.
    pub(crate) fn counts(&self) -> Option<inferstream_core::Usage> {
        let mut usage = inferstream_core::Usage::default();
        usage.input_tokens = self.prompt_tokens.count();
        usage.output_tokens = self.completion_tokens.count();
        usage.total_tokens = self.total_tokens.count();
        usage.cached_tokens = self.prompt_tokens_details.cached_tokens.count();
        let details = &self.completion_tokens_details;
        usage.reasoning_tokens = details.reasoning_tokens.count();
        usage.accepted_prediction_tokens = details.accepted_prediction_tokens.count();
        usage.rejected_prediction_tokens = details.rejected_prediction_tokens.count();
        (usage != inferstream_core::Usage::default()).then_some(usage)
    }
}

impl TimeInfo<'_> {
    /// Returns the times, or `None` if there is none at all.
    pub(crate) fn times(&self) -> Option<inferstream_core::Timing> {
        let mut timing = inferstream_core::Timing::default();
        timing.queue_time = self.queue_time.0;
        timing.prompt_time = self.prompt_time.0;
        timing.completion_time = self.completion_time.0;
        timing.total_time = self.total_time.0;
        timing.created = self.created.0;
        (timing != inferstream_core::Timing::default()).then_some(timing)
    }
}

/// An object's key, borrowed where it has no escapes.
pub(crate) struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(LaxVisitor)
            .map(|lax| Self(lax.0.unwrap_or_default()))
    }
}

/// A value as it came; `null` is none.
#[derive(Debug, Default)]
pub(crate) struct Raw<'a>(pub(crate) Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self((raw.get() != "null").then_some(raw)))
    }
}

impl<'a> Raw<'a> {
    /// Returns the value's text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }
}

/// Text, or what stands for it: a number or a boolean is its own text, an array of parts is the
/// text of the parts, an object the text of its `text`.
#[derive(Debug, Default)]
pub(crate) struct Lax<'a>(pub(crate) Option<Cow<'a, str>>);

impl Lax<'_> {
    /// Returns the text, if there is any and it is not empty.
    pub(crate) fn some(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Lax<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LaxVisitor)
    }
}

struct LaxVisitor;

impl<'de> Visitor<'de> for LaxVisitor {
    type Value = Lax<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Lax<'de>, E> {
        Ok(Lax(Some(Cow::Owned(value.to_string()))))
    }

    fn visit_unit<E>(self) -> Result<Lax<'de>, E> {
        Ok(Lax(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lax<'de>, A::Error> {
        let mut text = None::<String>;
        while let Some(Lax(part)) = seq.next_element()? {
            if let Some(part) = part {
                text.get_or_insert_default().push_str(&part);
            }
        }
        Ok(Lax(text.map(Cow::Owned)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lax<'de>, A::Error> {
        let mut text = Lax(None);
        while let Some(Key(key)) = map.next_key()? {
            match &*key {
                "text" => text = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(text)
    }
}

/// A number, or text that says one; anything else is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Number(pub(crate) Option<f64>);

impl Number {
    /// Returns the number as a count, if it can be one.
    // The range is checked; a fraction of a token is none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn count(self) -> Option<u64> {
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        self.0
            .filter(|number| (0.0..BEYOND).contains(number))
            .map(|number| number as u64)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let number = raw.get().trim_matches('"').trim().parse::<f64>().ok();
        Ok(Self(number.filter(|number| number.is_finite())))
    }
}

/// A list; `null` and anything that is not one are empty.
#[derive(Debug)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<Vec<T>>::deserialize(deserializer).map(|list| Self(list.unwrap_or_default()))
    }
}

/// The member `choices`, and whether it was there: what marks a chunk of this protocol.
#[derive(Debug, Default)]
pub(crate) struct Choices<'a> {
    pub(crate) present: bool,
    pub(crate) list: Vec<Choice<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List(list) = List::deserialize(deserializer)?;
        Ok(Self {
            present: true,
            list,
        })
    }
}

/// Reads JSON text as a value of the wire.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = T::deserialize(&mut deserializer)?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(serde_json::Error::custom("trailing characters")),
    }
}

/// Mends what JSON allows and Rust's strings do not: halves of surrogate pairs, `"\ud83d"`.
///
/// A service that cuts tokens in UTF-16 sends the halves in two chunks; the first is held back and
/// put before the second.
#[derive(Debug, Default)]
pub(crate) struct Surrogates {
    held: Option<String>,
}

impl Surrogates {
    /// Returns the text with each pair whole, and U+FFFD for a half that stays alone.
    pub(crate) fn mend<'a>(&mut self, json: &'a str) -> Cow<'a, str> {
        if self.held.is_none() && !has_surrogate(json) {
            return Cow::Borrowed(json);
        }
        let mut mended = String::with_capacity(json.len() + 6);
        let mut rest = json;
        while let Some(at) = rest.find('\\') {
            mended.push_str(&rest[..at]);
            rest = &rest[at..];
            let taken = match (half(rest), rest.get(6..).and_then(half)) {
                (Some(Half::High), Some(Half::Low)) => {
                    mended.push_str(&rest[..12]);
                    12
                }
                (Some(Half::High), _) if rest[6..].starts_with('"') => {
                    self.held = Some(rest[..6].to_owned());
                    6
                }
                (Some(Half::Low), _) => {
                    match self.held.take() {
                        Some(high) => mended.push_str(&(high + &rest[..6])),
                        None => mended.push_str("\\ufffd"),
                    }
                    6
                }
                (Some(Half::High), _) => {
                    mended.push_str("\\ufffd");
                    6
                }
                // The escaped character may be a backslash or a quote.
                (None, _) => {
                    let end = rest
                        .char_indices()
                        .nth(2)
                        .map_or(rest.len(), |(end, _)| end);
                    mended.push_str(&rest[..end]);
                    end
                }
            };
            rest = &rest[taken..];
        }
        mended.push_str(rest);
        Cow::Owned(mended)
    }
}

enum Half {
    High,
    Low,
}

/// Returns which half of a pair the text begins with as an escape.
fn half(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
    }
}

fn has_surrogate(json: &str) -> bool {
    json.contains("\\ud") || json.contains("\\uD")
}
