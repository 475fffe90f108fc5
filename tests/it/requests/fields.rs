//! Every setting and its JSON at each provider.

use inferstream_core::{
    ChatRequest, ErrorKind, Field, Json, Message, OnUnsupported, Part, ResponseFormat, Tool,
    ToolCall, ToolChoice,
};
use serde_json::{Value, json};

use super::Service;

/// A setting, and a request that has only this setting.
type Setting = (Field, fn(ChatRequest) -> ChatRequest);

const SCHEMA: &str = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;

fn tool() -> Tool {
    Tool::new("add", Json::from_text(SCHEMA)).description("d")
}

const SETTINGS: [Setting; 21] = [
    (Field::MaxTokens, |r| r.max_tokens(64)),
    (Field::Temperature, |r| r.temperature(0.5)),
    (Field::TopP, |r| r.top_p(0.25)),
    (Field::TopK, |r| r.top_k(40)),
    (Field::Stop, |r| r.stop(["x", "y"])),
    (Field::Seed, |r| r.seed(-7)),
    (Field::N, |r| r.n(2)),
    (Field::FrequencyPenalty, |r| r.frequency_penalty(1.5)),
    (Field::PresencePenalty, |r| r.presence_penalty(-1.5)),
    (Field::LogitBias, |r| {
        r.logit_bias(50256, -100.0).logit_bias(7, 0.5)
    }),
    (Field::Logprobs, |r| r.logprobs(true)),
    (Field::TopLogprobs, |r| r.top_logprobs(5)),
    (Field::ReasoningEffort, |r| r.reasoning_effort("low")),
    (Field::ReasoningFormat, |r| r.reasoning_format("parsed")),
    (Field::Prediction, |r| r.prediction("p")),
    (Field::ServiceTier, |r| r.service_tier("flex")),
    (Field::Tools, |r| r.tool(tool())),
    (Field::ToolChoice, |r| {
        r.tool(tool()).tool_choice(ToolChoice::Required)
    }),
    (Field::ParallelToolCalls, |r| r.parallel_tool_calls(false)),
    (Field::ResponseFormat, |r| {
        r.response_format(ResponseFormat::JsonSchema {
            name: "s".to_owned(),
            schema: Json::from_text(SCHEMA),
            strict: Some(true),
        })
    }),
    (Field::UserId, |r| r.user_id("u")),
];

/// Returns the JSON of a setting in the chat protocol.
fn by_protocol(setting: Field, max_tokens: &str) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let function = json!({ "name": "add", "description": "d", "parameters": schema });
    let tools = json!([{ "type": "function", "function": function }]);
    match setting {
        Field::MaxTokens => json!({ max_tokens: 64 }),
        Field::Temperature => json!({ "temperature": 0.5 }),
        Field::TopP => json!({ "top_p": 0.25 }),
        Field::TopK => json!({ "top_k": 40 }),
        Field::Stop => json!({ "stop": ["x", "y"] }),
        Field::Seed => json!({ "seed": -7 }),
        Field::N => json!({ "n": 2 }),
        Field::FrequencyPenalty => json!({ "frequency_penalty": 1.5 }),
        Field::PresencePenalty => json!({ "presence_penalty": -1.5 }),
        Field::LogitBias => json!({ "logit_bias": { "50256": -100, "7": 0.5 } }),
        Field::Logprobs => json!({ "logprobs": true }),
        Field::TopLogprobs => json!({ "logprobs": true, "top_logprobs": 5 }),
        Field::ReasoningEffort => json!({ "reasoning_effort": "low" }),
        Field::ReasoningFormat => json!({ "reasoning_format": "parsed" }),
        Field::Prediction => json!({ "prediction": { "type": "content", "content": "p" } }),
        Field::ServiceTier => json!({ "service_tier": "flex" }),
        Field::Tools => json!({ "tools": tools }),
        Field::ToolChoice => json!({ "tools": tools, "tool_choice": "required" }),
        Field::ParallelToolCalls => json!({ "parallel_tool_calls": false }),
        Field::ResponseFormat => json!({ "response_format": {
            "type": "json_schema",
            "json_schema": { "name": "s", "strict": true, "schema": schema },
        }}),
        Field::UserId => json!({ "user": "u" }),
        other => panic!("{other}"),
    }
}

