//! A prediction's JSON as the service sends it in; what we need of it out.

use inferstream_core::{Timing, Usage};
use serde_json::Value;

/// A prediction, as far as it has come.
#[derive(Debug)]
pub(crate) struct Prediction {
    pub(crate) id: String,
    pub(crate) model: Option<String>,
    pub(crate) status: Status,
    pub(crate) output: Output,
    /// The service has it no longer.
    pub(crate) is_removed: bool,
    pub(crate) error: Option<String>,
    pub(crate) logs: String,
    pub(crate) usage: Option<Usage>,
    pub(crate) timing: Option<Timing>,
    pub(crate) urls: Urls,
}

/// How far a prediction has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// It has not come to its end: `starting`, `processing`, or a word of later.
    Going,
    Succeeded,
    Failed,
    Canceled,
    /// Its deadline came before it began; since October 2025.
    Aborted,
}

/// What a model has made.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Output {
    /// Nothing yet, or nothing any more.
    None,
    Text(String),
    /// Something that is not text.
    Other,
}

/// Where a prediction is, as the service names it.
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
}

impl Prediction {
    /// Reads a prediction; `None` if the text is not JSON, or has no id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value = serde_json::from_str::<Value>(text).ok()?;
        let url = |name| text_of(&value["urls"][name]);
        Some(Self {
            id: text_of(&value["id"])?,
            model: text_of(&value["model"]),
            status: match value["status"].as_str() {
                Some("succeeded") => Status::Succeeded,
                Some("failed") => Status::Failed,
                Some("canceled") => Status::Canceled,
                Some("aborted") => Status::Aborted,
                _ => Status::Going,
            },
            output: Output::read(&value["output"]),
            is_removed: value["data_removed"] == true,
            error: error_of(&value["error"]),
            logs: text_of(&value["logs"]).unwrap_or_default(),
            usage: usage(&value["metrics"]),
            timing: timing(&value["metrics"]),
            urls: Urls {
                get: url("get"),
                cancel: url("cancel"),
                stream: url("stream"),
                web: url("web"),
            },
        })
    }
}

impl Output {
    fn read(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(tokens) => tokens
                .iter()
                .map(Value::as_str)
                .collect::<Option<String>>()
                .map_or(Self::Other, Self::Text),
            _ => Self::Other,
        }
    }
}

/// Returns text that is not empty.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns what an `error` says: text, or an object with `detail` or `message`, or what it is.
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
    // A count that is beyond a u64 is none.
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
