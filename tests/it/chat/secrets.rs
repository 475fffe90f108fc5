//! Errors that repeat a key, a prompt or an answer: none of them is shown.

use std::fmt::Write;

use inferstream_core::{ChatRequest, Error, ErrorKind, Message, Role, ToolCall};

use super::{Answer, Client, KEY, Wire, cerebras, errors::refuse_request, sse};
use crate::support::{Piece, Refusal, block_on};

fn echo(request: ChatRequest, words: &str) -> Error {
    let body = format!("{{\"message\":{}}}", serde_json::to_string(words).unwrap());
    let wire = Wire::new([Answer::json(400, &body)]);
    let client = cerebras(&wire);
    block_on(&wire.clock, client.stream(request)).unwrap_err()
}

#[test]
fn a_prompt_that_begins_with_another_is_not_shown() {
    let short = "Summarize the letter.";
    let long = "Summarize the letter. Dear Anna, the code is 4711.";
    let error = echo(
        ChatRequest::default().system(short).user(long),
        &format!("bad content: {long}"),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_with_the_key_is_not_shown() {
    let long = format!("My key is {KEY} and my name is Anna Schmidt.");
    let error = echo(
        ChatRequest::from(long.as_str()),
        &format!("bad content: {long}"),
    );
    assert!(!error.to_string().contains("Schmidt"), "{error}");
}

#[test]
fn a_prompt_quoted_as_json_is_not_shown() {
    let long = "Dear Anna,\nthe \"code\" is 4711.";
    let error = echo(
        ChatRequest::from(long),
        &format!("bad content: {}", serde_json::to_string(long).unwrap()),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_is_not_shown_in_part() {
    let long = "Dear Anna, the code is 4711. ".repeat(50);
    let error = echo(
        ChatRequest::from(long.as_str()),
        &format!("bad content: {}...", &long[..200]),
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_of_several_lines_is_not_shown() {
    for prompt in [
        "secret 4711 and more text\nhi 4711",
        "a first word\t4711\tb",
        "a first word 4711\r\nb 4711",
    ] {
        let error = echo(ChatRequest::from(prompt), &format!("bad: {prompt}"));
        assert!(!error.to_string().contains("4711"), "{error}");
        let json = serde_json::to_string(prompt).unwrap();
        let error = echo(ChatRequest::from(prompt), &format!("bad: {json}"));
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn a_prompt_that_comes_back_in_another_form_is_not_shown() {
    let prompt = "secret 4711 é and\r\n4711 more  4711";
    for form in [
        "secret 4711 \\u00e9 and\\r\\n4711 more  4711",
        "secret 4711 é and 4711 more 4711",
    ] {
        let error = echo(ChatRequest::from(prompt), &format!("bad: {form}"));
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn reasoning_and_tool_results_are_not_shown() {
    let request = ChatRequest::from("hi")
        .message(Message::assistant("x").reasoning("Anna told me the code is 4711"))
        .message(Message::empty(Role::Assistant).tool_call(ToolCall::new(
            "a",
            "f",
            "{\"code\":\"Anna 4711 is it\"}",
        )));
    let error = echo(
        request.clone(),
        "bad reasoning: Anna told me the code is 4711",
    );
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn arguments_of_tools_are_not_shown() {
    let request =
        ChatRequest::from("hi").message(Message::empty(Role::Assistant).tool_call(ToolCall::new(
            "a",
            "f",
            "{\"code\":\"Anna 4711 is it\"}",
        )));
    let error = echo(request, "bad arguments: {\"code\":\"Anna 4711 is it\"}");
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn the_cause_of_a_transports_error_does_not_show_the_key() {
    let told = |cause: std::io::Error| {
        let error = Error::new(ErrorKind::Disconnected, "a layer failed").with_source(cause);
        let wire = Wire::new([Answer::error(error)]);
        block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err()
    };
    let deep = Error::config(format!("sent: Bearer {KEY}"));
    for cause in [
        std::io::Error::other(format!("sent: Bearer {KEY}")),
        std::io::Error::other(deep),
    ] {
        let error = told(cause);
        assert!(!format!("{error:?}").contains(KEY), "{error:?}");
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.to_string().contains("sent: Bearer …"), "{source}");
    }
    // Any other is left as it is.
    let error = told(std::io::ErrorKind::TimedOut.into());
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<std::io::Error>());
}

#[test]
fn a_header_that_repeats_the_key_is_not_kept() {
    let wire = Wire::new([Answer::json(400, "{}").header("x-request-id", KEY)]);
    let error = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap_err();
    assert!(!format!("{:?}", error.headers()).contains(KEY));
    assert_ne!(error.request_id(), Some(KEY));
}

#[test]
fn the_key_and_a_long_prompt_do_not_come_back() {
    let prompt = "The treasure lies\nunder the \"third\" oak; tell nobody, not even Anna.";
    let system = "Answer as a pirate would, and keep h1dden things so.";
    let echo = format!("bad key {KEY} for {prompt} with {system}");
    let quoted = serde_json::to_string(&echo).unwrap();
    for body in [
        format!("{{\"message\":{quoted},\"type\":\"t\",\"code\":{quoted}}}"),
        format!("{{\"error\":{{\"message\":{quoted},\"type\":{quoted}}}}}"),
        quoted.clone(),
        echo.clone(),
    ] {
        for status in [400, 401, 429, 500] {
            let request = ChatRequest::default().system(system).user(prompt);
            let Refusal { error, .. } = refuse_request([Answer::json(status, &body)], request);
            check_silence(&error);
        }
        let events = sse(&[r#"{"choices":[{"delta":{"content":"a"}}]}"#])
            + &format!("event: error\ndata: {}\n\n", body.replace('\n', "\ndata: "));
        let request = ChatRequest::default().system(system).user(prompt);
        let answer = Answer::sse([Piece::from(events.as_str())]);
        let outcome = super::run_request(Client::Cerebras, answer, request);
        assert_eq!(outcome.kind(), Some(ErrorKind::Provider));
        check_silence(outcome.error());
    }
}

#[track_caller]
fn check_silence(error: &Error) {
    let text = format!(
        "{error} {error:?} {:?} {:?}",
        error.provider_message(),
        error.code()
    );
    for secret in [KEY, "treasure", "Anna", "pirate", "h1dden"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn broken_json_is_not_shown() {
    let outcome = super::plain_stream("data: {\"choices\":[{\"delta\":{\"content\":\"h1dden\"\n\n");
    let error = outcome.error();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        write!(text, " {error} {error:?}").unwrap();
        source = error.source();
    }
    assert!(!text.contains("h1dden"), "{text}");
}
