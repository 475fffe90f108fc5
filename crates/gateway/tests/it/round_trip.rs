//! Requests that the gateway reads and our client of the protocol sends: the same JSON arrives.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, StatusCode};
use inferstream::{Hub, openai_compat::Compatible};
use inferstream_gateway::{Config, Gateway};
use inferstream_test::{Reply, ScriptedTransport};
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};
use tower_service::Service as _;

const DOCUMENT: &str = r#"{"id":"x","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}]}"#;

/// A gateway before a service that records the body of the last request.
struct Recorder {
    router: Router,
    body: Arc<Mutex<Bytes>>,
}

impl Recorder {
    fn start() -> Self {
        let body = Arc::new(Mutex::new(Bytes::new()));
        let last = Arc::clone(&body);
        let transport = ScriptedTransport::by(move |request, _| {
            last.lock().unwrap().clone_from(request.body());
            Reply::json(200, DOCUMENT)
        });
        let provider = Compatible::new("http://127.0.0.1/v1").transport(transport);
        let hub = Hub::new().with_name("local", Arc::new(provider.build().unwrap()));
        let gateway = Gateway::new(hub, Config::default()).unwrap();
        let router = gateway.router();
        Self { router, body }
    }

    /// Sends a request, and returns what arrives.
    fn send(&self, request: &Value) -> Value {
        self.body.lock().unwrap().clear();
        let http = Request::post("/v1/chat/completions")
            .header("host", "localhost")
            .body(Body::from(request.to_string()))
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let mut router = self.router.clone();
        // A router is always ready.
        let response = runtime.block_on(router.call(http)).unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{request}");
        let body = self.body.lock().unwrap().clone();
        serde_json::from_slice(&body).unwrap()
    }

    #[track_caller]
    fn check(&self, request: &Value) {
        let mut arrived = self.send(request);
        as_floats(&mut arrived);
        assert_eq!(arrived, expected(request), "{request}");
    }
}

/// Returns a request as it must arrive. Two forms of the same request are one here; there is no other
/// difference.
fn expected(request: &Value) -> Value {
    let mut members = Map::new();
    for (name, value) in request.as_object().unwrap() {
        let value = match name.as_str() {
            "model" => json!(value.as_str().unwrap().strip_prefix("local/").unwrap()),
            "messages" => value.as_array().unwrap().iter().map(message).collect(),
            "stop" if value.is_string() => json!([value]),
            "tools" => value.as_array().unwrap().iter().map(tool).collect(),
            _ => value.clone(),
        };
        // The older name, which every service knows; the newer one wins.
        let (name, is_newer) = match name.as_str() {
            "max_completion_tokens" => ("max_tokens", true),
            name => (name, false),
        };
        if is_newer || !members.contains_key(name) {
            members.insert(name.to_owned(), value);
        }
    }
    if members.contains_key("top_logprobs") {
        members.insert("logprobs".to_owned(), json!(true));
    }
    members.insert("stream".to_owned(), json!(false));
    let mut expected = Value::Object(members);
    as_floats(&mut expected);
    expected
}

/// Makes 1 and 1.0 the same.
fn as_floats(request: &mut Value) {
    for name in [
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
    ] {
        if let Some(value) = request.get_mut(name) {
            *value = json!(value.as_f64());
        }
    }
}

fn message(message: &Value) -> Value {
    let mut message = message.clone();
    let is_user = message["role"] == "user";
    let content = message.get("content").cloned();
    let content = match content {
        None | Some(Value::Null) => None,
        Some(Value::Array(parts)) => {
            let texts: Option<Vec<&str>> = parts.iter().map(|part| part["text"].as_str()).collect();
            match texts {
                // One text is the same as the text itself, and so are several if not of the user.
                Some(texts) if !is_user || texts.len() == 1 => Some(json!(texts.concat())),
                _ => Some(parts.iter().map(part).collect()),
            }
        }
        content => content,
    };
    let members = message.as_object_mut().unwrap();
    match content {
        Some(content) => members.insert("content".to_owned(), content),
        None => members.remove("content"),
    };
    message
}

/// An image may be only its address.
fn part(part: &Value) -> Value {
    match &part["image_url"] {
        Value::String(url) => json!({"type": "image_url", "image_url": {"url": url}}),
        _ => part.clone(),
    }
}

