//! The parser for a prediction's JSON.

use std::{borrow::Cow, fmt};

use inferstream_core::{Timing, Usage};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// A prediction in its current state.
#[derive(Debug)]
pub(crate) struct Prediction {
    pub(crate) id: String,
    pub(crate) model: Option<String>,
    pub(crate) status: Status,
    pub(crate) output: Output,
    /// Whether the service has deleted the output.
    pub(crate) is_removed: bool,
    pub(crate) error: Option<String>,
    pub(crate) logs: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) timing: Option<Timing>,
    pub(crate) urls: Urls,
}

/// The status of a prediction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// The prediction has not ended: `starting`, `processing`, or an unknown status.
    Going,
    Succeeded,
    Failed,
    Canceled,
    /// The deadline passed before the prediction started. Exists since October 2025.
    Aborted,
}

/// The output of a model.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// There is no output yet, or the service has deleted it.
    None,
    Text(String),
    /// Output that is not text.
    Other,
}

/// The URLs of a prediction that the service returned.
#[derive(Debug, Default)]
pub(crate) struct Urls {
    pub(crate) get: Option<String>,
    pub(crate) cancel: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) web: Option<String>,
}

impl Status {
    pub(crate) fn is_terminal(self) -> bool {
        self != Self::Going
    }

    /// Returns the service's name for an end without success.
    pub(crate) fn bad_end(self) -> Option<&'static str> {
        match self {
            Self::Going | Self::Succeeded => None,
            Self::Failed => Some("failed"),
            Self::Canceled => Some("canceled"),
            Self::Aborted => Some("aborted"),
        }
    }
}

/// The members of a prediction as JSON text; the last of each name counts. Values that are not
/// needed are skipped without parsing, regardless of their size.
#[derive(Debug, Default)]
struct Wire<'a> {
    id: Raw<'a>,
    model: Raw<'a>,
    status: Raw<'a>,
    output: Raw<'a>,
    data_removed: Raw<'a>,
    error: Raw<'a>,
    logs: Raw<'a>,
    metrics: Raw<'a>,
    urls: Raw<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Wire<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<'a>(Wire<'a>);

        impl<'de: 'a, 'a> Visitor<'de> for Members<'a> {
            type Value = Wire<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a prediction")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wire<'a>, A::Error> {
                let Self(mut wire) = self;
                while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                    let member = match &*name {
                        "id" => &mut wire.id,
                        "model" => &mut wire.model,
                        "status" => &mut wire.status,
                        "output" => &mut wire.output,
                        "data_removed" => &mut wire.data_removed,
                        "error" => &mut wire.error,
                        "logs" => &mut wire.logs,
                        "metrics" => &mut wire.metrics,
                        "urls" => &mut wire.urls,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *member = Raw(Some(map.next_value()?));
                }
                Ok(wire)
            }
        }

        deserializer.deserialize_map(Members(Wire::default()))
    }
}

/// The JSON text of a value.
#[derive(Clone, Copy, Debug, Default)]
struct Raw<'a>(Option<&'a RawValue>);

impl Raw<'_> {
    /// Returns the value, unless it is too large for what is expected.
    fn value(self) -> Value {
        const LARGEST: usize = 64 << 10;
        let raw = self.0.filter(|raw| raw.get().len() <= LARGEST);
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }

    /// Returns the text of a string, unless it is empty.
    fn text(self) -> Option<String> {
        let text = serde_json::from_str::<String>(self.0?.get()).ok();
        text.filter(|text| !text.is_empty())
    }
}

impl Prediction {
    /// Parses a prediction. Returns `None` if the text is not JSON, or has no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let wire = serde_json::from_str::<Wire<'_>>(text.trim_start_matches('\u{feff}')).ok()?;
        let urls = wire.urls.value();
        let url = |name| text_of(&urls[name]);
        let metrics = wire.metrics.value();
        Some(Self {
            id: wire.id.text()?,
            model: wire.model.text(),
            status: match wire.status.text().as_deref() {
                Some("succeeded") => Status::Succeeded,
                Some("failed") => Status::Failed,
                Some("canceled") => Status::Canceled,
                Some("aborted") => Status::Aborted,
                _ => Status::Going,
            },
            output: Output::read(wire.output),
            is_removed: wire.data_removed.value() == true,
            error: error_of(&wire.error.value()),
            logs: wire.logs.text().unwrap_or_default(),
            usage: usage(&metrics),
            timing: timing(&metrics),
            urls: Urls {
                get: address(&urls["get"]),
                cancel: address(&urls["cancel"]),
                stream: url("stream"),
                web: url("web"),
            },
        })
    }
}

