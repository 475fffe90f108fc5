//! The differences between dialects in a request.

use std::sync::LazyLock;

use inferstream_core::{
    ChatRequest, ErrorKind, Field, Json, Message, Provider as _, ProviderInfo, ResponseFormat,
    Tool, ToolChoice,
};
use inferstream_openai_compat::Dialect;
use serde_json::json;

use super::{
    Client, chat_of,
    requests::{new, send, wire},
};
use crate::support::block_on;

/// A dialect that does not support seeds, and does not request usage.
#[derive(Debug)]
struct Narrow;

impl Dialect for Narrow {
    fn info(&self) -> &ProviderInfo {
        static INFO: LazyLock<ProviderInfo> =
            LazyLock::new(|| ProviderInfo::new("narrow", "Narrow", "https://narrow.test"));
        &INFO
    }

    fn asks_for_usage(&self) -> bool {
        false
    }

    fn knows_field(&self, field: Field) -> bool {
        field != Field::Seed
    }

    fn reasoning_field(&self) -> Option<&'static str> {
        Some("my_reasoning")
    }
}

#[test]
fn a_dialect_decides_which_fields_are_sent() {
    let wire = wire();
    let chat = chat_of(Narrow, &wire);
    let ask = |request: ChatRequest| block_on(&wire.clock, chat.stream(request));
    let error = ask(new().user("hi").seed(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("seed"), "{error}");
    // It has no default model, either.
    let error = ask(ChatRequest::from("hi")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(wire.count(), 0);

    let message = Message::assistant("a").reasoning("b");
    drop(ask(new().message(message).extra("seed", 1)).unwrap());
    let expected = json!({
        "model": "m",
        "messages": [{ "role": "assistant", "content": "a", "my_reasoning": "b" }],
        "stream": true,
        "seed": 1,
    });
    assert_eq!(wire.json(), expected);
}

#[test]
fn the_dialect_of_cerebras_covers_every_setting() {
    // Cerebras' documented fields and no others: it refuses an unknown field with 422.
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