fn tool(tool: &Value) -> Value {
    let mut tool = tool.clone();
    let function = tool["function"].as_object_mut().unwrap();
    function
        .entry("parameters")
        .or_insert(json!({"type": "object", "properties": {}}));
    tool
}

/// The requests that OpenAI's documentation shows for this endpoint:
/// <https://platform.openai.com/docs/api-reference/chat/create>, with another model and address.
#[test]
fn the_documented_requests_arrive_as_they_were_sent() {
    let recorder = Recorder::start();
    for members in [
        json!({"messages": [
            {"role": "developer", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello!"}]}),
        json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is in this image?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/boardwalk.jpg"}}]}],
            "max_tokens": 300}),
        json!({"messages": [{"role": "user", "content": "What is the weather like in Boston today?"}],
            "tools": [{"type": "function", "function": {
                "name": "get_current_weather",
                "description": "Get the current weather in a given location",
                "parameters": {"type": "object", "properties": {
                    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
                    "required": ["location"]}}}],
            "tool_choice": "auto"}),
        json!({"messages": [{"role": "user", "content": "Hello!"}],
            "logprobs": true, "top_logprobs": 2}),
    ] {
        let mut request = members;
        request["model"] = json!("local/gpt-5.4");
        recorder.check(&request);
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        select(vec![
            "",
            "Hi",
            "a\u{0}b\"\\\u{2028}",
            "{\"a\":1}",
            "zwölf 六 🦀"
        ])
        .prop_map(str::to_owned),
    ]
}

fn word() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9_-]{0,12}"
}

fn image() -> impl Strategy<Value = Value> {
    let url = select(vec![
        "https://example.com/a.png?b=1&c=%20",
        "data:image/png;base64,AAAA",
    ]);
    prop_oneof![
        url.clone().prop_map(|url| json!({"url": url})),
        (url.clone(), select(vec!["auto", "low", "high"]))
            .prop_map(|(url, detail)| json!({"url": url, "detail": detail})),
        url.prop_map(|url| json!(url)),
    ]
    .prop_map(|image| json!({"type": "image_url", "image_url": image}))
}

fn text_part() -> impl Strategy<Value = Value> {
    text().prop_map(|text| json!({"type": "text", "text": text}))
}

fn content(images: bool) -> impl Strategy<Value = Value> {
    let parts = if images {
        prop_oneof![text_part(), image()].boxed()
    } else {
        text_part().boxed()
    };
    prop_oneof![
        3 => text().prop_map(Value::from),
        1 => prop::collection::vec(parts, 1..4).prop_map(Value::from),
    ]
}

fn tool_call() -> impl Strategy<Value = Value> {
    (word(), word(), text()).prop_map(|(id, name, arguments)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    })
}

fn any_message() -> impl Strategy<Value = Value> {
    let plain = |role: &'static str| {
        content(role == "user").prop_map(move |content| json!({"role": role, "content": content}))
    };
    prop_oneof![
        4 => plain("user"),
        1 => plain("system"),
        1 => plain("developer"),
        1 => plain("assistant"),
        1 => (
            prop_oneof![Just(Value::Null), text().prop_map(Value::from)],
            prop::collection::vec(tool_call(), 1..3),
        )
            .prop_map(|(content, calls)| {
                json!({"role": "assistant", "content": content, "tool_calls": calls})
            }),
        1 => (word(), content(false)).prop_map(|(id, content)| {
            json!({"role": "tool", "tool_call_id": id, "content": content})
        }),
    ]
}

/// A schema of an object; what it says is passed on, not understood.
fn schema() -> impl Strategy<Value = Value> {
    (word(), text(), any::<bool>()).prop_map(|(name, description, is_required)| {
        let required = if is_required { vec![name.clone()] } else { vec![] };
        let property = json!({"type": ["string", "null"], "description": description, "enum": ["a", null]});
        json!({"type": "object", "properties": {name: property}, "required": required, "additionalProperties": false})
    })
}

