//! CablyAI: headers, key and models.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use inferstream_cablyai::{
    CablyAi, CablyAiBuilder, ChatRequest, Error, ErrorKind, HISTORICAL_ALIASES, HISTORICAL_MODELS,
    Preset,
};
use serde_json::json;

use super::{KEY, ids, wire};
use crate::support::{Answer, Wire, block_on};

fn builder(wire: &Wire) -> CablyAiBuilder {
    CablyAi::builder().api_key(KEY).transport(wire.clone())
}

fn hi() -> ChatRequest {
    ChatRequest::new("deepseek-v3").user("Hi")
}

/// Returns the headers of a request.
fn headers(builder: impl FnOnce(CablyAiBuilder) -> CablyAiBuilder) -> HeaderMap {
    let wire = wire();
    let client = builder(self::builder(&wire)).build().unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    wire.request().headers().clone()
}

fn refusal(client: &CablyAi, wire: &Wire, request: ChatRequest) -> Error {
    let error = block_on(&wire.clock, client.stream(request)).unwrap_err();
    assert_eq!(wire.count(), 0, "nothing was sent");
    error
}

#[test]
fn the_request_follows_the_protocol() {
    let wire = wire();
    let client = builder(&wire).build().unwrap();
    let mut stream = block_on(&wire.clock, client.stream(hi())).unwrap();
    block_on(&wire.clock, stream.next()).unwrap().unwrap();
    let request = wire.request();
    assert_eq!(request.uri(), "https://cablyai.com/v1/chat/completions");
    assert_eq!(request.headers()["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        wire.json(),
        json!({
            "model": "deepseek-v3",
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    );
}

#[test]
fn the_headers_are_those_of_gpt4free() {
    for (preset, origin) in [
        (Preset::Browser, "https://cablyai.com"),
        (Preset::Literal, "https://cablyai.com/chat"),
    ] {
        let headers = headers(|builder| builder.preset(preset));
        assert_eq!(headers["origin"], origin);
        assert_eq!(headers["accept"], "*/*");
        assert_eq!(headers["accept-language"], "en-US,en;q=0.9");
        assert_eq!(headers["referer"], "https://cablyai.com/chat/chat");
        assert_eq!(headers["content-type"], "application/json");
        assert!(
            headers["user-agent"]
                .to_str()
                .unwrap()
                .ends_with("Chrome/131.0.0.0 Safari/537.36")
        );
    }
    let plain = headers(|builder| builder.preset(Preset::Plain));
    for name in ["origin", "referer", "user-agent", "accept-language"] {
        assert!(!plain.contains_key(name), "{name}");
    }
    assert_eq!(plain["accept"], "application/json");
}

#[test]
fn a_header_of_the_caller_replaces_the_preset() {
    let headers = headers(|builder| {
        builder
            .header(header::USER_AGENT, HeaderValue::from_static("mine"))
            .header(
                HeaderName::from_static("x-own"),
                HeaderValue::from_static("1"),
            )
    });
    assert_eq!(headers["user-agent"], "mine");
    assert_eq!(headers["x-own"], "1");
    assert_eq!(headers["origin"], "https://cablyai.com");
}

#[test]
fn without_a_key_nothing_is_sent() {
    let wire = wire();
    let client = CablyAi::builder().transport(wire.clone()).build().unwrap();
    let error = refusal(&client, &wire, hi());
    assert_eq!(error.kind(), ErrorKind::Auth);
    let message =
        "missing key for cablyai: set CABLYAI_API_KEY; keys were created at https://cablyai.com";
    assert_eq!(error.to_string(), message);
    let error = block_on(&wire.clock, client.models()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
}

#[test]
fn another_service_needs_and_gets_no_key() {
    let wire = wire();
    let client = CablyAi::builder()
        .base_url("http://localhost:8080")
        .transport(wire.clone())
        .build()
        .unwrap();
    block_on(&wire.clock, client.chat(hi())).unwrap();
    let request = wire.request();
    assert_eq!(request.uri(), "http://localhost:8080/v1/chat/completions");
    assert!(!request.headers().contains_key("authorization"));
    assert!(!client.capabilities("any").needs_auth);
}

#[test]
fn a_request_must_name_a_model() {
    let wire = wire();
    let client = builder(&wire).build().unwrap();
    let error = refusal(&client, &wire, ChatRequest::from("Hi"));
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = "missing model: cablyai has no default, so the request must name one";
    assert_eq!(error.to_string(), message);
}

#[test]
fn an_alias_is_resolved_unless_it_is_also_a_model() {
    for (alias, sent) in [
        ("llama-3.1-8b", "llama-3.1-8b-instruct"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("deepseek-r1", "deepseek-r1"),
        ("of-tomorrow", "of-tomorrow"),
    ] {
        let wire = wire();
        let client = builder(&wire).build().unwrap();
        block_on(&wire.clock, client.chat(ChatRequest::new(alias).user("Hi"))).unwrap();
        assert_eq!(wire.json()["model"], sent);
    }
    for (_, name) in HISTORICAL_ALIASES {
        assert!(HISTORICAL_MODELS.contains(&name));
    }
}

#[test]
fn unknown_models_are_refused_on_request() {
    let wire = wire();
    let client = builder(&wire).only_known_models(true).build().unwrap();
    assert_eq!(ids(&client.known_models()), HISTORICAL_MODELS);
    let error = refusal(&client, &wire, ChatRequest::new("of-tomorrow").user("Hi"));
    assert_eq!(error.kind(), ErrorKind::ModelNotSupported);
    assert!(error.to_string().contains("`of-tomorrow`"), "{error}");
    // The alias is one of them.
    block_on(
        &wire.clock,
        client.chat(ChatRequest::new("llama-3.1-8b").user("Hi")),
    )
    .unwrap();
}

#[test]
fn the_list_of_the_service_replaces_the_historical_one() {
    let list = r#"{"object":"list","data":[{"id":"of-tomorrow","object":"model"}]}"#;
    let wire = Wire::new([Answer::json(200, list), Answer::json(500, "{}")]);
    let client = builder(&wire).only_known_models(true).build().unwrap();
    let models = block_on(&wire.clock, client.models()).unwrap();
    assert_eq!(ids(&models), ["of-tomorrow"]);
    assert_eq!(wire.request().uri(), "https://cablyai.com/v1/models");
    assert_eq!(client.known_models(), models);
    let asked = client.chat(ChatRequest::new("deepseek-v3").user("Hi"));
    let error = block_on(&wire.clock, asked).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotSupported);
}
