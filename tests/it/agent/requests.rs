//! Messages sent to the agent, and requests rejected before anything is sent.

use inferstream_cloudflare::{ChatRequest, Cloudflare, ErrorKind, Message, Tool};
use serde_json::{Value, json};

use super::{PROMPT, ask, builder, plan, run};
use crate::support::block_on;

fn said(request: ChatRequest) -> (Value, Value) {
    let agent = plan().serve();
    assert_eq!(ask(&agent, request).kind(), None);
    let state = agent.of("state").remove(0);
    let asked = agent.of("use_chat_request").remove(0);
    assert_eq!(asked["init"]["method"], "POST");
    let body = asked["init"]["body"].as_str().unwrap();
    (state["state"].clone(), serde_json::from_str(body).unwrap())
}

#[test]
fn the_request_matches_the_transcript() {
    let agent = plan().serve();
    assert_eq!(ask(&agent, "hi").kind(), None);
    let asked = agent.of("use_chat_request").remove(0);
    let id = asked["id"].as_str().unwrap();
    let body = r#"{"messages":[{"role":"user","parts":[{"type":"text","text":"hi"}],"id":"msg_0"}],"trigger":"submit-message"}"#;
    let expected = json!({
        "id": id,
        "init": { "body": body, "method": "POST" },
        "type": "cf_agent_use_chat_request",
    });
    assert_eq!(asked, expected);
}

#[test]
fn the_settings_are_sent_first_and_completely() {
    let agent = plan().serve();
    assert_eq!(ask(&agent, PROMPT).kind(), None);
    let seen = agent.seen.lock().unwrap();
    assert_eq!(
        seen.messages[0].1,
        json!({"type": "cf_agent_state", "state": {
            "model": "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
            "temperature": 1.0,
            "stream": true,
            "system": "You are a helpful assistant",
            "useExternalProvider": false,
        }})
    );
    assert_eq!(seen.messages[1].1["type"], "cf_agent_use_chat_request");
}

#[test]
fn the_first_system_messages_are_a_setting() {
    let (state, body) = said(
        ChatRequest::new("@cf/qwen/qwq-32b")
            .system("Be brief.")
            .system("Be kind.")
            .user("Hi")
            .assistant("Hello.")
            .system("Now be long.")
            .user("Go on")
            .temperature(0.25),
    );
    assert_eq!(state["system"], "Be brief.\n\nBe kind.");
    assert_eq!(state["model"], "@cf/qwen/qwq-32b");
    assert_eq!(state["temperature"], 0.25);
    let roles: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "system", "user"]);
    assert_eq!(body["messages"][3]["id"], "msg_3");
}

#[test]
fn members_of_extra_are_settings() {
    let request = ChatRequest::from(PROMPT)
        .extra("maxTokens", json!(7))
        .extra("stream", json!(false));
    let (state, _) = said(request);
    assert_eq!(state["maxTokens"], 7);
    assert_eq!(state["stream"], false);
}

#[test]
fn an_unsupported_request_is_rejected_before_sending() {
    let requests = [
        (ChatRequest::from(PROMPT).max_tokens(5), "max_tokens"),
        (ChatRequest::from(PROMPT).seed(5), "seed"),
        (
            ChatRequest::from(PROMPT).tool(Tool::new("f", json!({"type": "object"}).into())),
            "tools",
        ),
        (ChatRequest::new("m").system("Be brief."), "user"),
        (
            ChatRequest::new("m")
                .user("a")
                .message(Message::tool("c", "1")),
            "tool results",
        ),
    ];
    for (request, name) in requests {
        let agent = plan().serve();
        let outcome = ask(&agent, request);
        let error = outcome.error();
        assert!(
            matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Config),
            "{error}"
        );
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(agent.connections(), 0);
    }
}

#[test]
fn the_handshake_is_the_one_of_the_page() {
    let (_, agent) = run(plan());
    let seen = agent.seen.lock().unwrap();
    let request = &seen.requests[0];
    assert_eq!(request.method(), "GET");
    let headers = request.headers();
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("origin", "https://playground.ai.cloudflare.com"),
        ("sec-fetch-mode", "websocket"),
        ("sec-fetch-site", "same-origin"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(headers["sec-websocket-key"].len(), 24);
    assert!(!headers.contains_key("content-type"));
    assert!(!headers.contains_key("sec-websocket-extensions"));
}

#[test]
fn each_request_has_its_own_agent() {
    let agent = plan().serve();
    for _ in 0..20 {
        assert_eq!(ask(&agent, PROMPT).kind(), None);
    }
    let seen = agent.seen.lock().unwrap();
    let mut uris: Vec<_> = seen
        .requests
        .iter()
        .map(|request| request.uri().to_string())
        .collect();
    for uri in &uris {
        let rest = uri
            .strip_prefix(
                "https://playground.ai.cloudflare.com/agents/playground/Cloudflare-AI-Playground-",
            )
            .unwrap();
        let (name, key) = rest.split_once("?_pk=").unwrap();
        assert_eq!(name.len(), 21);
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let lengths: Vec<_> = key.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(key.as_bytes()[14], b'4', "a UUID of version 4");
        assert!(b"89ab".contains(&key.as_bytes()[19]));
    }
    uris.sort();
    uris.dedup();
    assert_eq!(uris.len(), 20);
}

#[test]
fn cookies_of_the_handshake_are_sent_the_next_time() {
    let agent = plan().serve();
    let client = builder(&agent).build().unwrap();
    for _ in 0..2 {
        let clock = agent.clock.clone();
        block_on(&clock, async { client.chat(PROMPT).await.unwrap() });
    }
    let seen = agent.seen.lock().unwrap();
    assert!(!seen.requests[0].headers().contains_key("cookie"));
    assert_eq!(
        seen.requests[1].headers()["cookie"],
        "__cf_bm=a-ticket-of-the-test-0"
    );
}

#[test]
fn headers_of_the_caller_are_sent() {
    let agent = plan().serve();
    let request = ChatRequest::from(PROMPT).header(
        http::HeaderName::from_static("x-mine"),
        http::HeaderValue::from_static("yes"),
    );
    assert_eq!(ask(&agent, request).kind(), None);
    assert_eq!(
        agent.seen.lock().unwrap().requests[0].headers()["x-mine"],
        "yes"
    );
}

#[test]
fn the_caller_cannot_set_headers_of_the_handshake() {
    for name in ["upgrade", "sec-websocket-key", "sec-websocket-extensions"] {
        let agent = plan().serve();
        let name = http::HeaderName::from_static(name);
        let value = http::HeaderValue::from_static("h2c");
        let request = ChatRequest::from(PROMPT).header(name.clone(), value);
        let outcome = ask(&agent, request);
        assert_eq!(outcome.kind(), Some(ErrorKind::Config), "{name}");
        assert_eq!(agent.connections(), 0);
    }
}

#[test]
fn another_base_url_may_be_set() {
    let agent = plan().serve();
    let client = Cloudflare::builder()
        .playground_agent()
        .base_url("https://example.com:8443/below/")
        .transport(agent.clone())
        .build()
        .unwrap();
    block_on(&agent.clock.clone(), client.chat(PROMPT)).unwrap();
    let seen = agent.seen.lock().unwrap();
    let uri = seen.requests[0].uri().to_string();
    assert!(
        uri.starts_with("https://example.com:8443/below/agents/playground/"),
        "{uri}"
    );
    assert_eq!(
        seen.requests[0].headers()["origin"],
        "https://example.com:8443"
    );
}
