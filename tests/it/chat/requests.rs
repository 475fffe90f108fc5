//! What is sent: the body member by member, the headers, the place.

use http::{HeaderName, HeaderValue, Method};
use inferstream_cerebras::Cerebras;
use inferstream_core::{
    ApiKey, ChatRequest, Error, ErrorKind, Json, Message, Part, ProviderInfo, ResponseFormat, Role,
    Tool, ToolCall, ToolChoice,
};
use inferstream_openai_compat::{Chat, Dialect, Settings};
use serde_json::{Value, json};

use super::{Answer, Client, KEY, Plain, Wire, cerebras, chat_of, sse};
use crate::support::{Piece, block_on, recordings};

const FINISH: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;

fn wire() -> Wire {
    Wire::new([Answer::sse([Piece::from(sse(&[FINISH]).as_str())])])
}

/// Sends a stream request and returns the wire.
#[track_caller]
fn send(client: Client, request: impl Into<ChatRequest>) -> Wire {
    let wire = wire();
    let stream = block_on(&wire.clock, client.stream(&wire, request)).unwrap();
    block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(wire.count(), 1);
    wire
}

/// Checks the body of a stream request to Cerebras, beside what every one has.
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

/// Checks the messages of a request to Cerebras, as they stand on the wire.
#[track_caller]
fn check_message(message: Message, expected: &Value) {
    let wire = send(Client::Cerebras, ChatRequest::new("m").message(message));
    assert_eq!(wire.json()["messages"], json!([expected]));
}

/// Checks that nothing is sent.
#[track_caller]
fn check_refused(client: Client, request: ChatRequest, kind: ErrorKind) -> Error {
    let wire = wire();
    let error = block_on(&wire.clock, client.stream(&wire, request)).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!((wire.count(), error.attempts()), (0, 0), "{error}");
    error
}

fn new() -> ChatRequest {
    ChatRequest::new("m")
}

