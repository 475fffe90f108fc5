//! Errors never show a key, a prompt or a response that the service repeats.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use inferstream_cerebras::Cerebras;
use inferstream_client::Redact;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Json, Message, OnUnsupported, RetryPolicy, Role, ToolCall,
};

use super::{Answer, Client, KEY, Wire, cerebras, errors::refuse_request, sse};
use crate::support::{Piece, Refusal, block_on, seconds};

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
fn a_prompt_that_begins_like_a_longer_one_is_not_shown_in_part() {
    let start = "{\"status\":\"ok\",\"results\":[";
    let short = format!("{start}\"Anna\",4711]}}");
    let long = format!("{start}{}]}}", "1,".repeat(500));
    for texts in [[&short, &long], [&long, &short]] {
        let request = texts
            .into_iter()
            .fold(ChatRequest::default(), |request, text| {
                request.user(text.as_str())
            });
        let error = echo(
            request,
            &format!("bad prompt: {}", &short[..short.len() - 2]),
        );
        assert!(!error.to_string().contains("Anna"), "{error}");
    }
}

#[test]
fn a_prompt_of_white_space_hides_nothing() {
    for prompt in [
        "              ",
        "\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
        "      a       ",
    ] {
        let error = echo(ChatRequest::from(prompt), "bad content: a blank message");
        assert_eq!(
            error.provider_message(),
            Some("bad content: a blank message")
        );
    }
}

