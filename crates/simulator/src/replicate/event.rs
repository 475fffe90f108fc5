//! The events of a prediction's stream.

use bytes::Bytes;
use serde_json::json;

use crate::{
    fault::Fault,
    replicate::prediction::{Prediction, State, Status},
};

/// One encoded event.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) part: Part,
    pub(super) bytes: Bytes,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// An event about the end of the prediction.
    Closing,
    /// The logs.
    Logs,
    /// One text token.
    Text,
}

/// The text of the events and the prefix of their ids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling<'a> {
    pub(super) tokens: &'a [String],
    /// The prefix of all ids.
    pub(super) seconds: u64,
}

/// Returns the event with this index, if it exists in this state.
pub(super) fn find(
    prediction: &Prediction,
    state: &State,
    telling: Telling<'_>,
    index: usize,
) -> Option<Event> {
    let id = format!("{}:{index}", telling.seconds);
    let event = |part, name, data: &str| Event {
        part,
        bytes: encode(name, &id, data),
    };
    let logs = logs(prediction, state);
    let Some(index) = index.checked_sub(logs) else {
        return Some(event(Part::Logs, "logs", &prediction.logs));
    };
    if let Some(token) = telling.tokens.iter().take(state.tokens).nth(index) {
        return Some(event(Part::Text, "output", token));
    }
    let closing = closing(prediction, state);
    let (name, data) = closing.get(index - state.tokens)?;
    Some(event(Part::Closing, name, data))
}

/// Counts the events that exist in this state.
pub(super) fn count(prediction: &Prediction, state: &State) -> usize {
    logs(prediction, state) + state.tokens + closing(prediction, state).len()
}

fn logs(prediction: &Prediction, state: &State) -> usize {
    usize::from(state.started.is_some() && !prediction.logs.is_empty())
}

/// Returns the events about the end of the prediction.
fn closing(prediction: &Prediction, state: &State) -> Vec<(&'static str, String)> {
    let mut events = Vec::new();
    if state.ended.is_none() {
        return events;
    }
    if let Some(error) = prediction.error(state)
        && prediction.fault != Some(Fault::DoneFail)
    {
        events.push(("error", json!({ "detail": error }).to_string()));
    }
    let data = match state.status {
        Status::Failed => r#"{"reason":"error"}"#,
        Status::Canceled | Status::Aborted => r#"{"reason":"canceled"}"#,
        _ => "{}",
    };
    events.push(("done", data.to_owned()));
    events
}

/// Encodes an event; each line of the text is a `data` line.
fn encode(name: &str, id: &str, data: &str) -> Bytes {
    let data = data.replace("\r\n", "\n").replace('\r', "\n");
    let mut text = format!("event: {name}\nid: {id}\n");
    for line in data.split('\n') {
        text.extend(["data: ", line, "\n"]);
    }
    text.push('\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[track_caller]
    fn check(data: &str, expected: &str) {
        let event = encode("output", "1:2", data);
        assert_eq!(event, format!("event: output\nid: 1:2\n{expected}\n"));
    }

    #[test]
    fn each_line_is_a_data_line() {
        check("a", "data: a\n");
        check(" Sure", "data:  Sure\n");
        check("", "data: \n");
        check("\n", "data: \ndata: \n");
        check("\n\n there was", "data: \ndata: \ndata:  there was\n");
        check("a\r\nb\rc", "data: a\ndata: b\ndata: c\n");
    }
}
