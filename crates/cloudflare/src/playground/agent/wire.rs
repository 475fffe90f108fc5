//! The parser for an agent's messages about one turn.
//!
//! The names are those of Cloudflare's `agents` package (`cf_agent_…`), as of June 2026.

use std::borrow::Cow;

use super::super::wire::{Object, Value};

/// The meaning of a message.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Told<'a> {
    /// A chunk of the response, if any, and whether it is the end.
    Response {
        chunk: Option<Cow<'a, str>>,
        is_again: bool,
        is_end: bool,
    },
    /// The turn failed, with this message.
    Failed(String),
    /// The settings were refused, with this message.
    Refused(String),
    /// The model that the agent is set to.
    Model(Cow<'a, str>),
    /// The turn can be resumed.
    Resuming,
    /// The turn is about to start.
    Pending,
    /// There is no turn to resume.
    Idle,
    /// A message that does not concern this turn.
    Other,
}

impl<'a> Told<'a> {
    /// Parses a message for the turn with this id.
    pub(super) fn read(message: &'a str, id: &str) -> Self {
        let Ok(message) = Value::parse(message) else {
            return Self::Other;
        };
        let message = message.object();
        let is_ours = message.text("id").as_deref() == Some(id);
        match message.text("type").as_deref() {
            Some("cf_agent_use_chat_response") if is_ours => Self::response(&message),
            Some("cf_agent_stream_resuming") if is_ours => Self::Resuming,
            Some("cf_agent_stream_pending") => Self::Pending,
            Some("cf_agent_stream_resume_none") => Self::Idle,
            Some("cf_agent_state") => match message.object("state").text("model") {
                Some(model) => Self::Model(model),
                None => Self::Other,
            },
            Some("cf_agent_state_error") => Self::Refused(words(&message, "error")),
            _ => Self::Other,
        }
    }

    fn response(message: &Object<'a>) -> Self {
        if is_set(message, "error") {
            return Self::Failed(words(message, "body"));
        }
        let body = message.get("body").and_then(|body| match body.text() {
            Some(text) => Some(text),
            None if body.json().starts_with('{') => Some(Cow::Borrowed(body.json())),
            None => None,
        });
        Self::Response {
            chunk: body.filter(|chunk| !chunk.trim().is_empty()),
            is_again: is_set(message, "replay"),
            is_end: is_set(message, "done"),
        }
    }
}

fn is_set(message: &Object<'_>, name: &str) -> bool {
    message.get(name).is_some_and(Value::is_told)
}

fn words(message: &Object<'_>, name: &str) -> String {
    message.text(name).map(Cow::into_owned).unwrap_or_default()
}

/// Returns the result of a method call, or its error message, if the message is the reply to that
/// call.
pub(super) fn reply_to<'a>(message: &'a str, id: &str) -> Option<Result<Value<'a>, String>> {
    let message = Value::parse(message).ok()?.object();
    let is_ours = message.text("id").as_deref() == Some(id);
    if !is_ours || message.text("type").as_deref() != Some("rpc") {
        return None;
    }
    match message.get("result") {
        Some(result) if is_set(&message, "success") => Some(Ok(result)),
        _ => Some(Err(words(&message, "error"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, told: &Told<'_>) {
        assert_eq!(&Told::read(message, "r"), told, "{message}");
    }

    fn chunk(text: &str) -> Told<'_> {
        Told::Response {
            chunk: Some(Cow::Borrowed(text)),
            is_again: false,
            is_end: false,
        }
    }

    #[test]
    fn a_response_is_a_chunk_or_the_end() {
        let kind = r#""type":"cf_agent_use_chat_response","id":"r""#;
        check(
            &format!(r#"{{{kind},"body":"{{\"a\":1}}","done":false}}"#),
            &chunk(r#"{"a":1}"#),
        );
        check(
            &format!(r#"{{{kind},"body":{{"a":1}}}}"#),
            &chunk(r#"{"a":1}"#),
        );
        let end = |is_again| Told::Response {
            chunk: None,
            is_again,
            is_end: true,
        };
        check(&format!(r#"{{{kind},"body":"","done":true}}"#), &end(false));
        check(
            &format!(r#"{{{kind},"body":" ","done":true,"replay":true}}"#),
            &end(true),
        );
        check(
            &format!(r#"{{{kind},"body":"no {{","done":true,"error":true}}"#),
            &Told::Failed("no {".to_owned()),
        );
    }

    #[test]
    fn messages_of_other_turns_are_ignored() {
        check(
            r#"{"type":"cf_agent_use_chat_response","id":"s","body":"{}"}"#,
            &Told::Other,
        );
        check(
            r#"{"type":"cf_agent_use_chat_response","body":"{}"}"#,
            &Told::Other,
        );
        check(
            r#"{"type":"cf_agent_stream_resuming","id":"s"}"#,
            &Told::Other,
        );
        check(r#"{"type":"cf_agent_state","state":{}}"#, &Told::Other);
        check("[1]", &Told::Other);
        check("{", &Told::Other);
    }

    #[test]
    fn the_resume_handshake_is_parsed() {
        check(
            r#"{"type":"cf_agent_stream_resuming","id":"r"}"#,
            &Told::Resuming,
        );
        check(r#"{"type":"cf_agent_stream_pending"}"#, &Told::Pending);
        check(
            r#"{"type":"cf_agent_stream_resume_none","reason":"idle"}"#,
            &Told::Idle,
        );
        check(
            r#"{"type":"cf_agent_state","state":{"model":"m"}}"#,
            &Told::Model(Cow::Borrowed("m")),
        );
        check(
            r#"{"type":"cf_agent_state_error","error":"no"}"#,
            &Told::Refused("no".to_owned()),
        );
    }
}
