//! A generic compatible service, with its differences as data.

use inferstream::Hub;
use inferstream_core::{ChatRequest, ErrorKind, Field, Message, ToolCall};
use inferstream_openai_compat::{Compatible, CompatibleBuilder};
use serde_json::json;

use super::{KEY, ids, wire};
use crate::support::{Answer, Wire, block_on};

fn builder(wire: &Wire) -> CompatibleBuilder {
    Compatible::new("http://localhost:11434/v1").transport(wire.clone())
}

fn hi() -> ChatRequest {
    ChatRequest::new("llama3.2").user("Hi")
}

/// Returns the body of a request to a service with these differences.
fn sent(
    knobs: impl FnOnce(CompatibleBuilder) -> CompatibleBuilder,
    request: ChatRequest,
) -> serde_json::Value {
    let wire = wire();
    let client = knobs(builder(&wire)).build().unwrap();
    drop(block_on(&wire.clock, client.stream(request)).unwrap());
    wire.json()
}

#[test]
fn a_base_url_is_enough() {
    let wire = wire();
    let client = builder(&wire).build().unwrap();
    let answer = block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(answer.text(), "Hi");
    let request = wire.request();
    assert_eq!(request.uri(), "http://localhost:11434/v1/chat/completions");
    assert!(!request.headers().contains_key("authorization"));
    assert!(!client.capabilities("llama3.2").needs_auth);
}

#[test]
fn a_url_without_a_path_gets_the_version() {
    for (url, sent) in [
        (
            "http://localhost:8000",
            "http://localhost:8000/v1/chat/completions",
        ),
        (
            "http://localhost:8000/",
            "http://localhost:8000/v1/chat/completions",
        ),
        (
            "https://example.com/openai/",
            "https://example.com/openai/chat/completions",
        ),
    ] {
        let wire = wire();
        let client = Compatible::new(url)
            .transport(wire.clone())
            .build()
            .unwrap();
        block_on(&wire.clock, client.chat(hi())).unwrap();
        assert_eq!(wire.request().uri(), sent);
    }
}

