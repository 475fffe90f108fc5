//! The request body, member by member.

use inferstream_client::{Setting, Settings};
use inferstream_core::{
    ChatRequest, ChatResponse, Error, ErrorKind, Json, Message, Part, Provider as _, Role, ToolCall,
};
use inferstream_openai_compat::Chat;
use serde_json::{Value, json};

use super::{Answer, Client, KEY, Plain, TEXT, Wire, cerebras, frames, sse};
use crate::support::{Piece, block_on, recordings};

const FINISH: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;

pub(super) fn wire() -> Wire {
    Wire::new([Answer::sse([Piece::from(sse(&[FINISH]).as_str())])])
}

/// Sends a streaming request and returns the recorded requests.
#[track_caller]
pub(super) fn send(client: Client, request: impl Into<ChatRequest>) -> Wire {
    let wire = wire();
    let stream = block_on(&wire.clock, client.stream(&wire, request)).unwrap();
    block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(wire.count(), 1);
    wire
}

/// Checks the body of a streaming request to Cerebras, without the members that every request has.
#[track_caller]
fn check(request: ChatRequest, expected: &Value) {
    check_of(Client::Cerebras, request, expected);
}

#[track_caller]
fn check_of(client: Client, request: ChatRequest, expected: &Value) {
    let wire = send(client, request.user("hi"));
    let mut body = wire.json();
    let body = body.as_object_mut().unwrap();
    assert_eq!(body.remove("model"), Some(json!("m")));
    assert_eq!(body.remove("stream"), Some(json!(true)));
    let options = body.remove("stream_options");
    assert_eq!(options, Some(json!({ "include_usage": true })));
    let messages = body.remove("messages");
    assert_eq!(messages, Some(json!([{ "role": "user", "content": "hi" }])));
    assert_eq!(Value::Object(body.clone()), *expected);
}

/// Checks the messages of a request to Cerebras as they are sent.
#[track_caller]
fn check_message(message: Message, expected: &Value) {
    let wire = send(Client::Cerebras, ChatRequest::new("m").message(message));
    assert_eq!(wire.json()["messages"], json!([expected]));
}

/// Checks that nothing is sent.
#[track_caller]
pub(super) fn check_refused(client: Client, request: ChatRequest, kind: ErrorKind) -> Error {
    let wire = wire();
    let error = block_on(&wire.clock, client.stream(&wire, request)).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!((wire.count(), error.attempts()), (0, 0), "{error}");
    error
}

pub(super) fn new() -> ChatRequest {
    ChatRequest::new("m")
}

#[test]
fn a_minimal_request_has_no_optional_members() {
    check(new(), &json!({}));
    check_of(Client::Plain, new(), &json!({}));
}

#[test]
fn each_setting_is_a_member() {
    check(new().temperature(0.5), &json!({ "temperature": 0.5 }));
    check(new().top_p(0.25), &json!({ "top_p": 0.25 }));
    check(new().stop(["a", "b"]), &json!({ "stop": ["a", "b"] }));
    check(new().seed(-7), &json!({ "seed": -7 }));
    check(new().n(1), &json!({ "n": 1 }));
    check(
        new().frequency_penalty(-1.5),
        &json!({ "frequency_penalty": -1.5 }),
    );
    check(
        new().presence_penalty(1.5),
        &json!({ "presence_penalty": 1.5 }),
    );
    check(
        new().reasoning_effort("low"),
        &json!({ "reasoning_effort": "low" }),
    );
    check(
        new().parallel_tool_calls(false),
        &json!({ "parallel_tool_calls": false }),
    );
    check(new().user_id("u"), &json!({ "user": "u" }));
}

#[test]
fn the_token_limit_has_the_service_s_name() {
    check(new().max_tokens(5), &json!({ "max_completion_tokens": 5 }));
    check_of(
        Client::Plain,
        new().max_tokens(5),
        &json!({ "max_tokens": 5 }),
    );
}

#[test]
fn extra_members_come_last_and_win() {
    let request = new()
        .temperature(0.5)
        .seed(1)
        .extra("clear_thinking", true)
        .extra("temperature", 1)
        .extra("prompt_cache_key", "a \"key\"")
        .extra("seed", 2)
        .extra("seed", 3);
    let expected = json!({
        "temperature": 1,
        "seed": 3,
        "clear_thinking": true,
        "prompt_cache_key": "a \"key\"",
    });
    check(request, &expected);
}

