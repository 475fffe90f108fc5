//! The parser for the data of a stream's events.

use inferstream_core::{Json, sse::Frame};
use serde_json::Value;

use crate::wire::error_of;

/// The result in a `done` event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Done {
    Succeeded,
    Canceled,
    Failed,
    /// An unknown reason, which the prediction will explain.
    Other(String),
}

impl Done {
    /// Parses `{}`, `{"reason":"…"}`, or an empty text.
    pub(crate) fn read(data: &str) -> Self {
        let other = || Self::Other(data.to_owned());
        if data.trim().is_empty() {
            return Self::Succeeded;
        }
        match value(data) {
            Some(Value::Object(object)) => match object.get("reason") {
                None | Some(Value::Null) => Self::Succeeded,
                Some(reason) => match reason.as_str() {
                    Some("") => Self::Succeeded,
                    Some("canceled") => Self::Canceled,
                    Some("error") => Self::Failed,
                    _ => other(),
                },
            },
            _ => other(),
        }
    }
}

/// Parses `{"detail":"…"}` or plain text.
pub(crate) fn detail(data: &str) -> String {
    let value = value(data).filter(|value| value.is_object() || value.is_string());
    value
        .and_then(|value| error_of(&value))
        .unwrap_or_else(|| data.trim().to_owned())
}

/// Parses the JSON of an event other than text. The service sends at most a few hundred bytes.
pub(crate) fn value(data: &str) -> Option<Value> {
    const LONGEST: usize = 64 << 10;
    (data.len() <= LONGEST)
        .then(|| serde_json::from_str(data).ok())
        .flatten()
}

/// Returns a frame as JSON.
pub(crate) fn raw(frame: Frame<'_>) -> Json {
    Json::from_text(format!(
        r#"{{"event":{},"id":{},"data":{}}}"#,
        Json::from(frame.event),
        Json::from(frame.id),
        Json::from(frame.data)
    ))
}