#[test]
fn texts_that_stand_for_messages_are_not_shown() {
    let words = "Anna said that the code is 4711";
    let list = format!(r#"[{{"role":"user","content":[{{"type":"text","text":"{words}"}}]}}]"#);
    for (name, value) in [
        ("messages", Json::from_text(list)),
        ("prompt", Json::from(words)),
        ("input", Json::from_text(format!("[\"{words}\"]"))),
    ] {
        let request = ChatRequest::from("hi").extra(name, value);
        let error = echo(request, &format!("bad {name}: {words}"));
        assert_eq!(error.provider_message(), Some(&*format!("bad {name}: …")));
    }
    let request = ChatRequest::from("hi").prediction(words);
    let request = request.on_unsupported(OnUnsupported::Ignore);
    let error = echo(request, &format!("bad prediction: {words}"));
    assert!(!error.to_string().contains("4711"), "{error}");
}

#[test]
fn a_prompt_with_much_white_space_is_not_kept_in_a_header() {
    let prompt = "Anna\n\n            said 4711\n\n            to me";
    let wire = Wire::new([Answer::json(400, "{}").header("x-echo", "Anna said 4711 to me")]);
    let error = block_on(&wire.clock, cerebras(&wire).stream(prompt)).unwrap_err();
    assert!(!format!("{:?}", error.headers()).contains("4711"));
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
    // Any other error is left unchanged.
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
fn the_key_and_a_long_prompt_are_redacted() {
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

/// Sends a request with a key to a host, and returns its error.
fn refused_with(key: &str, host: &str, request: ChatRequest, answer: Answer) -> Error {
    let wire = Wire::new([answer]);
    let builder = Cerebras::builder().api_key(key).transport(wire.clone());
    let client = builder.base_url(format!("http://{host}/v1")).build();
    let request = request.retry(RetryPolicy::never());
    block_on(&wire.clock, client.unwrap().stream(request)).unwrap_err()
}

#[test]
fn a_key_of_fewer_than_eight_characters_is_not_redacted() {
    // The message of ollama/ollama for a model that does not exist.
    let message = r#"model "llama9" not found, try pulling it first: ollama pull llama9"#;
    for key in ["ollama", "EMPTY", "x", "1", "sevench"] {
        let message = format!("{message} {key}");
        let body = serde_json::json!({ "error": { "message": message, "type": "api_error" } });
        let answer = Answer::json(404, &body.to_string()).header("x-echo", key);
        let error = refused_with(key, "localhost:11434", ChatRequest::from("hi"), answer);
        assert_eq!(error.provider_message(), Some(&*message));
        assert!(error.to_string().contains(&message), "{error}");
        assert_eq!(error.body().unwrap(), body.to_string().as_bytes());
        assert_eq!(error.headers().unwrap()["x-echo"], key);
    }
    let answer = Answer::json(404, r#"{"message":"bad key eightchr"}"#);
    let error = refused_with("eightchr", "h.test", ChatRequest::from("hi"), answer);
    assert_eq!(error.provider_message(), Some("bad key …"));
}

#[test]
fn our_own_message_is_not_redacted() {
    const HOST: &str = "api.gateway.test:8080";
    // Each key and each prompt is part of the client's own messages.
    for (key, prompt) in [
        ("api.gateway.test", "api.gateway.test:8080"),
        ("cerebras", "returned 404 Not Found"),
        ("not-needed", "with an HTML page"),
        ("answered", "no connection to"),
    ] {
        let request = ChatRequest::from(prompt);
        let refused = |answer| refused_with(key, HOST, request.clone(), answer);
        let own = format!("no connection to {HOST}");
        let error = refused(Answer::error(Error::new(ErrorKind::Connect, own.clone())));
        assert_eq!(error.to_string(), own);
        let page = Answer::new(404, [Piece::from("<html>")]);
        assert_eq!(
            refused(page).to_string(),
            "cerebras returned 404 Not Found with an HTML page"
        );
        let echo = format!("{{\"message\":\"{key} has none\"}}");
        assert_eq!(
            refused(Answer::json(404, &echo)).to_string(),
            "cerebras returned 404 Not Found: … has none"
        );
    }
}

#[test]
fn headers_with_a_function_are_not_redacted_by_a_prompt() {
    for (name, value) in [
        ("x-request-id", "req_0123456789"),
        ("cf-ray", "0123456789abcdef-FRA"),
        ("retry-after", "Thu, 01 Jan 1970 00:00:07 GMT"),
        ("retry-after", "0000000000007"),
        ("x-ratelimit-remaining-tokens-minute", "100000000000"),
        ("ratelimit-policy", "\"requests\";q=100;w=60"),
        ("content-type", "application/json; charset=utf-8"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ] {
        let answer = Answer::json(429, "{}").header(name, value);
        let error = refused_with("a-key-of-it", "h.test", ChatRequest::from(value), answer);
        assert_eq!(error.headers().unwrap()[name], value);
        if name == "retry-after" {
            assert_eq!(error.retry_after(), Some(seconds(7)), "{value}");
        }
        let answer = Answer::json(429, "{}").header("x-echo", value);
        let error = refused_with("a-key-of-it", "h.test", ChatRequest::from(value), answer);
        assert_ne!(error.headers().unwrap()["x-echo"], value);
    }
    // A stream of this content type is detected, although the type is part of the prompt.
    let answer = Answer::sse([Piece::from(
        &*(sse(&[super::TEXT, super::FINISH]) + "data: [DONE]\n\n"),
    )]);
    let outcome = super::run_request(Client::Plain, answer, "text/event-stream".into());
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
}

#[test]
fn a_body_that_repeats_a_secret_is_redacted() {
    let prompt = "Tell Anna <at once> that the code is 4711.";
    let spelt = prompt
        .chars()
        .map(|char| format!("\\u{:04x}", u32::from(char)));
    let spelt = spelt.collect::<String>();
    let twice = spelt.replace('\\', "\\\\");
    for (said, starts) in [
        (format!("bad key {KEY}"), "{\"message\":\"bad "),
        (format!("bad prompt {prompt}"), "{\"message\":\"bad "),
        // As encoders write it that escape HTML characters.
        (prompt.replace('<', "\\u003c").replace('>', "\\u003e"), "…"),
        (spelt, "…"),
        (twice, "…"),
    ] {
        let body = format!("{{\"message\":\"{said}\",\"code\":7}}");
        let answer = Answer::json(400, &body).header("x-echo", KEY);
        let error = refused_with(KEY, "h.test", ChatRequest::from(prompt), answer);
        let body = String::from_utf8_lossy(error.body().unwrap());
        assert!(body.starts_with(starts), "{body}");
        assert!(!body.contains(KEY) && !body.contains("4711"), "{body}");
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

#[test]
fn a_message_of_a_transport_shows_no_credential() {
    let key = "csk-5ecret";
    for kind in [ErrorKind::Redirect, ErrorKind::UntrustedHost] {
        let error = Error::new(kind, format!("h.test redirects to http://{key}.test (302)"));
        let error = refused_with(key, "h.test", "hi".into(), Answer::error(error));
        assert_eq!(
            error.to_string(),
            "h.test redirects to http://….test (302)",
            "{kind}"
        );
    }
    let mut headers = HeaderMap::new();
    headers.insert(
        "location",
        HeaderValue::from_static("http://csk-5ecret.test"),
    );
    let error =
        Error::new(ErrorKind::Redirect, "moved").with_head(http::StatusCode::FOUND, headers);
    let error = refused_with(key, "h.test", "hi".into(), Answer::error(error));
    assert!(!format!("{:?}", error.headers()).contains(key));
}

#[test]
fn redaction_never_panics_and_keeps_text_without_secrets() {
    let redact = Redact::default()
        .credential("12345678")
        .text("a prompt of it");
    for body in [
        &b""[..],
        b"\\",
        b"\\u",
        b"\\u12",
        b"\\ud83d\\ude00 \\ud83d",
        b"\\\xc3\xa9 \\u00\xc3\xa9",
        b"\xff\xfe\\n\\\"",
    ] {
        let error = Error::protocol("x").with_body(&Bytes::from_static(body));
        assert_eq!(redact.error(error).body().unwrap(), body);
    }
}