#[test]
fn no_member_occurs_twice() {
    let request = new()
        .user("hi")
        .max_tokens(1)
        .extra("max_completion_tokens", 2)
        .extra("model", "other")
        .extra("stream_options", Json::from_text("null"));
    let text = send(Client::Cerebras, request).text();
    for member in [
        "\"max_completion_tokens\":2",
        "\"model\":\"other\"",
        "\"stream_options\":null",
    ] {
        assert_eq!(text.matches(member).count(), 1, "{text}");
    }
    for name in [
        "\"max_completion_tokens\"",
        "\"model\"",
        "\"stream_options\"",
    ] {
        assert_eq!(text.matches(name).count(), 1, "{text}");
    }
}

#[test]
fn a_name_in_extra_is_escaped() {
    let text = send(Client::Cerebras, new().user("hi").extra("a\"b\\\n", 1)).text();
    assert!(text.contains(r#""a\"b\\\n":1"#), "{text}");
}

#[test]
fn usage_is_requested_only_for_streams() {
    for client in [Client::Cerebras, Client::Plain] {
        let answer = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
        let wire = Wire::new([Answer::json(200, answer)]);
        let request = new().user("hi");
        let response = block_on(&wire.clock, client.chat(&wire, request)).unwrap();
        assert_eq!(response.text(), "a");
        let body = wire.json();
        assert_eq!(body.get("stream_options"), None);
        assert_ne!(body.get("stream"), Some(&json!(true)));
        assert_eq!(wire.request().headers()["accept"], "application/json");
    }
}

#[test]
fn a_conversation_with_tools_is_sent_back_unchanged() {
    let call = ToolCall::new("ab8048658", "add", "{\"a\": 2, \"b\": 3}");
    let messages = [
        Message::system("s"),
        Message::new(Role::Developer, "d"),
        Message::user("u"),
        Message::empty(Role::Assistant).tool_call(call.clone()),
        Message::tool("ab8048658", "5"),
        Message::assistant("both")
            .reasoning("thought")
            .tool_call(call),
        Message::tool("ab8048658", ""),
    ];
    let wire = send(Client::Cerebras, new().messages(messages.clone()));
    let call = json!({
        "id": "ab8048658",
        "type": "function",
        "function": { "name": "add", "arguments": "{\"a\": 2, \"b\": 3}" },
    });
    let mut expected = json!([
        { "role": "system", "content": "s" },
        { "role": "developer", "content": "d" },
        { "role": "user", "content": "u" },
        { "role": "assistant", "tool_calls": [call] },
        { "role": "tool", "content": "5", "tool_call_id": "ab8048658" },
        { "role": "assistant", "content": "both", "reasoning": "thought", "tool_calls": [call] },
        { "role": "tool", "content": "", "tool_call_id": "ab8048658" },
    ]);
    assert_eq!(wire.json()["messages"], expected);

    // A service that may not support the field does not get it.
    let wire = send(Client::Plain, new().messages(messages));
    expected[5].as_object_mut().unwrap().remove("reasoning");
    assert_eq!(wire.json()["messages"], expected);
}

/// Creates a request from a response, followed by the results of its tool calls.
fn answered(response: &ChatResponse) -> ChatRequest {
    let answers = response.tool_calls().iter();
    let answers = answers.map(|call| Message::tool(call.id.as_str(), "5"));
    new().message(response.message()).messages(answers)
}

#[test]
fn a_response_can_be_sent_back_as_a_message() {
    let answer = recordings::read("cerebras/t-cb-3.sse");
    let outcome = super::run(Client::Cerebras, Answer::sse([super::piece(&answer)]));
    let wire = send(Client::Cerebras, answered(outcome.response()));
    let message = &wire.json()["messages"][0];
    assert_eq!(message["reasoning"], "The user is asking about a \"");
    assert_eq!(message["content"], "{\"answer\":\"x\"}");
    assert_eq!(message["tool_calls"][0]["id"], "e0ecf32e0");
    assert_eq!(message.get("reasoning_content"), None);

    let answer = recordings::read("cerebras/t-cb-2.sse");
    let outcome = super::run(Client::Cerebras, Answer::sse([super::piece(&answer)]));
    let wire = send(Client::Cerebras, answered(outcome.response()));
    let message = &wire.json()["messages"][0];
    assert_eq!(message.get("content"), None);
    assert_eq!(message.get("reasoning"), None);
    assert_eq!(message["tool_calls"].as_array().unwrap().len(), 2);
}

#[test]
fn images_are_parts() {
    let message = Message::user("what?")
        .part(Part::image_url("https://a.test/b.png"))
        .part(Part::image("image/png", *b"\x00\xFFabc"));
    check_message(
        message,
        &json!({ "role": "user", "content": [
            { "type": "text", "text": "what?" },
            { "type": "image_url", "image_url": { "url": "https://a.test/b.png" } },
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,AP9hYmM=" } },
        ] }),
    );
}

#[test]
fn the_detail_of_an_image_is_next_to_its_url() {
    let mut image = Part::image_url("https://a.test/b.png");
    if let Part::Image { detail, .. } = &mut image {
        *detail = Some("low".to_owned());
    }
    let image_url = json!({ "url": "https://a.test/b.png", "detail": "low" });
    check_message(
        Message::new(Role::User, image),
        &json!({ "role": "user", "content": [{ "type": "image_url", "image_url": image_url }] }),
    );
}

#[test]
fn text_is_sent_byte_for_byte() {
    let text = "\\n \n \t \" \u{0} \u{7f} \u{2028} 😀 </script> [DONE]\n\ndata: x";
    check_message(
        Message::user(text),
        &json!({ "role": "user", "content": text }),
    );
}

#[test]
fn invalid_requests_are_not_sent() {
    for client in [Client::Cerebras, Client::Plain] {
        check_refused(client, new(), ErrorKind::Config);
        check_refused(
            client,
            new().user("a").temperature(f64::NAN),
            ErrorKind::Config,
        );
        check_refused(
            client,
            new().user("a").top_p(f64::INFINITY),
            ErrorKind::Config,
        );
        check_refused(client, new().user("a").max_tokens(0), ErrorKind::Config);
        check_refused(client, new().user("a").n(0), ErrorKind::Config);
        check_refused(client, ChatRequest::new(" ").user("a"), ErrorKind::Config);
        let image = Part::image("image/png", vec![0; 16 << 20]);
        check_refused(client, new().user(image), ErrorKind::TooLarge);
    }
}

#[test]
fn clones_and_retries_send_the_same_body() {
    let wire = Wire::new([
        Answer::json(503, ""),
        Answer::json(503, ""),
        Answer::json(400, ""),
    ]);
    let mut settings = Settings::new(std::sync::Arc::new(wire.clone()));
    settings.key = Some(Setting::new(KEY));
    let chat = inferstream_client::Client::new(Chat::new(Plain), "https://plain.test/v1", settings)
        .unwrap();
    let error = block_on(&wire.clock, chat.clone().stream("hi".into())).unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidRequest, 3)
    );
    let [first, second, third] = &*wire.all() else {
        panic!("{} requests", wire.count());
    };
    for other in [second, third] {
        assert_eq!(first.uri(), other.uri());
        assert_eq!(first.headers(), other.headers());
        assert_eq!(first.body(), other.body());
        assert!(other.headers()["authorization"].is_sensitive());
    }
}

#[test]
fn an_image_of_another_role_is_not_dropped_silently() {
    let call = Message::empty(Role::Assistant).tool_call(ToolCall::new("a", "f", "{}"));
    for message in [
        Message::tool("a", Part::image_url("https://a.test/b.png")),
        Message::system("s").part(Part::image_url("https://a.test/b.png")),
        Message::assistant(Part::image_url("https://a.test/b.png")),
    ] {
        let wire = Wire::new([Answer::sse([frames(&[TEXT, FINISH])])]);
        let before = (message.role == Role::Tool).then(|| call.clone());
        let request = ChatRequest::default().messages(before).message(message);
        let outcome = block_on(&wire.clock, cerebras(&wire).stream(request));
        match outcome {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
            Ok(_) => assert!(wire.text().contains("b.png"), "{}", wire.text()),
        }
    }
}
