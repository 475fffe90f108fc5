//! Requests of both endpoints: URL, headers and body.

use http::{HeaderName, HeaderValue, Method};
use inferstream_cloudflare::{
    ChatRequest, Cloudflare, Endpoint, ErrorKind, Json, Message, Part, Provider, ResponseFormat,
    Role, Tool, ToolCall,
};
use serde_json::{Value, json};

use super::{ACCOUNT, Answer, ENDPOINTS, TOKEN, Wire, builder, client, sse, stream_of};
use crate::support::block_on;

const DEFAULT: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

pub(super) fn wire() -> Wire {
    Wire::new([stream_of(sse(&[r#"{"response":"a"}"#, "[DONE]"]))])
}

/// Sends a streaming request and returns the recorded requests.
#[track_caller]
pub(super) fn send(endpoint: Endpoint, request: impl Into<ChatRequest>) -> Wire {
    let wire = wire();
    let client = builder(&wire).endpoint(endpoint).build().unwrap();
    let stream = block_on(&wire.clock, client.stream(request)).unwrap();
    block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(wire.count(), 1);
    wire
}

/// Checks that nothing is sent on either path.
#[track_caller]
pub(super) fn check_refused(request: &ChatRequest, kind: ErrorKind) {
    for endpoint in ENDPOINTS {
        let wire = wire();
        let client = builder(&wire).endpoint(endpoint).build().unwrap();
        let error = block_on(&wire.clock, client.stream(request.clone())).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!((wire.count(), error.attempts()), (0, 0), "{error}");
    }
}

/// Checks the path of a model's request below the account.
#[track_caller]
fn check_place(endpoint: Endpoint, model: &str, place: &str) {
    let wire = send(endpoint, ChatRequest::new(model).user("hi"));
    let url = format!("https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai{place}");
    assert_eq!(wire.request().uri().to_string(), url);
    assert_eq!(wire.request().method(), Method::POST);
}

#[test]
fn the_name_of_a_model_is_not_encoded_in_its_path() {
    for model in [
        DEFAULT,
        "@hf/thebloke/zephyr-7b-beta-awq",
        "@cf/openai/gpt-oss-120b",
    ] {
        check_place(Endpoint::Native, model, &format!("/run/{model}"));
        check_place(Endpoint::OpenAi, model, "/v1/chat/completions");
    }
}

#[test]
fn the_model_selects_the_path_by_default() {
    for model in [
        "@cf/meta/llama-2-7b-chat-int8",
        "@cf/google/gemma-2b-it-lora",
    ] {
        check_place(Endpoint::ByModel, model, &format!("/run/{model}"));
    }
    for model in [
        "@cf/google/gemma-4-26b-a4b-it",
        "@cf/openai/gpt-oss-120b",
        "@cf/moonshotai/kimi-k2.6",
    ] {
        check_place(Endpoint::ByModel, model, "/v1/chat/completions");
    }
}

#[test]
fn a_model_name_that_is_invalid_in_a_path_is_not_sent() {
    for model in [
        "@cf/../../../accounts",
        "@cf/a/..",
        "@cf/a?x=1",
        "@cf/a#b",
        "@cf/a b",
        "@cf//b",
        "/@cf/a/b",
        "@cf/a/b/",
        "@cf/é/b",
        "@cf/a\r\nx: y",
        "@cf/a%2e%2e",
    ] {
        let request = ChatRequest::new(model).user("hi");
        let wire = wire();
        let client = builder(&wire).endpoint(Endpoint::Native).build().unwrap();
        let result = block_on(&wire.clock, client.stream(request));
        assert!(result.is_err(), "{model}");
        assert_eq!(wire.count(), 0, "{model}");
    }
}

#[test]
fn the_default_model_is_the_one_of_gpt4free() {
    assert_eq!(client(&wire()).info().default_model(), Some(DEFAULT));
    assert_eq!(send(Endpoint::OpenAi, "hi").json()["model"], DEFAULT);
    let url = send(Endpoint::Native, "hi").request().uri().to_string();
    assert!(url.ends_with(&format!("/ai/run/{DEFAULT}")), "{url}");
}

#[test]
fn the_key_is_a_bearer_and_marked() {
    for endpoint in ENDPOINTS {
        let request = send(endpoint, "hi").request();
        let headers = request.headers();
        let key = &headers["authorization"];
        assert_eq!(key, &format!("Bearer {TOKEN}"));
        assert!(key.is_sensitive());
        assert_eq!(headers["content-type"], "application/json");
        assert!(!headers.contains_key("x-auth-key"));
        assert!(!headers.contains_key("x-auth-email"));
        assert!(!headers.contains_key("cf-aig-authorization"));
    }
}

#[test]
fn the_older_credentials_have_their_own_headers() {
    let wire = wire();
    let client = Cloudflare::builder()
        .account_id(ACCOUNT)
        .api_token("dropped")
        .api_key(" who@mail.test ", " 0lder-key ")
        .transport(wire.clone())
        .build()
        .unwrap();
    drop(block_on(&wire.clock, client.stream("hi")).unwrap());
    let request = wire.request();
    let headers = request.headers();
    assert_eq!(headers["x-auth-email"], "who@mail.test");
    assert_eq!(headers["x-auth-key"], "0lder-key");
    assert!(headers["x-auth-key"].is_sensitive());
    assert!(!headers.contains_key("authorization"));
}

#[test]
fn a_gateway_has_its_own_place_and_key() {
    for (endpoint, place) in [
        (Endpoint::Native, format!("/{DEFAULT}")),
        (Endpoint::OpenAi, "/v1/chat/completions".to_owned()),
    ] {
        let wire = wire();
        let client = builder(&wire)
            .gateway("my-gw_1")
            .gateway_token(" g4te ")
            .endpoint(endpoint)
            .build()
            .unwrap();
        drop(block_on(&wire.clock, client.stream("hi")).unwrap());
        let request = wire.request();
        let url =
            format!("https://gateway.ai.cloudflare.com/v1/{ACCOUNT}/my-gw_1/workers-ai{place}");
        assert_eq!(request.uri().to_string(), url);
        let headers = request.headers();
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
        assert_eq!(headers["cf-aig-authorization"], "Bearer g4te");
        assert!(headers["cf-aig-authorization"].is_sensitive());
    }
}

#[test]
fn the_caller_may_set_another_base_url() {
    for base in [
        "http://127.0.0.1:8080/client/v4",
        "http://127.0.0.1:8080/client/v4/",
    ] {
        let wire = wire();
        let client = builder(&wire)
            .base_url(base)
            .endpoint(Endpoint::OpenAi)
            .build()
            .unwrap();
        drop(block_on(&wire.clock, client.stream("hi")).unwrap());
        let url =
            format!("http://127.0.0.1:8080/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions");
        assert_eq!(wire.request().uri().to_string(), url);
    }
    let wire = wire();
    let client = builder(&wire)
        .base_url("https://gw.test/x")
        .gateway("g")
        .endpoint(Endpoint::Native);
    drop(block_on(&wire.clock, client.build().unwrap().stream("hi")).unwrap());
    let url = format!("https://gw.test/x/{ACCOUNT}/g/workers-ai/{DEFAULT}");
    assert_eq!(wire.request().uri().to_string(), url);
}

#[test]
fn invalid_settings_are_refused_before_anything_is_sent() {
    let check = |change: fn(
        inferstream_cloudflare::CloudflareBuilder,
    ) -> inferstream_cloudflare::CloudflareBuilder| {
        let error = change(builder(&wire())).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    };
    check(|builder| builder.account_id(""));
    check(|builder| builder.account_id("../zones"));
    check(|builder| builder.account_id("a/b"));
    check(|builder| builder.account_id("a%2fb"));
    check(|builder| builder.account_id("a?b"));
    check(|builder| builder.account_id("é"));
    check(|builder| builder.api_token("s3cret\r\nx: y"));
    check(|builder| builder.api_token(""));
    check(|builder| builder.api_key("a@b.test\r\nx: y", "s3cret"));
    check(|builder| builder.api_key("a@b.test", "s3cret\0"));
    check(|builder| builder.gateway(""));
    check(|builder| builder.gateway("a/../b"));
    check(|builder| builder.gateway("a b"));
    check(|builder| builder.gateway("g").gateway_token("s3cret\n2"));
    check(|builder| builder.base_url("no url, s3cret"));
    check(|builder| builder.base_url("ftp://s3cret.test"));
    let name = HeaderName::from_static("content-length");
    let error = builder(&wire())
        .header(name, HeaderValue::from_static("1"))
        .build();
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Config);
    let error = Cloudflare::builder()
        .api_token(TOKEN)
        .transport(wire())
        .build();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(
        error.to_string().contains("CLOUDFLARE_ACCOUNT_ID"),
        "{error}"
    );
}

#[test]
fn without_a_key_nothing_is_sent() {
    let wire = wire();
    let builder = Cloudflare::builder()
        .account_id(ACCOUNT)
        .transport(wire.clone());
    let client = builder.build().unwrap();
    let mut errors = vec![
        block_on(&wire.clock, client.stream("hi")).unwrap_err(),
        block_on(&wire.clock, client.chat("hi")).unwrap_err(),
        block_on(&wire.clock, client.models()).unwrap_err(),
        block_on(&wire.clock, client.search("llama")).unwrap_err(),
    ];
    errors.push(block_on(&wire.clock, client.schema(DEFAULT)).unwrap_err());
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        let line = error.to_string();
        assert!(line.contains("CLOUDFLARE_API_TOKEN"), "{line}");
        assert!(
            line.contains("https://"),
            "the page to create a token: {line}"
        );
    }
    assert_eq!(wire.count(), 0);
}

#[test]
fn a_minimal_request_has_a_token_limit() {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let body = send(Endpoint::OpenAi, "hi").json();
    assert_eq!(body["model"], DEFAULT);
    assert_eq!(body["messages"], messages);
    assert_eq!(body["stream"], true);
    assert_eq!(body["max_tokens"], 2048);
    let body = send(Endpoint::Native, "hi").json();
    assert_eq!(body.get("model"), None, "it is in the path");
    assert_eq!(body["messages"], messages);
    assert_eq!(body["stream"], true);
    assert_eq!(body["max_tokens"], 2048);
}

#[test]
fn the_token_limit_of_the_caller_replaces_the_default() {
    for endpoint in ENDPOINTS {
        let body = send(endpoint, ChatRequest::from("hi").max_tokens(7)).json();
        assert_eq!(body["max_tokens"], 7);
        let wire = send(endpoint, ChatRequest::from("hi").extra("max_tokens", 9));
        assert_eq!(wire.json()["max_tokens"], 9);
        assert_eq!(wire.text().matches("max_tokens").count(), 1);
        let body = send(
            endpoint,
            ChatRequest::from("hi").extra("max_completion_tokens", 9),
        )
        .json();
        assert_eq!(body["max_completion_tokens"], 9);
        assert_eq!(body.get("max_tokens"), None, "only one limit is sent");
    }
}

#[test]
fn each_setting_is_a_member() {
    for endpoint in ENDPOINTS {
        let request = ChatRequest::from("hi")
            .temperature(0.5)
            .top_p(0.25)
            .seed(7)
            .frequency_penalty(-1.5)
            .presence_penalty(1.5)
            .reasoning_effort("low")
            .extra("top_k", 40)
            .extra("repetition_penalty", 1.1)
            .extra("lora", "mine")
            .extra("raw", true);
        let body = send(endpoint, request).json();
        for (name, value) in [
            ("temperature", json!(0.5)),
            ("top_p", json!(0.25)),
            ("seed", json!(7)),
            ("frequency_penalty", json!(-1.5)),
            ("presence_penalty", json!(1.5)),
            ("reasoning_effort", json!("low")),
            ("top_k", json!(40)),
            ("repetition_penalty", json!(1.1)),
            ("lora", json!("mine")),
            ("raw", json!(true)),
        ] {
            assert_eq!(body[name], value, "{name}");
        }
    }
}

#[test]
fn headers_of_the_request_are_sent() {
    for endpoint in ENDPOINTS {
        let name = HeaderName::from_static("x-session-affinity");
        let request = ChatRequest::from("hi").header(name.clone(), HeaderValue::from_static("ses"));
        assert_eq!(send(endpoint, request).request().headers()[&name], "ses");
    }
}

#[test]
fn content_is_never_null() {
    for endpoint in ENDPOINTS {
        let call = ToolCall::new("abcDEF123", "add", "{}");
        let request = ChatRequest::new(DEFAULT)
            .user("hi")
            .message(Message::empty(Role::Assistant).tool_call(call))
            .message(Message::tool("abcDEF123", "5"));
        let body = send(endpoint, request).json();
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages[1]["content"], "");
        assert_eq!(messages[1]["tool_calls"][0]["id"], "abcDEF123");
        assert_eq!(messages[2]["tool_call_id"], "abcDEF123");
        for message in messages {
            assert!(message["content"].is_string(), "{message}");
        }
    }
}

#[test]
fn tools_are_sent_by_either_path() {
    for endpoint in ENDPOINTS {
        let parameters = json!({ "type": "object", "properties": {} });
        let tool = Tool::new("add", Json::from(parameters.clone())).description("adds");
        let body = send(endpoint, ChatRequest::from("hi").tool(tool)).json();
        let tool = &body["tools"][0];
        // The service accepts the flat format and the OpenAI-compatible one.
        let tool = tool.get("function").unwrap_or(tool);
        assert_eq!(tool["name"], "add");
        assert_eq!(tool["description"], "adds");
        assert_eq!(tool["parameters"], parameters);
    }
}

#[test]
fn a_response_format_is_sent() {
    let schema = json!({ "type": "object", "required": ["a"] });
    for endpoint in ENDPOINTS {
        let mut request = ChatRequest::from("hi");
        request.response_format = Some(ResponseFormat::JsonObject);
        let body = send(endpoint, request).json();
        assert_eq!(body["response_format"], json!({ "type": "json_object" }));
        let mut request = ChatRequest::from("hi");
        request.response_format = Some(ResponseFormat::JsonSchema {
            name: "n".to_owned(),
            schema: Json::from(schema.clone()),
            strict: Some(true),
        });
        let body = send(endpoint, request).json();
        let format = &body["response_format"];
        assert_eq!(format["type"], "json_schema");
        let inner = &format["json_schema"];
        assert_eq!(inner.get("schema").unwrap_or(inner), &schema);
    }
}

#[test]
fn images_are_sent_as_data() {
    let with = |part: Part| ChatRequest::new("@cf/meta/llama-3.2-11b-vision-instruct").user(part);
    for url in [
        "https://a.test/b.png",
        "http://a.test/b.png",
        "file:///etc/passwd",
        "b.png",
        "",
    ] {
        check_refused(&with(Part::image_url(url)), ErrorKind::Unsupported);
    }
    for part in [
        Part::image("image/png", *b"\x00\xFFabc"),
        Part::image_url("data:image/png;base64,AP9hYmM="),
    ] {
        for endpoint in ENDPOINTS {
            let body = send(endpoint, with(part.clone())).json();
            let part = &body["messages"][0]["content"][0];
            assert_eq!(part["image_url"]["url"], "data:image/png;base64,AP9hYmM=");
        }
    }
}

#[test]
fn several_choices_are_not_supported() {
    check_refused(&ChatRequest::from("hi").n(2), ErrorKind::Unsupported);
    for endpoint in ENDPOINTS {
        send(endpoint, ChatRequest::from("hi").n(1));
    }
}

#[test]
fn a_request_without_messages_is_refused() {
    check_refused(&ChatRequest::new(DEFAULT), ErrorKind::Config);
}

/// gpt4free's model names and those of the service.
const ALIASES: &str = "deepseek-coder-6.7b→@hf/thebloke/deepseek-coder-6.7b-instruct-awq; deepseek-coder-6.7b-base→@hf/thebloke/deepseek-coder-6.7b-base-awq;
deepseek-distill-qwen-32b→@cf/deepseek-ai/deepseek-r1-distill-qwen-32b; deepseek-math-7b→@cf/deepseek-ai/deepseek-math-7b-instruct;
discolm-german-7b-v1→@cf/thebloke/discolm-german-7b-v1-awq; falcon-7b→@cf/tiiuae/falcon-7b-instruct; gemma-2b-lora→@cf/google/gemma-2b-it-lora;
gemma-3-12b→@cf/google/gemma-3-12b-it; gemma-4-26b-a4b-it→@cf/google/gemma-4-26b-a4b-it; gemma-7b→@hf/google/gemma-7b-it;
gemma-7b-it-lora→@cf/google/gemma-7b-it-lora; gemma-sea-lion-v4-27b→@cf/aisingapore/gemma-sea-lion-v4-27b-it; glm-4.7-flash→@cf/zai-org/glm-4.7-flash;
glm-5.2→@cf/zai-org/glm-5.2; gpt-oss-120b→@cf/openai/gpt-oss-120b; gpt-oss-20b→@cf/openai/gpt-oss-20b; granite-4.0-h-micro→@cf/ibm-granite/granite-4.0-h-micro;
hermes-2-pro-mistral-7b→@hf/nousresearch/hermes-2-pro-mistral-7b; kimi-k2.6→@cf/moonshotai/kimi-k2.6; kimi-k2.7-code→@cf/moonshotai/kimi-k2.7-code;
llama-2-13b→@hf/thebloke/llama-2-13b-chat-awq; llama-2-7b→@cf/meta/llama-2-7b-chat-int8; llama-2-7b-fp16→@cf/meta/llama-2-7b-chat-fp16;
llama-2-7b-lora→@cf/meta-llama/llama-2-7b-chat-hf-lora; llama-3-8b→@hf/meta-llama/meta-llama-3-8b-instruct; llama-3.1-8b→@cf/meta/llama-3.1-8b-instruct-fp8;
llama-3.2-11b-vision→@cf/meta/llama-3.2-11b-vision-instruct; llama-3.2-1b→@cf/meta/llama-3.2-1b-instruct; llama-3.2-3b→@cf/meta/llama-3.2-3b-instruct;
llama-3.3-70b→@cf/meta/llama-3.3-70b-instruct-fp8-fast; llama-4-scout→@cf/meta/llama-4-scout-17b-16e-instruct; llama-guard-3-8b→@cf/meta/llama-guard-3-8b;
llamaguard-7b→@hf/thebloke/llamaguard-7b-awq; mistral-7b-v0.1→@hf/thebloke/mistral-7b-instruct-v0.1-awq; mistral-7b-v0.2→@hf/mistral/mistral-7b-instruct-v0.2;
mistral-7b-v0.2-lora→@cf/mistral/mistral-7b-instruct-v0.2-lora; mistral-small-3.1-24b→@cf/mistralai/mistral-small-3.1-24b-instruct;
nemotron-3-120b→@cf/nvidia/nemotron-3-120b-a12b; neural-7b-v3-1→@hf/thebloke/neural-chat-7b-v3-1-awq; openchat-3.5-0106→@cf/openchat/openchat-3.5-0106;
openhermes-2.5-mistral-7b→@hf/thebloke/openhermes-2.5-mistral-7b-awq; phi-2→@cf/microsoft/phi-2; qwen-1.5-1.8b→@cf/qwen/qwen1.5-1.8b-chat;
qwen-1.5-14b→@cf/qwen/qwen1.5-14b-chat-awq; qwen-1.5-7b→@cf/qwen/qwen1.5-7b-chat-awq; qwen-2.5-coder-32b→@cf/qwen/qwen2.5-coder-32b-instruct;
qwen1.5-0.5b→@cf/qwen/qwen1.5-0.5b-chat; qwen3-30b-a3b→@cf/qwen/qwen3-30b-a3b-fp8; qwq-32b→@cf/qwen/qwq-32b; sqlcoder-7b-2→@cf/defog/sqlcoder-7b-2;
starling-lm-7b-beta→@hf/nexusflow/starling-lm-7b-beta; tinyllama-1.1b-v1.0→@cf/tinyllama/tinyllama-1.1b-chat-v1.0;
una-cybertron-7b-v2-bf16→@cf/fblgit/una-cybertron-7b-v2-bf16; zephyr-7b-beta→@hf/thebloke/zephyr-7b-beta-awq";

#[test]
fn the_model_aliases_of_gpt4free_are_known() {
    let table: Vec<_> = ALIASES
        .split(';')
        .map(|pair| pair.trim().split_once('→').unwrap())
        .collect();
    let wire = wire();
    let client = client(&wire);
    for (alias, id) in &table {
        assert_eq!(client.info().resolve(alias), *id, "{alias}");
    }
    let body = send(
        Endpoint::OpenAi,
        ChatRequest::new("gpt-oss-120b").user("hi"),
    )
    .json();
    assert_eq!(body["model"], "@cf/openai/gpt-oss-120b");
    let url = send(Endpoint::Native, ChatRequest::new("llama-2-7b").user("hi"));
    let url = url.request().uri().to_string();
    assert!(
        url.ends_with("/ai/run/@cf/meta/llama-2-7b-chat-int8"),
        "{url}"
    );
    // Unknown names are sent unchanged.
    let body = send(
        Endpoint::OpenAi,
        ChatRequest::new("@cf/new/model").user("hi"),
    )
    .json();
    assert_eq!(body["model"], "@cf/new/model");
}

#[test]
fn the_client_is_a_provider() {
    let wire = Wire::new([Answer::json(
        200,
        r#"{"result":{"response":"a"},"success":true}"#,
    )]);
    let client = client(&wire);
    let provider: &dyn Provider = &client;
    let response = block_on(&wire.clock, provider.chat("hi".into())).unwrap();
    assert_eq!(response.text(), "a");
    assert_eq!(provider.info().id, "cloudflare");
    assert!(!provider.info().label.is_empty());
    let known: Vec<Value> = provider
        .known_models()
        .iter()
        .map(|model| json!(model.id))
        .collect();
    assert!(known.contains(&json!(DEFAULT)), "{known:?}");
}
