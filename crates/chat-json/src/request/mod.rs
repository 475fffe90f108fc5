//! The parser of chat requests: JSON of OpenAI's protocol to a `ChatRequest`.

mod members;
mod messages;
mod settings;

use inferstream_core::{ChatRequest, Json, Message};
use serde_json::value::RawValue;

pub use self::members::Members;
use crate::error::ApiError;

/// The deepest nesting of a request. `serde_json` has the same limit for the members that it parses.
const MAX_DEPTH: usize = 128;

/// A parsed request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// The requested name; empty if the request names none.
    pub model: String,
    /// The request, without its model.
    pub request: ChatRequest,
    /// Whether a stream is requested.
    pub stream: bool,
    /// Whether the stream is requested with its usage.
    pub include_usage: bool,
    /// Members that no provider can get, because core has no place for them.
    pub warnings: Vec<String>,
    /// Whether `max_completion_tokens` was read, which replaces `max_tokens`.
    has_newer_limit: bool,
}

/// Parses the body of a chat request.
///
/// Members that `ChatRequest` does not have are passed on unchanged, as its `extra`. The request may
/// lack a model and messages.
///
/// # Errors
///
/// An error in the request itself, with the path of the member.
pub fn read_request(body: &[u8]) -> Result<Incoming, ApiError> {
    check_depth(body)?;
    let members: Members = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!(
            "invalid JSON in the request: expected an object (line {line}, column {column})"
        );
        ApiError::invalid(None, message)
    })?;
    let mut incoming = Incoming {
        model: String::new(),
        request: ChatRequest::default(),
        stream: false,
        include_usage: false,
        warnings: Vec::new(),
        has_newer_limit: false,
    };
    for (name, raw) in members.last_of_each() {
        match name {
            "model" => incoming.model = members::text(name, raw)?.unwrap_or_default(),
            "messages" => {
                incoming.request.messages = messages::read(raw, &mut incoming.warnings)?;
            }
            "stream" => incoming.stream = members::flag(name, raw)?.unwrap_or(false),
            "stream_options" => {
                if let Some(options) = members::object(name, raw)? {
                    let usage = options.get("include_usage");
                    let usage = usage.map(|raw| members::flag("stream_options", raw));
                    incoming.include_usage = usage.transpose()?.flatten().unwrap_or(false);
                }
            }
            _ if settings::read(&mut incoming, name, raw)? => {}
            _ => {
                let value = Json::from_text(raw.get());
                incoming.request.extra.push((name.to_owned(), value));
            }
        }
    }
    Ok(incoming)
}

/// Parses one message, which errors name by the path `at`, such as `messages[0]`.
///
/// Members that a message of core has no place for are ignored.
///
/// # Errors
///
/// An error in the message, with the path of the member.
pub fn read_message(at: &str, message: &RawValue) -> Result<Message, ApiError> {
    check_depth(message.get().as_bytes())?;
    messages::message(at, message, &mut Vec::new())
}