/// Returns the members that a setting adds to a body or changes in it, or `None` if the provider
/// does not support it.
fn expected(service: Service, setting: Field) -> Option<Value> {
    const NATIVE_LACKS: [Field; 9] = [
        Field::Stop,
        Field::LogitBias,
        Field::Logprobs,
        Field::TopLogprobs,
        Field::ReasoningFormat,
        Field::Prediction,
        Field::ServiceTier,
        Field::ParallelToolCalls,
        Field::UserId,
    ];
    let is_workers_ai = matches!(service, Service::WorkersAi | Service::Native);
    if is_workers_ai && setting == Field::N
        || service == Service::Native && NATIVE_LACKS.contains(&setting)
    {
        return None;
    }
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    match (service, setting) {
        (Service::Cerebras, Field::TopK) => None,
        (Service::Cerebras, _) => Some(by_protocol(setting, "max_completion_tokens")),
        (Service::Native, Field::ResponseFormat) => Some(json!({
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
        (Service::Playground, Field::MaxTokens) => Some(json!({ "max_tokens": 64 })),
        (Service::Playground, Field::Tools) => Some(json!({
            "tools": [{ "name": "add", "description": "d", "inputSchema": schema }],
        })),
        (Service::Agent, Field::Temperature) => Some(json!({ "temperature": 0.5 })),
        (Service::Replicate, Field::MaxTokens) => Some(json!({ "max_completion_tokens": 64 })),
        (Service::Replicate, Field::Stop) => Some(json!({ "stop_sequences": "x,y" })),
        (
            Service::Replicate,
            Field::Temperature
            | Field::TopP
            | Field::Seed
            | Field::FrequencyPenalty
            | Field::PresencePenalty
            | Field::ReasoningEffort,
        ) => Some(by_protocol(setting, "")),
        (Service::Playground | Service::Agent | Service::Replicate, _) => None,
    }
}

/// Returns the members in which one body differs from the other.
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
fn each_setting_is_listed() {
    for (field, set) in SETTINGS {
        let request = set(ChatRequest::default());
        assert!(
            request.settings().any(|setting| setting == field),
            "{field}"
        );
    }
    // All settings, so that a new one is not forgotten here.
    assert_eq!(SETTINGS.map(|(field, _)| field), Field::ALL);
}

#[test]
fn a_setting_has_the_name_of_its_field() {
    for (field, set) in SETTINGS {
        let json = serde_json::to_value(set(ChatRequest::default())).unwrap();
        let plain = serde_json::to_value(ChatRequest::default()).unwrap();
        let difference = difference(&json, &plain);
        assert!(difference.get(field.name()).is_some(), "{field}");
        assert_eq!(field.to_string(), field.name());
    }
}

#[test]
fn an_unset_setting_is_not_listed() {
    let all = || {
        SETTINGS
            .iter()
            .fold(ChatRequest::default(), |request, (_, set)| set(request))
    };
    for field in Field::ALL {
        let mut request = all();
        request.unset(*field);
        assert!(
            !request.settings().any(|setting| setting == *field),
            "{field}"
        );
        assert_eq!(request.value(*field), None);
        assert_eq!(request.settings().count(), Field::ALL.len() - 1);
    }
    let default = ChatRequest::default()
        .n(1)
        .logprobs(false)
        .tool_choice(ToolChoice::Auto)
        .response_format(ResponseFormat::Text);
    assert_eq!(default.settings().next(), None);
}

#[test]
fn scalar_settings_have_a_value() {
    for (field, set) in SETTINGS {
        let value = set(ChatRequest::default()).value(field);
        let expected = match field {
            Field::LogitBias
            | Field::ResponseFormat
            | Field::Stop
            | Field::ToolChoice
            | Field::Tools => None,
            Field::Prediction => Some(json!("p")),
            Field::TopLogprobs => Some(json!(5)),
            Field::UserId => Some(json!("u")),
            field => Some(by_protocol(field, "max_tokens")[field.name()].clone()),
        };
        let value = value.map(|json| serde_json::from_str(json.as_str()).unwrap());
        assert_eq!(value, expected, "{field}");
    }
}

#[test]
fn each_setting_is_sent_in_the_form_of_the_provider() {
    for service in Service::ALL {
        // The messages on the agent's socket are tested with the agent.
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
fn each_unsupported_setting_is_refused() {
    for service in Service::ALL {
        for (name, set) in SETTINGS {
            if expected(service, name).is_some() {
                continue;
            }
            let request = set(service.hi());
            // The setting does not affect the response.
            if (service, name) == (Service::Replicate, Field::UserId) {
                assert_eq!(service.check(&request).unwrap()[0].field, name.name());
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
fn each_unsupported_setting_can_be_dropped() {
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
                assert!(
                    left_out.iter().any(|one| one.field == name.name()),
                    "{left_out:?}"
                );
                let body = service.body(request);
                // If a choice of tools is dropped, the tools are kept.
                let tools = difference(&body, &plain);
                let tools = tools.get("tools").cloned();
                let mut expected = plain.clone();
                if let Some(tools) = tools {
                    assert_eq!(name, Field::ToolChoice);
                    expected["tools"] = tools;
                }
                assert_eq!(body, expected, "{service:?} {name}");
            }
        }
    }
}

#[test]
fn an_image_is_sent_or_refused_but_never_dropped() {
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
fn tool_results_are_sent_or_refused_but_never_dropped() {
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
fn extra_is_sent_unchanged_whatever_the_policy() {
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
fn contradictory_logprobs_are_refused() {
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
fn unusual_values_are_json() {
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
