//! The request body.

use inferstream_cloudflare::playground::encode::body;
use inferstream_core::{
    ChatRequest, ErrorKind, Json, Message, Part, ResponseFormat, Role, Tool, ToolCall, ToolChoice,
};

const MODEL: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

#[track_caller]
fn encode(request: &ChatRequest) -> String {
    String::from_utf8(body(MODEL, &mut request.clone()).unwrap().0.to_vec()).unwrap()
}

#[track_caller]
fn check_messages(request: &ChatRequest, messages: &str) {
    let text = encode(request);
    let found = text.strip_prefix("{\"messages\":").unwrap();
    assert!(
        found.starts_with(&format!("{messages},\"lora\"")),
        "{found}"
    );
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[track_caller]
fn check_refusal(request: &ChatRequest, line: &str) {
    let error = body(MODEL, &mut request.clone()).unwrap_err();
    assert_eq!(
        (error.kind(), &*error.to_string()),
        (ErrorKind::Unsupported, line)
    );
}

#[test]
fn a_request_matches_the_one_of_the_page() {
    let expected = concat!(
        r#"{"messages":[{"role":"user","content":"Hi","parts":[{"type":"text","text":"Hi"}]}],"#,
        r#""lora":null,"model":"@cf/meta/llama-3.3-70b-instruct-fp8-fast","max_tokens":2048,"stream":true,"#,
        r#""system_message":"You are a helpful assistant","tools":[]}"#,
    );
    assert_eq!(encode(&ChatRequest::from("Hi")), expected);
}

#[test]
fn roles_stay() {
    let request = ChatRequest::default()
        .system("a")
        .message(Message::new(Role::Developer, "b"))
        .user("c")
        .assistant("d");
    let message = |role: &str, text: &str| {
        format!(
            r#"{{"role":"{role}","content":"{text}","parts":[{{"type":"text","text":"{text}"}}]}}"#
        )
    };
    let messages = [
        message("system", "a"),
        message("system", "b"),
        message("user", "c"),
        message("assistant", "d"),
    ];
    check_messages(&request, &format!("[{}]", messages.join(",")));
}

#[test]
fn content_is_empty_unless_it_is_a_single_text() {
    let request = ChatRequest::from(vec![
        Message::user("a").part("b"),
        Message::empty(Role::User),
    ]);
    let messages = concat!(
        r#"[{"role":"user","content":"","parts":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"#,
        r#"{"role":"user","content":"","parts":[]}]"#,
    );
    check_messages(&request, messages);
}

#[test]
fn text_is_escaped() {
    let messages =
        r#"[{"role":"user","content":"\"\\\n世","parts":[{"type":"text","text":"\"\\\n世"}]}]"#;
    check_messages(&ChatRequest::from("\"\\\n世"), messages);
}

#[test]
fn tools_have_an_input_schema() {
    let schema = Json::from_text(r#"{"type":"object","properties":{"b":{},"a":{}}}"#);
    let request = ChatRequest::from("Hi")
        .tool(Tool::new("t", schema.clone()).description("d"))
        .tool(Tool::new("u", schema).strict(false));
    let tools = concat!(
        r#""tools":[{"name":"t","description":"d","inputSchema":{"type":"object","properties":{"b":{},"a":{}}}},"#,
        r#"{"name":"u","inputSchema":{"type":"object","properties":{"b":{},"a":{}}}}]}"#,
    );
    assert!(encode(&request).ends_with(tools));
    let broken = ChatRequest::from("Hi").tool(Tool::new("t", Json::from_text("{")));
    assert_eq!(
        body(MODEL, &mut broken.clone()).unwrap_err().kind(),
        ErrorKind::Config
    );
}

#[test]
fn extra_wins() {
    let request = ChatRequest::from("Hi")
        .max_tokens(5)
        .extra("system_message", "s")
        .extra("lora", "l")
        .extra("temperature", 0.5)
        .extra("temperature", 0.7);
    let text = encode(&request);
    let end = concat!(
        r#""lora":"l","model":"@cf/meta/llama-3.3-70b-instruct-fp8-fast","max_tokens":5,"stream":true,"#,
        r#""system_message":"s","tools":[],"temperature":0.7}"#,
    );
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn settings_that_would_be_lost_are_refused() {
    let hi = || ChatRequest::from("Hi");
    let settings = [
        ("temperature", hi().temperature(0.5)),
        ("top_p", hi().top_p(0.5)),
        ("stop", hi().stop(["x"])),
        ("seed", hi().seed(1)),
        ("n", hi().n(2)),
        ("frequency_penalty", hi().frequency_penalty(0.5)),
        ("presence_penalty", hi().presence_penalty(0.5)),
        ("reasoning_effort", hi().reasoning_effort("low")),
        ("tool_choice", hi().tool_choice(ToolChoice::Required)),
        ("parallel_tool_calls", hi().parallel_tool_calls(true)),
        (
            "response_format",
            hi().response_format(ResponseFormat::JsonObject),
        ),
        ("user_id", hi().user_id("u")),
    ];
    for (name, request) in settings {
        let line = format!(
            "cloudflare does not support `{name}`: unknown to the playground; remove it, or set \
             `on_unsupported` to drop it"
        );
        check_refusal(&request, &line);
    }
    let strict = Tool::new("t", Json::from_text("{}")).strict(true);
    check_refusal(
        &hi().tool(strict),
        "cloudflare does not support `tools/t#strict`: not guaranteed by the playground; remove it, or \
         set `on_unsupported` to drop it",
    );
}

#[test]
fn settings_equal_to_the_default_are_accepted() {
    let plain = encode(&ChatRequest::from("Hi"));
    let request = ChatRequest::from("Hi")
        .n(1)
        .tool_choice(ToolChoice::Auto)
        .response_format(ResponseFormat::Text);
    assert_eq!(encode(&request), plain);
}

#[test]
fn parts_that_the_server_ignored_are_refused() {
    let image = Message::user("a").part(Part::image_url("https://example.com/a.png"));
    check_refusal(
        &ChatRequest::from(vec![image]),
        "the playground does not support images",
    );
    let call = Message::empty(Role::Assistant).tool_call(ToolCall::new("c", "t", "{}"));
    let line = "the playground does not support tool calls in messages";
    check_refusal(&ChatRequest::from(vec![call]), line);
    let answer = Message::tool("c", "x");
    let line = "the playground does not support tool results";
    check_refusal(&ChatRequest::from(vec![answer]), line);
}