#[test]
fn a_bare_request_holds_nothing_but_the_needful() {
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
fn the_limit_of_tokens_has_the_service_s_name() {
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
fn no_member_stands_twice() {
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
fn usage_is_asked_for_only_where_there_is_a_stream() {
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
fn a_conversation_with_tools_goes_back_as_it_came() {
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

    // A service that may not know the field does not get it.
    let wire = send(Client::Plain, new().messages(messages));
    expected[5].as_object_mut().unwrap().remove("reasoning");
    assert_eq!(wire.json()["messages"], expected);
}

#[test]
fn an_answer_goes_back_as_a_message() {
    let answer = recordings::read("cerebras/t-cb-3.sse");
    let outcome = super::run(Client::Cerebras, Answer::sse([super::piece(&answer)]));
    let wire = send(
        Client::Cerebras,
        new().message(outcome.response().message()),
    );
    let message = &wire.json()["messages"][0];
    assert_eq!(message["reasoning"], "The user is asking about a \"");
    assert_eq!(message["content"], "{\"answer\":\"x\"}");
    assert_eq!(message["tool_calls"][0]["id"], "e0ecf32e0");
    assert_eq!(message.get("reasoning_content"), None);

    let answer = recordings::read("cerebras/t-cb-2.sse");
    let outcome = super::run(Client::Cerebras, Answer::sse([super::piece(&answer)]));
    let wire = send(
        Client::Cerebras,
        new().message(outcome.response().message()),
    );
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
fn an_image_s_detail_is_beside_its_url() {
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
fn tools_are_functions() {
    let schema = r#"{"type":"object","properties":{"z":{},"a":{}},"required":["z"]}"#;
    let tools = [
        Tool::new("f", Json::from_text(schema)),
        Tool::new("g", Json::from_text("{}"))
            .description("d")
            .strict(true),
    ];
    let [f, g] = tools;
    let wire = send(Client::Cerebras, new().user("hi").tool(f).tool(g));
    let parameters = serde_json::from_str::<Value>(schema).unwrap();
    let expected = json!([
        { "type": "function", "function": { "name": "f", "parameters": parameters } },
        { "type": "function",
          "function": { "name": "g", "description": "d", "parameters": {}, "strict": true } },
    ]);
    assert_eq!(wire.json()["tools"], expected);
    assert!(wire.text().contains(schema), "the order of members stays");
}

#[test]
fn the_choice_of_tools_has_four_forms() {
    let choice = |choice| send(Client::Cerebras, new().user("hi").tool_choice(choice)).json();
    assert_eq!(choice(ToolChoice::Auto)["tool_choice"], "auto");
    assert_eq!(choice(ToolChoice::None)["tool_choice"], "none");
    assert_eq!(choice(ToolChoice::Required)["tool_choice"], "required");
    assert_eq!(
        choice(ToolChoice::Tool("f".to_owned()))["tool_choice"],
        json!({ "type": "function", "function": { "name": "f" } }),
    );
}

#[test]
fn a_schema_keeps_the_order_of_its_members() {
    let schema = r#"{"type":"object","properties":{"zebra":{"type":"string"},"ant":{"type":"number"}},"additionalProperties":false}"#;
    let format = |format| {
        let wire = send(Client::Cerebras, new().user("hi").response_format(format));
        assert!(!wire.text().contains("null"), "{}", wire.text());
        (wire.json()["response_format"].clone(), wire.text())
    };
    assert_eq!(format(ResponseFormat::Text).0, json!({ "type": "text" }));
    assert_eq!(
        format(ResponseFormat::JsonObject).0,
        json!({ "type": "json_object" })
    );
    for strict in [None, Some(true), Some(false)] {
        let (value, text) = format(ResponseFormat::JsonSchema {
            name: "n".to_owned(),
            schema: Json::from_text(schema),
            strict,
        });
        assert!(text.contains(schema), "{text}");
        assert_eq!(value["type"], "json_schema");
        assert_eq!(value["json_schema"]["name"], "n");
        assert_eq!(value["json_schema"]["strict"].as_bool(), strict);
    }
}

#[test]
fn a_schema_read_from_json_keeps_its_order_too() {
    let text = r#"{"type":"json_schema","name":"n","schema":{"b":1,"a":2}}"#;
    let format = serde_json::from_str::<ResponseFormat>(text).unwrap();
    let wire = send(Client::Cerebras, new().user("hi").response_format(format));
    assert!(
        wire.text().contains(r#""schema":{"b":1,"a":2}"#),
        "{}",
        wire.text()
    );
}

#[test]
fn json_that_is_none_is_not_sent() {
    let tool = Tool::new("f", Json::from_text("{"));
    check_refused(
        Client::Cerebras,
        new().user("hi").tool(tool),
        ErrorKind::Config,
    );
}

#[test]
fn headers_say_who_asks_and_for_what() {
    let wire = send(Client::Cerebras, new().user("hi"));
    let request = wire.request();
    let headers = request.headers();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers["accept"], "text/event-stream");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!format!("{request:?}").contains(KEY));

    // No key, no header.
    let wire = send(Client::Plain, new().user("hi"));
    assert!(!wire.request().headers().contains_key("authorization"));
}

#[test]
fn a_request_s_headers_win_over_the_client_s() {
    let name = HeaderName::from_static("queue_threshold");
    let wire = wire();
    let client = Cerebras::builder()
        .api_key(KEY)
        .transport(wire.clone())
        .header(name.clone(), HeaderValue::from_static("50"))
        .header(
            HeaderName::from_static("x-own"),
            HeaderValue::from_static("1"),
        )
        .build()
        .unwrap();
    let request = new()
        .user("hi")
        .header(name, HeaderValue::from_static("60"));
    drop(block_on(&wire.clock, client.stream(request)).unwrap());
    let request = wire.request();
    let headers = request.headers();
    assert_eq!(headers["queue_threshold"], "60");
    assert_eq!(headers.get_all("queue_threshold").iter().count(), 1);
    assert_eq!(headers["x-own"], "1");
}

#[test]
fn the_key_s_header_is_not_set_by_hand() {
    let value = HeaderValue::from_static("Bearer other");
    let request = new().user("hi").header(http::header::AUTHORIZATION, value);
    check_refused(Client::Cerebras, request, ErrorKind::Config);
}

/// Returns where a chat and a list of models are asked for.
#[track_caller]
fn places(base: Option<&str>) -> (String, String, String) {
    let uri = |ask: &dyn Fn(&Cerebras, &Wire)| {
        let wire = wire();
        let mut builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
        if let Some(base) = base {
            builder = builder.base_url(base);
        }
        ask(&builder.build().unwrap(), &wire);
        wire.request().uri().to_string()
    };
    let chat = uri(&|client, wire| drop(block_on(&wire.clock, client.stream("hi"))));
    let models = uri(&|client, wire| drop(block_on(&wire.clock, client.models())));
    let public = uri(&|client, wire| drop(block_on(&wire.clock, client.public_models())));
    (chat, models, public)
}

#[test]
fn the_version_stands_once_in_each_url() {
    for base in [
        None,
        Some("https://api.cerebras.ai"),
        Some("https://api.cerebras.ai/"),
        Some("https://api.cerebras.ai/v1"),
        Some("https://api.cerebras.ai/v1/"),
        Some(" https://api.cerebras.ai/v1 \n"),
    ] {
        let expected = (
            "https://api.cerebras.ai/v1/chat/completions".to_owned(),
            "https://api.cerebras.ai/v1/models".to_owned(),
            "https://api.cerebras.ai/public/v1/models".to_owned(),
        );
        assert_eq!(places(base), expected, "{base:?}");
    }
    let (chat, models, _) = places(Some("http://127.0.0.1:8080/gateway/cerebras/v1/"));
    assert_eq!(
        chat,
        "http://127.0.0.1:8080/gateway/cerebras/v1/chat/completions"
    );
    assert_eq!(models, "http://127.0.0.1:8080/gateway/cerebras/v1/models");
}

#[test]
fn a_base_url_that_is_none_is_refused_and_not_shown() {
    for base in [
        "",
        "api.test",
        "ftp://api.test/v1",
        "https://",
        "https:///v1",
        "https://user:h1dden@api.test/v1",
        "https://api.test/v1?h1dden=1",
        "https://api.test/v1#h1dden",
        "https://api test/v1",
        "/v1",
    ] {
        let wire = wire();
        let error = Chat::new(Plain, std::sync::Arc::new(wire), Settings::new(base)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{base}");
        assert!(!format!("{error} {error:?}").contains("h1dden"), "{error}");
    }
}

#[test]
fn the_public_list_is_asked_for_without_the_key() {
    let wire = Wire::new([Answer::json(
        200,
        r#"{"data":[{"id":"a","owned_by":"o","created":5}]}"#,
    )]);
    let models = block_on(&wire.clock, cerebras(&wire).public_models()).unwrap();
    assert_eq!(models.len(), 1);
    assert_eq!((models[0].id.as_str(), models[0].created), ("a", Some(5)));
    let request = wire.request();
    assert_eq!(request.method(), Method::GET);
    assert!(!request.headers().contains_key("authorization"));
    assert!(request.body().is_empty());

    let wire = Wire::new([Answer::json(200, r#"{"data":[{"id":"a"},{"id":"b"}]}"#)]);
    let client = cerebras(&wire);
    assert_eq!(block_on(&wire.clock, client.models()).unwrap().len(), 2);
    assert_eq!(
        wire.request().headers()["authorization"],
        format!("Bearer {KEY}")
    );
    let known: Vec<_> = client
        .known_models()
        .into_iter()
        .map(|model| model.id)
        .collect();
    assert_eq!(known, ["a", "b"], "the list last fetched");
}

#[test]
fn known_models_need_no_request() {
    let wire = wire();
    let known: Vec<_> = cerebras(&wire)
        .known_models()
        .into_iter()
        .map(|model| model.id)
        .collect();
    assert_eq!(known, ["gpt-oss-120b", "qwen-3.8-27b", "gemma-4-31b"]);
    assert_eq!(wire.count(), 0);
}

#[test]
fn a_list_of_models_that_is_none_is_an_error() {
    for body in ["", "null", "{}", "<html>", "{\"data\":[", "7"] {
        let wire = Wire::new([Answer::json(200, body)]);
        let error = block_on(&wire.clock, cerebras(&wire).models()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
    }
}

#[test]
fn text_alone_asks_the_default_model() {
    assert_eq!(send(Client::Cerebras, "hi").json()["model"], "gpt-oss-120b");
    assert_eq!(send(Client::Plain, "hi").json()["model"], "model");
}

#[test]
fn aliases_are_resolved_and_unknown_names_pass() {
    for (asked, sent) in [
        ("llama-3.1-70b", "llama3.1-70b"),
        ("llama-3.1-8b", "llama3.1-8b"),
        ("deepseek-r1", "deepseek-r1-distill-llama-70b"),
        ("llama3.1-70b", "llama3.1-70b"),
        ("Llama-3.1-70B", "Llama-3.1-70B"),
        ("some/new-model:free", "some/new-model:free"),
    ] {
        let wire = send(Client::Cerebras, ChatRequest::new(asked).user("hi"));
        assert_eq!(wire.json()["model"], sent);
    }
}

#[test]
fn a_retired_model_passes_with_a_warning_that_names_the_successor() {
    for model in [
        "llama3.1-70b",
        "llama-3.1-8b",
        "llama-3.3-70b",
        "deepseek-r1",
        "zai-glm-4.7",
    ] {
        let wire = wire();
        let request = ChatRequest::new(model).user("hi");
        let stream = block_on(&wire.clock, cerebras(&wire).stream(request)).unwrap();
        let [warning] = &*stream.meta().warnings else {
            panic!("{model}: {:?}", stream.meta().warnings);
        };
        assert!(warning.contains("gpt-oss-120b"), "{warning}");
    }
    let wire = wire();
    let stream = block_on(&wire.clock, cerebras(&wire).stream("hi")).unwrap();
    assert!(stream.meta().warnings.is_empty());
}

#[test]
fn what_no_service_accepts_is_not_sent() {
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
fn a_client_without_a_key_sends_nothing() {
    let wire = wire();
    let client = Cerebras::builder().transport(wire.clone()).build().unwrap();
    for error in [
        block_on(&wire.clock, client.stream("hi")).unwrap_err(),
        block_on(&wire.clock, client.chat("hi")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Auth);
        let text = error.to_string();
        assert!(text.contains("CEREBRAS_API_KEY"), "{text}");
        assert!(text.contains("https://cloud.cerebras.ai"), "{text}");
    }
    assert_eq!(wire.count(), 0);
    // The list can be seen without one.
    drop(block_on(&wire.clock, client.models()));
    assert_eq!(
        wire.request().uri(),
        "https://api.cerebras.ai/public/v1/models"
    );
}

#[test]
fn a_key_that_cannot_stand_in_a_header_is_refused_and_not_shown() {
    for key in ["", " \n", "a b", "h1dden\u{e9}", "h1dden\nx", "h1dden\0"] {
        let error = Cerebras::builder()
            .api_key(key)
            .transport(wire())
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("h1dden"));
    }
    let wire = wire();
    let builder = Cerebras::builder().api_key(format!(" {KEY}\r\n"));
    let client = builder.transport(wire.clone()).build().unwrap();
    drop(block_on(&wire.clock, client.stream("hi")));
    assert_eq!(
        wire.request().headers()["authorization"],
        format!("Bearer {KEY}")
    );
    assert!(!format!("{client:?}").contains(KEY));
}

/// A dialect that knows no seed and is not asked for usage.
#[derive(Debug)]
struct Narrow;

impl Dialect for Narrow {
    fn info(&self) -> &ProviderInfo {
        const INFO: ProviderInfo = ProviderInfo::new("narrow", "Narrow", "https://narrow.test");
        &INFO
    }

    fn asks_for_usage(&self) -> bool {
        false
    }

    fn knows_field(&self, field: &str) -> bool {
        field != "seed"
    }

    fn reasoning_field(&self) -> Option<&'static str> {
        Some("thoughts")
    }
}

#[test]
fn a_dialect_decides_which_fields_go_out() {
    let wire = wire();
    let chat = chat_of(Narrow, &wire);
    let ask = |request: ChatRequest| block_on(&wire.clock, chat.stream(request));
    let error = ask(new().user("hi").seed(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("seed"), "{error}");
    // It has no default model either.
    let error = ask(ChatRequest::from("hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(wire.count(), 0);

    let message = Message::assistant("a").reasoning("b");
    drop(ask(new().message(message).extra("seed", 1)).unwrap());
    let expected = json!({
        "model": "m",
        "messages": [{ "role": "assistant", "content": "a", "thoughts": "b" }],
        "stream": true,
        "seed": 1,
    });
    assert_eq!(wire.json(), expected);
}

#[test]
fn every_setting_is_known_to_cerebras() {
    // WIRE 1.3, and nothing beside it: an unknown field is a 422.
    const KNOWN: [&str; 17] = [
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "n",
        "frequency_penalty",
        "presence_penalty",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
    ];

    let request = new()
        .user("hi")
        .temperature(1.0)
        .top_p(1.0)
        .max_tokens(1)
        .stop(["a"])
        .seed(1)
        .n(1)
        .frequency_penalty(0.0)
        .presence_penalty(0.0)
        .reasoning_effort("low")
        .tool(Tool::new("f", Json::from_text("{}")))
        .tool_choice(ToolChoice::Auto)
        .parallel_tool_calls(true)
        .response_format(ResponseFormat::Text)
        .user_id("u");
    let body = send(Client::Cerebras, request).json();
    for name in body.as_object().unwrap().keys() {
        assert!(KNOWN.contains(&name.as_str()) || name == "user", "{name}");
    }
}

#[test]
fn clones_and_repeats_send_the_same() {
    let key = ApiKey::new(KEY).unwrap();
    let mut settings = Settings::new("https://plain.test/v1");
    settings.api_key = Some(key);
    let wire = Wire::new([
        Answer::json(503, ""),
        Answer::json(503, ""),
        Answer::json(400, ""),
    ]);
    let chat = Chat::new(Plain, std::sync::Arc::new(wire.clone()), settings).unwrap();
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
