//! Every setting, and the JSON that each provider makes of it.

use inferstream_core::{
    ChatRequest, ErrorKind, Json, Message, OnUnsupported, Part, ResponseFormat, Tool, ToolCall,
    ToolChoice,
};
use serde_json::{Value, json};

use super::Service;

/// A setting, and a request that has nothing else.
type Setting = (&'static str, fn(ChatRequest) -> ChatRequest);

const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;

fn tool() -> Tool {
    Tool::new("add", Json::from_text(SCHEMA)).description("d")
}

const SETTINGS: [Setting; 20] = [
    ("max_tokens", |r| r.max_tokens(64)),
    ("temperature", |r| r.temperature(0.5)),
    ("top_p", |r| r.top_p(0.25)),
    ("stop", |r| r.stop(["x", "y"])),
    ("seed", |r| r.seed(-7)),
    ("n", |r| r.n(2)),
    ("frequency_penalty", |r| r.frequency_penalty(1.5)),
    ("presence_penalty", |r| r.presence_penalty(-1.5)),
    ("logit_bias", |r| {
        r.logit_bias(50256, -100.0).logit_bias(7, 0.5)
    }),
    ("logprobs", |r| r.logprobs(true)),
    ("top_logprobs", |r| r.top_logprobs(5)),
    ("reasoning_effort", |r| r.reasoning_effort("low")),
    ("reasoning_format", |r| r.reasoning_format("parsed")),
    ("prediction", |r| r.prediction("p")),
    ("service_tier", |r| r.service_tier("flex")),
    ("tools", |r| r.tool(tool())),
    ("tool_choice", |r| {
        r.tool(tool()).tool_choice(ToolChoice::Required)
    }),
    ("parallel_tool_calls", |r| r.parallel_tool_calls(false)),
    ("response_format", |r| {
        r.response_format(ResponseFormat::JsonSchema {
            name: "s".to_owned(),
            schema: Json::from_text(SCHEMA),
            strict: Some(true),
        })
    }),
    ("user_id", |r| r.user_id("u")),
];

/// Returns what the chat protocol makes of a setting.
fn by_protocol(setting: &str, max_tokens: &str) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let function = json!({ "name": "add", "description": "d", "parameters": schema });
    let tools = json!([{ "type": "function", "function": function }]);
    match setting {
        "max_tokens" => json!({ max_tokens: 64 }),
        "temperature" => json!({ "temperature": 0.5 }),
        "top_p" => json!({ "top_p": 0.25 }),
        "stop" => json!({ "stop": ["x", "y"] }),
        "seed" => json!({ "seed": -7 }),
        "n" => json!({ "n": 2 }),
        "frequency_penalty" => json!({ "frequency_penalty": 1.5 }),
        "presence_penalty" => json!({ "presence_penalty": -1.5 }),
        "logit_bias" => json!({ "logit_bias": { "50256": -100, "7": 0.5 } }),
        "logprobs" => json!({ "logprobs": true }),
        "top_logprobs" => json!({ "logprobs": true, "top_logprobs": 5 }),
        "reasoning_effort" => json!({ "reasoning_effort": "low" }),
        "reasoning_format" => json!({ "reasoning_format": "parsed" }),
        "prediction" => json!({ "prediction": { "type": "content", "content": "p" } }),
        "service_tier" => json!({ "service_tier": "flex" }),
        "tools" => json!({ "tools": tools }),
        "tool_choice" => json!({ "tools": tools, "tool_choice": "required" }),
        "parallel_tool_calls" => json!({ "parallel_tool_calls": false }),
        "response_format" => json!({ "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "s", "strict": true, "schema": schema },
        }}),
        "user_id" => json!({ "user": "u" }),
        other => panic!("{other}"),
    }
}

