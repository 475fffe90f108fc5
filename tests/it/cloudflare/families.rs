//! Differences between the families of models.

use inferstream_cloudflare::{
    ChatRequest, Endpoint, ErrorKind, Json, Message, ResponseFormat, Role, Tool, ToolCall,
    ToolChoice,
};
use serde_json::{Value, json};

use super::{
    ENDPOINTS,
    requests::{check_refused, send, wire},
};
use crate::support::block_on;

const MISTRAL: &str = "@cf/mistralai/mistral-small-3.1-24b-instruct";
const GLM: &str = "@cf/zai-org/glm-4.7-flash";
const LLAMA: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

/// A conversation in which each of these calls was made and has a result.
fn conversation(model: &str, ids: &[&str]) -> ChatRequest {
    let calls = ids
        .iter()
        .fold(Message::empty(Role::Assistant), |message, id| {
            message.tool_call(ToolCall::new(*id, "add", "{}"))
        });
    let answers = ids.iter().map(|id| Message::tool(*id, "5"));
    ChatRequest::new(model)
        .user("hi")
        .message(calls)
        .messages(answers)
}

/// Sends calls with these ids, and returns the ids in the request.
#[track_caller]
fn sent_ids(endpoint: Endpoint, model: &str, ids: &[&str]) -> Vec<String> {
    let body = send(endpoint, conversation(model, ids)).json();
    let messages = body["messages"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let calls = messages[1]["tool_calls"].as_array().unwrap();
    let calls: Vec<_> = calls.iter().map(|call| text(&call["id"])).collect();
    let answers = messages[2..]
        .iter()
        .map(|message| text(&message["tool_call_id"]));
    assert_eq!(
        answers.collect::<Vec<_>>(),
        calls,
        "a call and its result have the same id"
    );
    calls
}

#[test]
fn mistral_s_ids_are_nine_letters_and_digits() {
    for endpoint in ENDPOINTS {
        let ids = [
            "call_1",
            "call-1",
            "call.1",
            "chatcmpl-tool-0123456789abcdef0123456789abcdef",
            "chatcmpl-tool-0123456789abcdef0123456789abcdee",
            "1",
            "é",
            "abcDEF12",
            "abcDEF1234",
        ];
        let sent = sent_ids(endpoint, MISTRAL, &ids);
        for id in &sent {
            assert_eq!(id.len(), 9, "{id}");
            assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
        let mut apart = sent.clone();
        apart.sort();
        apart.dedup();
        assert_eq!(apart.len(), ids.len(), "{sent:?}");
        assert_eq!(
            sent_ids(endpoint, MISTRAL, &ids),
            sent,
            "the same each time"
        );
        assert_eq!(sent_ids(endpoint, MISTRAL, &["abcDEF123"]), ["abcDEF123"]);
    }
}

#[test]
fn other_families_keep_their_ids() {
    for endpoint in ENDPOINTS {
        assert_eq!(sent_ids(endpoint, LLAMA, &["call_1", ""]), ["call_1", ""]);
        assert_eq!(sent_ids(endpoint, GLM, &["call-1"]), ["call-1"]);
    }
}

#[test]
fn mistral_requires_an_assistant_message_after_a_tool_result() {
    let request = conversation(MISTRAL, &["abcDEF123"]).user("and?");
    check_refused(&request, ErrorKind::Unsupported);
    // At any position in the conversation.
    let request = conversation(MISTRAL, &["abcDEF123"])
        .user("and?")
        .assistant("so")
        .user("x");
    check_refused(&request, ErrorKind::Unsupported);
    let request = conversation("mistral-small-3.1-24b", &["abcDEF123"]).user("by its alias");
    check_refused(&request, ErrorKind::Unsupported);
    for endpoint in ENDPOINTS {
        send(endpoint, conversation(MISTRAL, &["abcDEF123"]));
        send(
            endpoint,
            conversation(MISTRAL, &["abcDEF123"])
                .assistant("5")
                .user("and?"),
        );
        send(endpoint, conversation(LLAMA, &["abcDEF123"]).user("and?"));
    }
}

fn schema() -> ResponseFormat {
    ResponseFormat::JsonSchema {
        name: "n".to_owned(),
        schema: Json::from(json!({ "type": "object" })),
        strict: None,
    }
}

#[test]
fn mistral_does_not_support_schemas() {
    let mut request = ChatRequest::new(MISTRAL).user("hi");
    request.response_format = Some(schema());
    check_refused(&request, ErrorKind::Unsupported);
    for endpoint in ENDPOINTS {
        let mut request = ChatRequest::new(MISTRAL).user("hi");
        request.response_format = Some(ResponseFormat::JsonObject);
        let body = send(endpoint, request).json();
        assert_eq!(body["response_format"]["type"], "json_object");
    }
}

#[test]
fn mistral_does_not_support_template_settings() {
    for endpoint in ENDPOINTS {
        let request = ChatRequest::new(MISTRAL).user("hi").extra(
            "chat_template_kwargs",
            Json::from(json!({ "enable_thinking": false })),
        );
        let wire = wire();
        let client = super::builder(&wire).endpoint(endpoint).build().unwrap();
        match block_on(&wire.clock, client.stream(request)) {
            Ok(_) => assert_eq!(wire.json().get("chat_template_kwargs"), None),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert_eq!(wire.count(), 0);
            }
        }
    }
}

fn with_tools(model: &str, tools: &[&str]) -> ChatRequest {
    let tool = |name: &&str| Tool::new(*name, Json::from(json!({ "type": "object" })));
    let mut request = ChatRequest::new(model)
        .user("hi")
        .tool_choice(ToolChoice::Required);
    request.tools = tools.iter().map(tool).collect();
    request
}

#[test]
fn glm_gets_a_required_single_tool_by_its_name() {
    let named = json!({ "type": "function", "function": { "name": "add" } });
    for endpoint in ENDPOINTS {
        let body = send(endpoint, with_tools(GLM, &["add"])).json();
        assert_eq!(body["tool_choice"], named);
        let body = send(endpoint, with_tools("glm-4.7-flash", &["add"])).json();
        assert_eq!(body["tool_choice"], named, "by its alias");
        let body = send(endpoint, with_tools(LLAMA, &["add"])).json();
        assert_eq!(body["tool_choice"], "required");
        let request = with_tools(GLM, &["add", "sub"]).tool_choice(ToolChoice::Auto);
        assert_eq!(send(endpoint, request).json()["tool_choice"], "auto");
        let request =
            with_tools(GLM, &["add", "sub"]).tool_choice(ToolChoice::Tool("add".to_owned()));
        assert_eq!(send(endpoint, request).json()["tool_choice"], named);
    }
    check_refused(&with_tools(GLM, &["add", "sub"]), ErrorKind::Unsupported);
    check_refused(&with_tools(GLM, &[]), ErrorKind::Unsupported);
}
