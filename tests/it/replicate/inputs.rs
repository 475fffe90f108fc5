//! The inputs of a prediction for each family of models, and rejected requests.

use inferstream_core::{
    ChatRequest, ErrorKind, Json, Message, Part, ResponseFormat, Role, Tool, ToolChoice,
};
use inferstream_replicate::{Images, Inputs};
use serde_json::{Value, json};

use super::{Outcome, builder, client, healthy, run_with};

const LLAMA_2: &str = "meta/llama-2-70b-chat";
const LLAMA_3: &str = "meta/meta-llama-3-8b-instruct";
const OPENAI: &str = "openai/gpt-5";
const CLAUDE: &str = "anthropic/claude-3.7-sonnet";
const VICUNA: &str = "replicate/vicuna-13b";

/// Returns the inputs for a request.
#[track_caller]
fn input(request: ChatRequest) -> Value {
    let service = healthy(&["a"]).serve();
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(outcome.kind(), None, "{:?}", outcome.end);
    service.created()["input"].clone()
}

/// Returns the error of a request that is refused before anything is sent.
#[track_caller]
fn refused(request: ChatRequest) -> Outcome {
    let service = healthy(&["a"]).serve();
    let outcome = run_with(&service, &client(&service), request);
    assert_eq!(service.all().len(), 0, "{:?}", outcome.end);
    let kinds = [Some(ErrorKind::Unsupported), Some(ErrorKind::Config)];
    assert!(kinds.contains(&outcome.kind()), "{:?}", outcome.end);
    outcome
}

/// A version of a community model.
fn version(model: &str) -> String {
    format!("{model}:{}", "0123456789abcdef".repeat(4))
}

fn asks(model: &str) -> ChatRequest {
    ChatRequest::new(model)
        .system("Be brief.")
        .user("hi")
        .temperature(0.5)
        .top_p(0.25)
        .max_tokens(2000)
        .seed(7)
        .stop(["END", "\n\n"])
}

#[test]
fn llama_2_uses_max_new_tokens() {
    for model in [LLAMA_2.to_owned(), version(LLAMA_2)] {
        assert_eq!(
            input(asks(&model)),
            json!({
                "prompt": "hi",
                "system_prompt": "Be brief.",
                "temperature": 0.5,
                "top_p": 0.25,
                "max_new_tokens": 2000,
                "seed": 7,
                "stop_sequences": "END,\n\n",
            }),
            "{model}"
        );
    }
}

#[test]
fn llama_3_uses_max_tokens_and_penalties() {
    let request = asks(LLAMA_3).presence_penalty(0.5).frequency_penalty(-0.5);
    assert_eq!(
        input(request),
        json!({
            "prompt": "hi",
            "system_prompt": "Be brief.",
            "temperature": 0.5,
            "top_p": 0.25,
            "max_tokens": 2000,
            "seed": 7,
            "stop_sequences": "END,\n\n",
            "presence_penalty": 0.5,
            "frequency_penalty": -0.5,
        })
    );
}

#[test]
fn an_unknown_model_uses_the_inputs_of_llama_3() {
    let found = input(asks("acme/unheard-of"));
    assert_eq!(found["max_tokens"], json!(2000));
    assert_eq!(found["system_prompt"], json!("Be brief."));
}

#[test]
fn top_k_is_sent_to_models_that_have_it() {
    for model in [LLAMA_2, LLAMA_3, "acme/unheard-of"] {
        let request = ChatRequest::new(model).user("hi").top_k(50);
        assert_eq!(input(request)["top_k"], json!(50), "{model}");
    }
    for model in [CLAUDE, OPENAI] {
        refused(ChatRequest::new(model).user("hi").top_k(50));
    }
}

#[test]
fn openai_accepts_messages() {
    let request = ChatRequest::new(OPENAI)
        .system("Be brief.")
        .user("one")
        .assistant("two")
        .user("three")
        .max_tokens(99)
        .reasoning_effort("low");
    let found = input(request);
    assert_eq!(found["max_completion_tokens"], json!(99));
    assert_eq!(found["reasoning_effort"], json!("low"));
    for absent in ["max_tokens", "max_new_tokens", "temperature"] {
        assert_eq!(found.get(absent), None, "{absent}");
    }
    // "messages (list/JSON string; overrides both)".
    let messages = match &found["messages"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        list => list.clone(),
    };
    let listed: Vec<_> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            let text = |name: &str| message[name].as_str().unwrap().to_owned();
            (text("role"), text("content"))
        })
        .collect();
    let expected = [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ];
    let expected = expected.map(|(role, content)| (role.to_owned(), content.to_owned()));
    let without_system = listed == expected[1..] && found["system_prompt"] == json!("Be brief.");
    assert!(listed == expected || without_system, "{found}");
}