/// Returns the members that a setting adds to a body or changes in it, or `None` where the provider
/// lacks it.
fn expected(service: Service, setting: &str) -> Option<Value> {
    const NATIVE_LACKS: [&str; 9] = [
        "stop",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_format",
        "prediction",
        "service_tier",
        "parallel_tool_calls",
        "user_id",
    ];
    let is_workers_ai = matches!(service, Service::WorkersAi | Service::Native);
    if is_workers_ai && setting == "n"
        || service == Service::Native && NATIVE_LACKS.contains(&setting)
    {
        return None;
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    match (service, setting) {
        (Service::Cerebras, _) => Some(by_protocol(setting, "max_completion_tokens")),
        (Service::Native, "response_format") => Some(json!({
            "response_format": { "type": "json_schema", "json_schema": schema },
        })),
        (
            Service::Elsewhere
            | Service::CablyAi
            | Service::Compatible
            | Service::WorkersAi
            | Service::Native,
            _,
        ) => Some(by_protocol(setting, "max_tokens")),
        (Service::Playground, "max_tokens") => Some(json!({ "max_tokens": 64 })),
        (Service::Playground, "tools") => Some(json!({
            "tools": [{ "name": "add", "description": "d", "inputSchema": schema }],
        })),
        (Service::Agent, "temperature") => Some(json!({ "temperature": 0.5 })),
        (Service::Replicate, "max_tokens") => Some(json!({ "max_completion_tokens": 64 })),
        (Service::Replicate, "stop") => Some(json!({ "stop_sequences": "x,y" })),
        (
            Service::Replicate,
            "temperature" | "top_p" | "seed" | "frequency_penalty" | "presence_penalty"
            | "reasoning_effort",
        ) => Some(by_protocol(setting, "")),
        (Service::Playground | Service::Agent | Service::Replicate, _) => None,
    }
}

/// Returns the members that one body has and the other has not, or has otherwise.
fn difference(body: &Value, plain: &Value) -> Value {
    let plain = plain.as_object().unwrap();
    let members = body.as_object().unwrap().iter();
    let own = members.filter(|(name, value)| plain.get(*name) != Some(value));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn input(service: Service, body: Value) -> Value {
    match service {
        Service::Replicate => body["input"].clone(),
        _ => body,
    }
}

#[test]
fn each_setting_is_there() {
    let mut names = Vec::new();
    for (name, set) in SETTINGS {
        let request = set(ChatRequest::default());
        assert!(request.settings().any(|setting| setting == name), "{name}");
        names.push(name);
    }
    // All of them, so that a new one is not forgotten here.
    let all = SETTINGS
        .iter()
        .fold(ChatRequest::default(), |request, (_, set)| set(request));
    assert_eq!(all.settings().collect::<Vec<_>>(), names);
}

#[test]
fn each_setting_is_sent_as_the_provider_has_it() {
    for service in Service::ALL {
        // What goes over its socket is tested where the agent is.
        if service == Service::Agent {
            continue;
        }
        let plain = input(service, service.body(service.hi()));
        for (name, set) in SETTINGS {
            let Some(expected) = expected(service, name) else {
                continue;
            };
            let request = set(service.hi());
            let mut left_out = service.check(&request).unwrap();
            if service == Service::Native {
                left_out.retain(|one| one.field != "response_format#strict");
            }
            assert_eq!(left_out, [], "{service:?} {name}");
            let body = input(service, service.body(request));
            assert_eq!(difference(&body, &plain), expected, "{service:?} {name}");
        }
    }
}

#[test]
fn each_setting_that_the_provider_lacks_is_refused() {
    for service in Service::ALL {
        for (name, set) in SETTINGS {
            if expected(service, name).is_some() {
                continue;
            }
            let request = set(service.hi());
            // It says nothing about the answer.
            if (service, name) == (Service::Replicate, "user_id") {
                assert_eq!(service.check(&request).unwrap()[0].field, name);
                continue;
            }
            let error = service.check(&request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{service:?} {name}");
            let line = error.to_string();
            assert!(line.contains(&format!("`{name}`")), "{service:?} {line}");
            assert!(line.contains("on_unsupported"), "{line}");
        }
    }
}

#[test]
fn each_setting_that_the_provider_lacks_can_be_left_out() {
    for service in Service::ALL {
        if service == Service::Agent {
            continue;
        }
        let plain = service.body(service.hi());
        for (name, set) in SETTINGS {
            if expected(service, name).is_some() {
                continue;
            }
            for policy in [OnUnsupported::Warn, OnUnsupported::Ignore] {
                let request = set(service.hi()).on_unsupported(policy);
                let left_out = service.check(&request).unwrap();
                assert!(left_out.iter().any(|one| one.field == name), "{left_out:?}");
                let body = service.body(request);
                // Where a choice of tools is left out they stay.
                let tools = difference(&body, &plain);
                let tools = tools.get("tools").cloned();
                let mut expected = plain.clone();
                if let Some(tools) = tools {
                    assert_eq!(name, "tool_choice");
                    expected["tools"] = tools;
                }
                assert_eq!(body, expected, "{service:?} {name}");
            }
        }
    }
}

#[test]
fn an_image_is_sent_or_refused_and_never_left_out() {
    for service in Service::ALL {
        let message = Message::user("a").part(Part::image("image/png", [1, 2, 3]));
        let mut request = service.hi().on_unsupported(OnUnsupported::Ignore);
        request.messages = vec![message];
        match service {
            Service::Playground | Service::Agent => {
                let error = service.check(&request).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
            _ => {
                let body = service.body(request).to_string();
                assert!(body.contains("data:image/png;base64,AQID"), "{body}");
            }
        }
    }
}

#[test]
fn what_tools_found_is_sent_or_refused_and_never_left_out() {
    for service in Service::ALL {
        let call = ToolCall::new("call_1", "add", "{\"a\":2}");
        let request = service
            .hi()
            .message(Message::empty(inferstream_core::Role::Assistant).tool_call(call))
            .message(Message::tool("call_1", "five"))
            .on_unsupported(OnUnsupported::Ignore);
        match service {
            Service::Playground | Service::Agent | Service::Replicate => {
                let error = service.check(&request).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
            _ => {
                let body = service.body(request);
                let messages = &body["messages"];
                let function = json!({ "name": "add", "arguments": "{\"a\":2}" });
                let call = json!({ "id": "call_1", "type": "function", "function": function });
                assert_eq!(messages[1]["tool_calls"], json!([call]));
                let answer = json!({ "role": "tool", "content": "five", "tool_call_id": "call_1" });
                assert_eq!(messages[2], answer);
            }
        }
    }
}

#[test]
fn extra_goes_out_as_it_is_whatever_the_policy() {
    for service in Service::ALL {
        if service == Service::Agent {
            continue;
        }
        let request = service
            .hi()
            .extra("logit_bias", Json::from_text("{\"1\":2}"))
            .on_unsupported(OnUnsupported::Error);
        assert_eq!(service.check(&request).unwrap(), []);
        let body = input(service, service.body(request));
        assert_eq!(body["logit_bias"], json!({ "1": 2 }), "{service:?}");
    }
}

#[test]
fn logprobs_that_are_forbidden_and_asked_for_are_a_contradiction() {
    for service in Service::ALL {
        let request = service.hi().logprobs(false).top_logprobs(2);
        let error = service.check(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let request = service.hi().logit_bias(1, f64::NAN);
        let error = service.check(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn odd_values_are_json() {
    let bias = |bias| {
        let body = Service::Compatible.body(Service::Compatible.hi().logit_bias(1, bias));
        body["logit_bias"]["1"].to_string()
    };
    for (value, text) in [
        (-0.0, "0"),
        (100.0, "100"),
        (-100.0, "-100"),
        (0.5, "0.5"),
        (101.0, "101.0"),
        (1e300, "1e+300"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
    ] {
        assert_eq!(bias(value), text);
    }
    let odd = "\u{0}\u{1b}\"\\\n\u{2028}\u{1f980}";
    for service in [Service::Cerebras, Service::WorkersAi, Service::CablyAi] {
        let request = service.hi().prediction(odd).service_tier("").user_id(odd);
        let body = service.body(request.logprobs(false).reasoning_effort(""));
        let expected = json!({ "type": "content", "content": odd });
        assert_eq!(body["prediction"], expected);
        assert_eq!(body["service_tier"], "");
        assert_eq!(body["reasoning_effort"], "");
        assert_eq!(body["user"], odd);
        assert_eq!(body["logprobs"], false);
        let body = service.body(service.hi().top_logprobs(0));
        assert_eq!(body["logprobs"], true);
        assert_eq!(body["top_logprobs"], 0);
    }
}