/// Refuses a body that is nested too deeply for the parsers of services.
fn check_depth(body: &[u8]) -> Result<(), ApiError> {
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => {
                depth += 1;
                if MAX_DEPTH < depth {
                    let message =
                        format!("invalid JSON in the request: expected at most {MAX_DEPTH} levels");
                    return Err(ApiError::invalid(None, message));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use inferstream_core::{Json, ResponseFormat, ToolChoice};

    use super::{Incoming, read_request};

    #[track_caller]
    fn parse(members: &str) -> Incoming {
        let messages = r#""model":"a/b","messages":[{"role":"user","content":"Hi"}]"#;
        read_request(format!("{{{messages}{members}}}").as_bytes()).unwrap()
    }

    #[track_caller]
    fn param(body: &str) -> Option<String> {
        read_request(body.as_bytes()).unwrap_err().param
    }

    #[test]
    fn settings_become_fields_and_others_extra() {
        let parsed = parse(
            r#","max_tokens":5,"max_completion_tokens":7,"temperature":0.5,"stop":"x","user":"u",
            "stream":true,"stream_options":{"include_usage":true},"seed":null,"logit_bias":{"3":-1},
            "top_k":4,"metadata":{"b":1,"a":[2]},"tool_choice":{"type":"function","function":{"name":"f"}},
            "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"z":1,"a":2}}}"#,
        );
        let request = &parsed.request;
        assert!(parsed.stream && parsed.include_usage);
        assert_eq!(request.max_tokens, Some(7));
        assert_eq!(request.temperature, Some(0.5));
        assert_eq!(request.stop, ["x"]);
        assert_eq!(request.user_id.as_deref(), Some("u"));
        assert_eq!(request.seed, None);
        assert_eq!(request.logit_bias.get(&3), Some(&-1.0));
        assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".to_owned())));
        let schema = Json::from_text(r#"{"z":1,"a":2}"#);
        let format = ResponseFormat::json_schema("n", schema);
        assert_eq!(request.response_format, Some(format));
        let extra = Json::from_text(r#"{"b":1,"a":[2]}"#);
        assert_eq!(request.extra, [("metadata".to_owned(), extra)]);
    }

    #[test]
    fn the_newer_token_limit_wins_in_any_order() {
        let parsed = parse(r#","max_completion_tokens":7,"max_tokens":5"#);
        assert_eq!(parsed.request.max_tokens, Some(7));
        let parsed = parse(r#","max_completion_tokens":null,"max_tokens":5"#);
        assert_eq!(parsed.request.max_tokens, Some(5));
    }

    #[test]
    fn a_conversation_with_tools_and_images_is_kept() {
        let body = r#"{"model":"a/b","messages":[
            {"role":"developer","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"What?"},
                {"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}}]},
            {"role":"assistant","content":null,"refusal":null,"tool_calls":[
                {"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"2"}],
            "tools":[{"type":"function","function":{"name":"f","description":"d"}}]}"#;
        let request = read_request(body.as_bytes()).unwrap().request;
        assert_eq!(request.messages.len(), 4);
        assert_eq!(request.messages[1].content.len(), 2);
        assert_eq!(request.messages[2].content, []);
        assert_eq!(request.messages[2].tool_calls[0].arguments, "{\"a\":1}");
        assert_eq!(request.messages[3].tool_call_id.as_deref(), Some("c1"));
        assert_eq!(request.tools[0].description.as_deref(), Some("d"));
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused_with_its_name() {
        let with = |message: &str| format!(r#"{{"model":"a/b","messages":[{message}]}}"#);
        let hi = r#"{"role":"user","content":"Hi"}"#;
        let member = |member: &str| format!(r#"{{"model":"a/b","messages":[{hi}],{member}}}"#);
        let audio = r#"{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}"#;
        for (body, expected) in [
            (with(audio), "messages[0].content[0].type"),
            (
                with(r#"{"role":"function","content":"x"}"#),
                "messages[0].role",
            ),
            (with(r#"{"role":"user"}"#), "messages[0].content"),
            (
                with(r#"{"role":"tool","content":"x"}"#),
                "messages[0].tool_call_id",
            ),
            (member(r#""temperature":"hot""#), "temperature"),
            (member(r#""n":-1"#), "n"),
            (
                member(r#""tools":[{"type":"web_search"}]"#),
                "tools[0].type",
            ),
            (member(r#""tool_choice":"any""#), "tool_choice"),
            (
                member(r#""response_format":{"type":"grammar"}"#),
                "response_format",
            ),
            (r#"{"messages":{}}"#.to_owned(), "messages"),
        ] {
            assert_eq!(param(&body).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_name_in_a_message_is_reported_as_dropped() {
        let body = r#"{"model":"a/b","messages":[{"role":"user","name":"Ann","content":"Hi"}]}"#;
        let parsed = read_request(body.as_bytes()).unwrap();
        assert_eq!(parsed.warnings, ["messages[0].name was dropped"]);
    }

    #[test]
    fn invalid_and_deep_json_is_refused() {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(128), "]".repeat(128));
        for body in ["", "[]", "{", "{\"a\":1}x", "\u{0}", deep.as_str()] {
            assert!(read_request(body.as_bytes()).is_err(), "{body}");
        }
        let text = format!(",\"x\":\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200));
        assert_eq!(parse(&text).request.extra.len(), 1);
    }
}