#[test]
fn claude_requires_at_least_1024_tokens() {
    let found = input(
        ChatRequest::new(CLAUDE)
            .system("s")
            .user("hi")
            .max_tokens(4096),
    );
    assert_eq!(
        found,
        json!({"prompt": "hi", "system_prompt": "s", "max_tokens": 4096})
    );
    let found = input(ChatRequest::new(CLAUDE).user("hi").max_tokens(1024));
    assert_eq!(found["max_tokens"], json!(1024));
    let service = healthy(&["a"]).serve();
    let request = ChatRequest::new(CLAUDE).user("hi").max_tokens(100);
    let outcome = run_with(&service, &client(&service), request);
    if outcome.kind().is_none() {
        // A limit below the model's minimum is raised, with a warning.
        assert_eq!(service.created()["input"]["max_tokens"], json!(1024));
        let warnings = outcome.meta().warnings.join(" ");
        assert!(warnings.contains("1024"), "{warnings}");
    } else {
        assert_eq!(service.all().len(), 0);
        assert!(outcome.error().to_string().contains("1024"));
    }
    assert_eq!(
        input(ChatRequest::new(CLAUDE).user("hi")),
        json!({"prompt": "hi"})
    );
}

#[test]
fn vicuna_has_a_length_and_no_system_prompt() {
    let found = input(
        ChatRequest::new(version(VICUNA))
            .system("Be brief.")
            .user("hi")
            .max_tokens(50),
    );
    assert_eq!(
        found,
        json!({"prompt": "System: Be brief.\nUser: hi\nAssistant:", "max_length": 50})
    );
}

#[test]
fn unset_settings_are_not_sent() {
    assert_eq!(
        input(ChatRequest::new(LLAMA_3).user("hi")),
        json!({"prompt": "hi"})
    );
}

#[test]
fn a_single_message_is_the_unchanged_prompt() {
    for text in [
        "hi",
        "  spaces  ",
        "\n",
        "User: x",
        "😀",
        "{\"a\":1}",
        "a\u{0}b",
    ] {
        let found = input(ChatRequest::new(LLAMA_3).user(text));
        assert_eq!(found["prompt"], json!(text), "{text:?}");
    }
}

#[test]
fn several_messages_become_lines() {
    let found = input(
        ChatRequest::new(LLAMA_3)
            .user("one")
            .assistant("two")
            .user("three\nfour"),
    );
    let prompt = "User: one\nAssistant: two\nUser: three\nfour\nAssistant:";
    assert_eq!(found, json!({ "prompt": prompt }));
    // Empty messages are skipped.
    let found = input(
        ChatRequest::new(LLAMA_3)
            .user("one")
            .assistant("")
            .user("two")
            .assistant("  "),
    );
    assert_eq!(found["prompt"], json!("User: one\nUser: two\nAssistant:"));
    let found = input(
        ChatRequest::new(LLAMA_3)
            .system("s")
            .user("one")
            .assistant("two")
            .user("three"),
    );
    let prompt = "User: one\nAssistant: two\nUser: three\nAssistant:";
    assert_eq!(found, json!({ "prompt": prompt, "system_prompt": "s" }));
}

#[test]
fn a_message_of_several_parts_is_one_text() {
    let message = Message::user("one ").part("two");
    let found = input(ChatRequest::new(LLAMA_3).message(message));
    assert_eq!(found["prompt"], json!("one two"));
}

#[test]
fn stop_sequences_are_joined_with_commas() {
    let found = input(
        ChatRequest::new(LLAMA_3)
            .user("hi")
            .stop(["a", "b c", "\n"]),
    );
    assert_eq!(found["stop_sequences"], json!("a,b c,\n"));
    let outcome = refused(ChatRequest::new(LLAMA_3).user("hi").stop(["fine", "a,b"]));
    let line = outcome.error().to_string();
    assert!(line.contains("comma"), "the reason is shown: {line}");
    refused(ChatRequest::new(LLAMA_3).user("hi").stop([","]));
}

