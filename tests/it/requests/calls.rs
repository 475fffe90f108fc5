//! Requirements of Cerebras on tool calls and their results.

use inferstream_core::{ChatRequest, ErrorKind, Json, Message, Role, Tool, ToolCall, ToolChoice};

use super::Service;

fn calls<'a>(ids: impl IntoIterator<Item = &'a str>) -> Message {
    let calls = ids.into_iter();
    calls.fold(Message::empty(Role::Assistant), |message, id| {
        message.tool_call(ToolCall::new(id, "f", "{}"))
    })
}

#[track_caller]
fn refusal(messages: Vec<Message>) -> String {
    let request = ChatRequest::from(messages);
    let error = Service::Cerebras.check(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    // Another engine may accept it.
    Service::Elsewhere.check(&request).unwrap();
    error.to_string()
}

#[test]
fn tool_results_may_follow_their_calls_in_any_order() {
    let messages = vec![
        Message::user("u"),
        calls(["a", "b"]),
        Message::tool("b", "2"),
        Message::tool("a", "1"),
        calls(["a"]),
        Message::tool("a", "3"),
        Message::assistant("4"),
    ];
    assert_eq!(Service::Cerebras.check(&messages.into()).unwrap(), []);
}

#[test]
fn a_call_without_a_result_is_refused() {
    let line = "missing response to the tool call `b`: add a tool message before message 3";
    let messages = vec![
        Message::user("u"),
        calls(["a", "b"]),
        Message::tool("a", "1"),
    ];
    assert_eq!(refusal(messages.clone()), line);
    let more = [messages, vec![Message::user("more")]].concat();
    assert_eq!(refusal(more), line);
}

#[test]
fn a_result_without_a_call_is_refused() {
    let line = |index, id| {
        format!(
            "invalid message {index}: expected the id of an open tool call directly before it, got `{id}`"
        )
    };
    assert_eq!(refusal(vec![Message::tool("a", "1")]), line(0, "a"));
    let twice = vec![
        calls(["a"]),
        Message::tool("a", "1"),
        Message::tool("a", "1"),
    ];
    assert_eq!(refusal(twice), line(2, "a"));
    let of_nobody = vec![calls(["a"]), Message::new(Role::Tool, "1")];
    assert_eq!(
        refusal(of_nobody),
        "invalid message 1: expected the id of the tool call that it responds to"
    );
    let other = vec![calls(["a"]), Message::tool("b", "1")];
    assert_eq!(refusal(other), line(1, "b"));
}

#[test]
fn two_calls_with_one_id_are_refused() {
    let line = "invalid message 0: expected different ids of its tool calls, got `a` twice";
    let messages = vec![
        calls(["a", "a"]),
        Message::tool("a", "1"),
        Message::tool("a", "2"),
    ];
    assert_eq!(refusal(messages), line);
}

#[test]
fn a_choice_of_tools_needs_tools() {
    let hi = || Service::Cerebras.hi();
    for choice in [ToolChoice::Required, ToolChoice::Tool("f".to_owned())] {
        let error = Service::Cerebras
            .check(&hi().tool_choice(choice))
            .unwrap_err();
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (
                ErrorKind::Config,
                "invalid `tool_choice`: expected a tool in `tools`, which is empty"
            )
        );
    }
    for choice in [ToolChoice::Auto, ToolChoice::None] {
        let body = Service::Cerebras.body(hi().tool_choice(choice.clone()));
        assert_eq!(body.get("tool_choice"), None);
        let tool = Tool::new("f", Json::from_text("{}"));
        let body = Service::Cerebras.body(hi().tool(tool).tool_choice(choice));
        assert!(body.get("tool_choice").is_some());
    }
}