#[test]
fn a_key_is_sent_and_not_shown() {
    let wire = Wire::new([Answer::json(
        401,
        &format!(r#"{{"error":"bad key {KEY}"}}"#),
    )]);
    let client = builder(&wire).api_key(format!(" {KEY}\n")).build().unwrap();
    assert!(client.capabilities("any").needs_auth);
    let error = block_on(&wire.clock, client.chat(hi())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(
        wire.request().headers()["authorization"],
        format!("Bearer {KEY}")
    );
    assert!(!format!("{error} {error:?} {client:?}").contains(KEY));
}

#[test]
fn a_key_is_sent_without_tls_if_the_program_says_so() {
    let wire = wire();
    let client = Compatible::new("http://gateway.test/v1").api_key(KEY);
    let client = client.transport(wire.clone()).build().unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    let request = wire.request();
    assert_eq!(request.uri(), "http://gateway.test/v1/chat/completions");
    assert!(request.headers().contains_key("authorization"));
}

#[test]
fn a_key_is_sent_only_by_its_client() {
    let wire = wire();
    let keyed = builder(&wire).api_key(KEY).build().unwrap();
    let other = builder(&wire).api_key("another-key").build().unwrap();
    let keyless = builder(&wire).build().unwrap();
    let calls = [
        (&keyed, Some(KEY)),
        (&keyless, None),
        (&other, Some("another-key")),
        (&keyless, None),
        (&keyed, Some(KEY)),
    ];
    for (client, _) in calls {
        block_on(&wire.clock, client.chat(hi())).unwrap();
    }
    assert_eq!(wire.count(), calls.len());
    for (sent, (_, key)) in wire.all().iter().zip(calls) {
        let sent = sent.headers().get("authorization");
        let sent = sent.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(sent, key.map(|key| format!("Bearer {key}")));
    }
}

#[test]
fn the_caller_may_set_a_default_model() {
    let body = sent(
        |builder| builder.default_model("qwen3"),
        ChatRequest::from("Hi"),
    );
    assert_eq!(body["model"], "qwen3");
    let body = sent(|builder| builder.default_model("qwen3"), hi());
    assert_eq!(body["model"], "llama3.2");
    let wire = wire();
    let client = builder(&wire).build().unwrap();
    let error = block_on(&wire.clock, client.chat("Hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(wire.count(), 0);
}

#[test]
fn the_differences_of_a_service_are_settings() {
    let request = || hi().max_tokens(7);
    assert_eq!(sent(|builder| builder, request())["max_tokens"], 7);
    let body = sent(
        |builder| builder.max_tokens_field("max_completion_tokens"),
        request(),
    );
    assert_eq!(
        (&body["max_completion_tokens"], &body["max_tokens"]),
        (&json!(7), &json!(null))
    );

    assert_eq!(
        sent(|builder| builder, hi())["stream_options"],
        json!({"include_usage": true})
    );
    let body = sent(|builder| builder.asks_for_usage(false), hi());
    assert!(body.get("stream_options").is_none());

    let thoughtful = || {
        let answer = Message::assistant("4").reasoning("2 and 2");
        hi().message(answer).user("And 3?")
    };
    assert!(
        sent(|builder| builder, thoughtful())["messages"][1]
            .get("reasoning")
            .is_none()
    );
    let body = sent(
        |builder| builder.reasoning_field("reasoning_content"),
        thoughtful(),
    );
    assert_eq!(body["messages"][1]["reasoning_content"], "2 and 2");

    let calling = || {
        let call = ToolCall::new("c1", "f", "{}");
        let answer = Message::empty(inferstream_core::Role::Assistant).tool_call(call);
        hi().message(answer).message(Message::tool("c1", "1"))
    };
    assert!(
        sent(|builder| builder, calling())["messages"][1]
            .get("content")
            .is_none()
    );
    let body = sent(|builder| builder.sends_empty_content(true), calling());
    assert_eq!(body["messages"][1]["content"], "");
}

#[test]
fn the_caller_may_set_the_path() {
    let wire = wire();
    let client = builder(&wire).path("/completions/chat").build().unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(
        wire.request().uri(),
        "http://localhost:11434/v1/completions/chat"
    );
    let error = builder(&wire).path("chat").build().unwrap_err();
    assert_eq!(error.to_string(), "invalid path: expected a leading `/`");
}

#[test]
fn an_invalid_path_is_an_error_of_build() {
    for path in ["/a b", "/a\nb", "/a#b", "/a\u{7f}", "", "chat", "?a=b"] {
        let error = builder(&wire()).path(path).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{path}");
        assert!(error.to_string().starts_with("invalid path: "), "{error}");
    }
    // A query is part of the path, as some gateways require.
    let wire = wire();
    let path = "/chat/completions?api-version=2026-01-01";
    let client = builder(&wire).path(path).build().unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(wire.request().uri().query(), Some("api-version=2026-01-01"));
}

#[test]
fn a_base_url_that_contains_the_path_is_refused() {
    for url in [
        "http://localhost:8000/v1/chat/completions",
        "http://localhost:8000/v1/chat/completions/",
        " https://example.com/chat/completions ",
    ] {
        let error = Compatible::new(url).transport(wire()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message =
            "invalid base URL: it ends in `/chat/completions`, which the client appends: remove it";
        assert_eq!(error.to_string(), message);
    }
    let built = Compatible::new("https://example.com/own/path").path("/path");
    let error = built.transport(wire()).build().unwrap_err();
    assert!(error.to_string().contains("ends in `/path`"), "{error}");
    // Such a path belongs to a particular service.
    let wire = wire();
    let client = Compatible::new("https://example.com/models");
    let client = client.transport(wire.clone()).build().unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(
        wire.request().uri(),
        "https://example.com/models/chat/completions"
    );
}

#[test]
fn an_invalid_header_is_not_reported_as_an_invalid_url() {
    let name = http::header::AUTHORIZATION;
    let value = http::HeaderValue::from_static("x");
    let error = builder(&wire()).header(name, value).build().unwrap_err();
    let message = "invalid header `authorization`: the client sets it; remove it";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_unknown_field_is_refused_before_sending() {
    let wire = wire();
    let client = builder(&wire)
        .unknown_fields([Field::Seed, Field::TopP])
        .build()
        .unwrap();
    for request in [hi().seed(1), hi().top_p(0.5)] {
        let error = block_on(&wire.clock, client.chat(request)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
    assert_eq!(wire.count(), 0);
    block_on(&wire.clock, client.chat(hi().temperature(0.5))).unwrap();
}

#[test]
fn a_stream_may_end_with_its_usage() {
    let last = r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    let bytes = format!("data: {last}\n\n");
    // The connection stays open.
    let wire = Wire::new([Answer::sse([
        crate::support::piece(bytes.as_bytes()),
        crate::support::Piece::Hang,
    ])]);
    let client = builder(&wire).ends_with_usage(true).build().unwrap();
    let answer = block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(answer.usage.unwrap().total_tokens, Some(2));
    assert_eq!(wire.clock.elapsed(), std::time::Duration::ZERO);
}

#[test]
fn requests_may_be_restricted_to_known_models() {
    let wire = wire();
    let client = builder(&wire)
        .known_models(["llama3.2", "qwen3"])
        .only_known_models(true)
        .build()
        .unwrap();
    assert_eq!(ids(&client.known_models()), ["llama3.2", "qwen3"]);
    block_on(&wire.clock, client.chat(hi())).unwrap();
    let asked = client.chat(ChatRequest::new("gpt-5").user("Hi"));
    let error = block_on(&wire.clock, asked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotSupported);
    assert_eq!(wire.count(), 1);
}

#[test]
fn a_missing_base_url_is_an_error() {
    let error = CompatibleBuilder::default()
        .transport(wire())
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("OPENAI_COMPAT_BASE_URL"),
        "{error}"
    );
    for url in [
        "localhost",
        "ftp://x",
        "http://u:p@host/v1",
        "http://host/v1?key=x",
    ] {
        let error = Compatible::new(url).transport(wire()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{url}");
        assert!(!error.to_string().contains(url), "{error}");
    }
}

#[test]
fn a_name_is_used_in_errors_and_in_the_hub() {
    let refused = Answer::json(401, "{}");
    let wire = Wire::new([refused]);
    let client = builder(&wire).name("groq").build().unwrap();
    assert_eq!(client.info().id, "groq");
    assert_eq!(client.info().label, "groq");
    let error = block_on(&wire.clock, client.chat(hi())).unwrap_err();
    assert!(error.to_string().starts_with("groq"), "{error}");
    let error = client.check(ChatRequest::from("Hi")).unwrap_err();
    assert!(error.to_string().contains("groq has no default"), "{error}");
    let client = builder(&wire).name("groq").unknown_fields([Field::Seed]);
    let error = client.build().unwrap().check(hi().seed(1)).unwrap_err();
    assert!(error.to_string().starts_with("groq"), "{error}");
    let hub = Hub::new().with(builder(&wire).name("groq").build().unwrap());
    let hub = hub.with(builder(&wire).build().unwrap());
    assert!(hub.names().eq(["groq", "openai-compat"]));
}

#[test]
fn a_name_is_one_word_without_a_slash() {
    let long = "g".repeat(65);
    for name in ["", " ", "a b", "a/b", "a\n", "\u{1b}[2J", "grö", &long] {
        let error = builder(&wire()).name(name).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name:?}");
        let message = "invalid name of the service: expected 1 to 64 printable ASCII characters \
                       without spaces and `/`";
        assert_eq!(error.to_string(), message);
    }
    for name in ["g", "groq-2.eu_1", &long[1..]] {
        assert_eq!(builder(&wire()).name(name).build().unwrap().info().id, name);
    }
}