#[test]
fn unsupported_content_is_refused() {
    let tool = Tool::new("f", Json::from_text(r#"{"type":"object"}"#));
    let schema = ResponseFormat::JsonObject;
    for model in [LLAMA_2, LLAMA_3, CLAUDE, OPENAI] {
        let request = || ChatRequest::new(model).user("hi");
        refused(request().tool(tool.clone()));
        refused(request().n(2));
        refused(request().response_format(schema.clone()));
        assert_eq!(input(request().n(1))["prompt"].is_null(), model == OPENAI);
    }
    let request = ChatRequest::new(LLAMA_3)
        .user("hi")
        .tool_choice(ToolChoice::Required);
    refused(request);
    let mut message = Message::tool("call-1", "42");
    message.role = Role::Tool;
    refused(ChatRequest::new(LLAMA_3).user("hi").message(message));
}

#[test]
fn invalid_numbers_are_rejected() {
    let request = || ChatRequest::new(LLAMA_3).user("hi");
    for request in [
        request().temperature(f64::NAN),
        request().top_p(f64::INFINITY),
        request().max_tokens(0),
        request().n(0),
        ChatRequest::new(LLAMA_3),
    ] {
        let outcome = refused(request);
        assert_eq!(outcome.kind(), Some(ErrorKind::Config));
    }
}

#[test]
fn images_are_sent_in_the_input_of_the_model() {
    let url = "https://example.com/a.png";
    let message = |images: usize| {
        let mut message = Message::user("look");
        for _ in 0..images {
            message = message.part(Part::image_url(url));
        }
        message
    };
    let found = input(ChatRequest::new(CLAUDE).message(message(1)));
    assert_eq!(found, json!({"prompt": "look", "image": url}));
    let found = input(ChatRequest::new(OPENAI).message(message(2)));
    assert_eq!(found["image_input"], json!([url, url]));
    assert_eq!(found["image_input"].as_array().unwrap().len(), 2);
    let outcome = refused(ChatRequest::new(CLAUDE).message(message(2)));
    assert_eq!(outcome.kind(), Some(ErrorKind::Unsupported));
    let outcome = refused(ChatRequest::new(LLAMA_3).message(message(1)));
    assert_eq!(outcome.kind(), Some(ErrorKind::Unsupported));

    let bytes = Message::user("look").part(Part::image("image/png", *b"\x89PNG"));
    let found = input(ChatRequest::new(CLAUDE).message(bytes));
    assert_eq!(found["image"], json!("data:image/png;base64,iVBORw=="));
}

#[test]
fn members_of_extra_take_precedence() {
    let request = asks(LLAMA_3)
        .extra("temperature", 0.75)
        .extra("max_tokens", 5_u64)
        .extra("top_k", 50_u64)
        .extra("prompt", "another")
        .extra("system_prompt", "other")
        .extra("stop_sequences", "a,b")
        .extra("debug", true);
    assert_eq!(
        input(request),
        json!({
            "prompt": "another",
            "system_prompt": "other",
            "temperature": 0.75,
            "top_p": 0.25,
            "max_tokens": 5,
            "seed": 7,
            "stop_sequences": "a,b",
            "top_k": 50,
            "debug": true,
        })
    );
    let request = ChatRequest::new(LLAMA_3).extra("prompt", "alone");
    assert_eq!(input(request), json!({"prompt": "alone"}));
    let request = ChatRequest::new(LLAMA_3)
        .user("hi")
        .extra("top_k", 1_u64)
        .extra("top_k", 2_u64);
    assert_eq!(input(request)["top_k"], json!(2), "the last value counts");
}

#[test]
fn a_raw_input_is_the_complete_input() {
    let raw = r#"{"text":"x","nested":{"a":[1,null,"é"]},"big":12345678901234567890}"#;
    let request = asks(LLAMA_3).extra("input", Json::from_text(raw));
    let expected: Value = serde_json::from_str(raw).unwrap();
    assert_eq!(input(request), expected);
    let request = ChatRequest::new(LLAMA_3).extra("input", Json::from_text(raw));
    assert_eq!(input(request), expected, "no message is needed");
}

#[test]
fn the_names_of_inputs_may_be_set() {
    let service = healthy(&["a"]).serve();
    let own = Inputs::LLAMA_3
        .max_tokens("limit")
        .system_prompt(Some("preamble"))
        .images(Images::List("pictures"));
    let client = builder(&service)
        .inputs("acme/", Inputs::VICUNA)
        .inputs("acme/big-", own)
        .build()
        .unwrap();
    let message = Message::user("hi").part(Part::image_url("https://example.com/a.png"));
    let request = ChatRequest::new("acme/big-7b")
        .system("s")
        .message(message)
        .max_tokens(9);
    run_with(&service, &client, request);
    assert_eq!(
        service.created()["input"],
        json!({
            "prompt": "hi",
            "preamble": "s",
            "limit": 9,
            "pictures": ["https://example.com/a.png"],
        })
    );
}

#[test]
fn numbers_keep_their_value() {
    let found = input(
        ChatRequest::new(LLAMA_3)
            .user("hi")
            .seed(-9_223_372_036_854_775_808)
            .max_tokens(u64::MAX)
            .temperature(1.0),
    );
    assert_eq!(found["seed"], json!(i64::MIN));
    assert_eq!(found["max_tokens"], json!(u64::MAX));
    assert_eq!(found["temperature"].as_f64(), Some(1.0));
}