impl Output {
    fn read(raw: Raw<'_>) -> Self {
        match raw.0.map(RawValue::get) {
            None | Some("null") => Self::None,
            Some(text) => {
                serde_json::from_str(text).map_or(Self::Other, |Joined(text)| Self::Text(text))
            }
        }
    }
}

/// A text: a string, the text of an object, or a list of these that is joined.
struct Joined(String);

/// The members of an object that may contain its text. The first one that is not empty is used.
///
/// `openai/gpt-5-structured` has `text` and `json_output` (its page on replicate.com),
/// `vaibhavs10/incredibly-fast-whisper` has `text` next to `chunks`, and `openai/whisper` has
/// `transcription` (replicate/replicate-python#262).
const TEXTS: [&str; 3] = ["text", "json_output", "transcription"];

/// Returns the text of an object's member: a string, a list of strings, or the JSON of structured
/// output.
fn member(name: &str, raw: &RawValue) -> Option<String> {
    let text = raw.get();
    if let Ok(text) = serde_json::from_str::<String>(text) {
        return Some(text);
    }
    if name == "json_output" {
        return (text != "null").then(|| text.to_owned());
    }
    let list = serde_json::from_str::<Vec<String>>(text).ok()?;
    Some(list.concat())
}

impl<'de> Deserialize<'de> for Joined {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;

        impl<'de> Visitor<'de> for Strings {
            type Value = Joined;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Joined, E> {
                Ok(Joined(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Joined, A::Error> {
                let mut joined = String::new();
                while let Some(Joined(token)) = seq.next_element()? {
                    joined.push_str(&token);
                }
                Ok(Joined(joined))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Joined, A::Error> {
                let mut found = TEXTS.map(|_| None);
                while let Some(name) = map.next_key::<Cow<'_, str>>()? {
                    match TEXTS.iter().position(|known| *known == name) {
                        Some(at) => found[at] = member(&name, map.next_value()?),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let mut found = found.into_iter().flatten();
                let first = found.next();
                let first = first.ok_or_else(|| serde::de::Error::custom("no text"))?;
                let texts = std::iter::once(first.clone()).chain(found);
                let text = texts.into_iter().find(|text| !text.is_empty());
                Ok(Joined(text.unwrap_or(first)))
            }
        }

        deserializer.deserialize_any(Strings)
    }
}

/// Returns a URL; it is empty, and therefore invalid, if the value is not a string.
fn address(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        _ => Some(String::new()),
    }
}

/// Returns the text of a string, unless it is empty.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns the message of an `error` member: text, an object with `detail` or `message`, or else
/// its JSON.
pub(crate) fn error_of(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Object(object) => ["detail", "message", "error", "title"]
            .iter()
            .find_map(|name| error_of(object.get(*name)?))
            .or_else(|| Some(value.to_string())),
        other => Some(other.to_string()),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64(),
    }
    .filter(|number: &f64| number.is_finite() && 0.0 <= *number)
}

fn usage(metrics: &Value) -> Option<Usage> {
    // Counts that do not fit in a `u64` are ignored.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = |name| Some(number(&metrics[name]).filter(|count| *count < 1e18)? as u64);
    let mut usage = Usage::default();
    usage.input_tokens = count("input_token_count");
    usage.output_tokens = count("output_token_count");
    (usage != Usage::default()).then_some(usage)
}

fn timing(metrics: &Value) -> Option<Timing> {
    let mut timing = Timing::default();
    timing.completion_time = number(&metrics["predict_time"]);
    timing.total_time = number(&metrics["total_time"]);
    timing.first_token_time = number(&metrics["time_to_first_token"]);
    (timing != Timing::default()).then_some(timing)
}