fn any_tool() -> impl Strategy<Value = Value> {
    let option = prop::option::of::<BoxedStrategy<Value>>;
    (
        word(),
        option(text().prop_map(Value::from).boxed()),
        option(schema().boxed()),
        option(any::<bool>().prop_map(Value::from).boxed()),
    )
        .prop_map(|(name, description, parameters, strict)| {
            let mut function = json!({"name": name});
            let members = [
                ("description", description),
                ("parameters", parameters),
                ("strict", strict),
            ];
            for (member, value) in members {
                if let Some(value) = value {
                    function[member] = value;
                }
            }
            json!({"type": "function", "function": function})
        })
}

/// JSON of any kind, for members that only the service knows. Numbers are integers: one with a
/// fraction may be written in several ways.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn setting() -> impl Strategy<Value = (String, Value)> {
    let hundredths =
        |from: i32, to: i32| (from..=to).prop_map(|value| json!(f64::from(value) / 100.0));
    let named = |name: &'static str, value: BoxedStrategy<Value>| {
        value
            .prop_map(move |value| (name.to_owned(), value))
            .boxed()
    };
    let formats = prop_oneof![
        Just(json!({"type": "text"})),
        Just(json!({"type": "json_object"})),
        (word(), schema(), prop::option::of(any::<bool>())).prop_map(|(name, schema, strict)| {
            let mut named = json!({"name": name, "schema": schema});
            if let Some(strict) = strict {
                named["strict"] = json!(strict);
            }
            json!({"type": "json_schema", "json_schema": named})
        }),
    ];
    let choices = prop_oneof![
        select(vec!["auto", "none", "required"]).prop_map(Value::from),
        word().prop_map(|name| json!({"type": "function", "function": {"name": name}})),
    ];
    prop_oneof![
        named("temperature", hundredths(0, 200).boxed()),
        named("temperature", (0..=2).prop_map(Value::from).boxed()),
        named("top_p", hundredths(1, 100).boxed()),
        named("frequency_penalty", hundredths(-200, 200).boxed()),
        named("presence_penalty", hundredths(-200, 200).boxed()),
        named("seed", any::<i64>().prop_map(Value::from).boxed()),
        named("max_tokens", (1_u64..1 << 40).prop_map(Value::from).boxed()),
        named(
            "max_completion_tokens",
            (1_u64..1 << 40).prop_map(Value::from).boxed()
        ),
        named("logprobs", any::<bool>().prop_map(Value::from).boxed()),
        named(
            "parallel_tool_calls",
            any::<bool>().prop_map(Value::from).boxed()
        ),
        named("reasoning_effort", word().prop_map(Value::from).boxed()),
        named("service_tier", word().prop_map(Value::from).boxed()),
        named("user", text().prop_map(Value::from).boxed()),
        named("stop", text().prop_map(Value::from).boxed()),
        named(
            "stop",
            prop::collection::vec(text(), 1..4)
                .prop_map(Value::from)
                .boxed()
        ),
        named(
            "logit_bias",
            prop::collection::btree_map(any::<u32>(), -100..=100, 1..4)
                .prop_map(|bias| bias
                    .into_iter()
                    .map(|(token, bias)| (token.to_string(), json!(bias)))
                    .collect())
                .boxed()
        ),
        named(
            "tools",
            prop::collection::vec(any_tool(), 1..3)
                .prop_map(Value::from)
                .boxed()
        ),
        named("tool_choice", choices.boxed()),
        named("response_format", formats.boxed()),
        named("metadata", any_json().boxed()),
        named("store", any::<bool>().prop_map(Value::from).boxed()),
        named("x_of_the_service", any_json().boxed()),
    ]
}

fn any_request() -> impl Strategy<Value = Value> {
    (
        "[a-zA-Z0-9@:._/-]{1,40}",
        prop::collection::vec(any_message(), 1..5),
        prop::collection::vec(setting(), 0..6),
    )
        .prop_map(|(model, messages, settings)| {
            let mut request = json!({"model": format!("local/{model}"), "messages": messages});
            for (name, value) in settings {
                request[name] = value;
            }
            request
        })
}

proptest! {
    // `PROPTEST_CASES=10000` runs more.
    #[test]
    fn any_request_arrives_as_it_was_sent(request in any_request()) {
        thread_local! {
            static RECORDER: Recorder = Recorder::start();
        }
        RECORDER.with(|recorder| recorder.check(&request));
    }
}
