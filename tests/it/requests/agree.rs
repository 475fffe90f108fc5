//! The result of `check` agrees with what is sent: random requests to every service.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{
    ChatRequest, Error, Field, ImageSource, Json, Message, OnUnsupported, Part, Provider,
    ResponseFormat, RetryPolicy, Role, Tool, ToolCall, ToolChoice, Unsupported,
};
use inferstream_openai_compat::SchemaRules;
use proptest::{prelude::*, sample::select};
use serde_json::Value;

use super::{Service, compatible};
use crate::support::{Answer, Wire, block_on, piece, sse};

/// A change of a request.
type Change = fn(ChatRequest) -> ChatRequest;

const NARROW: &str = r#"{"type":"object","properties":{"a":{"type":"string","minLength":1}}}"#;

fn tool(name: &str) -> Tool {
    Tool::new(name, Json::from_text(NARROW))
}

fn format(schema: &str, strict: bool) -> ResponseFormat {
    ResponseFormat::json_schema("s", Json::from_text(schema)).strict(strict)
}

const SETTINGS: &[Change] = &[
    |r| r.max_tokens(64),
    |r| r.max_tokens(4096),
    |r| r.temperature(0.5),
    |r| r.top_p(0.25),
    |r| r.stop(["x"]),
    |r| r.stop(["x,y"]),
    |r| r.stop([""]),
    |r| r.seed(-7),
    |r| r.n(1),
    |r| r.n(3),
    |r| r.frequency_penalty(-0.5),
    |r| r.presence_penalty(1.0),
    |r| r.top_k(5),
    |r| r.logit_bias(7, -0.0),
    |r| r.logit_bias(u32::MAX, 1e300),
    |r| r.logprobs(true),
    |r| r.logprobs(false),
    |r| r.top_logprobs(0),
    |r| r.top_logprobs(20),
    |r| r.reasoning_effort("low"),
    |r| r.reasoning_format("hidden"),
    |r| r.prediction("\u{1b}[2J\"\n\u{2028}"),
    |r| r.service_tier(""),
    |r| r.tool(tool("f")),
    |r| r.tool(tool("g\n\u{1b}[31m").strict(true)),
    |r| r.tool(Tool::new("broken", Json::from_text("{"))),
    |r| r.tool_choice(ToolChoice::Auto),
    |r| r.tool_choice(ToolChoice::None),
    |r| r.tool_choice(ToolChoice::Required),
    |r| r.tool_choice(ToolChoice::Tool("f".to_owned())),
    |r| r.parallel_tool_calls(true),
    |r| r.response_format(ResponseFormat::Text),
    |r| r.response_format(ResponseFormat::JsonObject),
    |r| r.response_format(format(NARROW, true)),
    |r| r.response_format(format(NARROW, false)),
    |r| {
        r.response_format(format(
            "{\"properties\":{\"a\\n\\u001b[31m\":{\"minimum\":0}}}",
            true,
        ))
    },
    |r| r.response_format(format(r##"{"items":{"$ref":"#"}}"##, true)),
    |r| r.response_format(format("[", true)),
    |r| r.user_id("u"),
];

const MESSAGES: &[Change] = &[
    |r| r.user("more"),
    |r| r.system("be brief"),
    |r| r.message(Message::new(Role::Developer, "b")),
    |r| r.message(Message::user("see").part(Part::image("image/png", [1]))),
    |r| {
        let source = ImageSource::Url("https://a.test/i.png".to_owned());
        let detail = Some("low".to_owned());
        r.message(Message::user(Part::Image { source, detail }))
    },
    |r| r.message(Message::empty(Role::Assistant).tool_call(ToolCall::new("c\n1", "f", "{}"))),
    |r| r.message(Message::tool("c\n1", "five")),
    |r| r.message(Message::assistant("a").reasoning("r")),
];

const EXTRAS: &[Change] = &[
    |r| r.extra("n", 2),
    |r| r.extra("seed", 5),
    |r| r.extra("top_k", 5),
    |r| r.extra("max_tokens", 100),
    |r| r.extra("logit_bias", Json::from_text("{}")),
    |r| r.extra("response_format", Json::from_text(r#"{"type":"text"}"#)),
    |r| r.extra("tools", Json::from_text("[]")),
    |r| r.extra("tool_choice", "auto"),
    |r| r.extra("messages", Json::from_text("[]")),
    |r| r.extra("chat_template_kwargs", Json::from_text("{}")),
    |r| r.extra("stop_sequences", "a"),
    |r| r.extra("input", Json::from_text("{\"prompt\":\"p\"}")),
];

const OTHERS: &[Change] = &[
    |r| {
        r.header(
            HeaderName::from_static("x-mine"),
            HeaderValue::from_static("1"),
        )
    },
    |r| r.header(http::header::UPGRADE, HeaderValue::from_static("a")),
    |r| r.header(http::header::AUTHORIZATION, HeaderValue::from_static("a")),
    |r| r.raw(true),
    |r| r.max_tokens(0),
    |r| r.temperature(f64::NAN),
];

const MODELS: &[&str] = &[
    "",
    " ",
    "gpt-oss-120b",
    "llama-3.1-70b",
    "zai-glm-4.7",
    "no\nsuch\u{1b}[2J",
    "@cf/mistralai/mistral-small-3.1-24b-instruct",
    "@cf/zai-org/glm-4.7-flash",
    "@hf/thebloke/llama-2-13b-chat-awq",
    "@cf/../x",
    "meta/meta-llama-3-70b-instruct",
    "anthropic/claude-4-sonnet",
    "openai/gpt-5",
];

fn requests() -> impl Strategy<Value = ChatRequest> {
    let some = |list: &'static [Change], most| prop::collection::vec(select(list), 0..=most);
    let policy = prop_oneof![
        Just(None),
        Just(Some(OnUnsupported::Error)),
        Just(Some(OnUnsupported::Warn)),
        Just(Some(OnUnsupported::Ignore)),
    ];
    let others = prop::option::weighted(0.1, select(OTHERS));
    let changes = (
        some(SETTINGS, 4),
        some(MESSAGES, 3),
        some(EXTRAS, 1),
        others,
    );
    (changes, policy).prop_map(|((settings, messages, extras, other), policy)| {
        let changes = settings.into_iter().chain(messages).chain(extras);
        let mut request = ChatRequest::from("Hi");
        request.on_unsupported = policy;
        changes
            .chain(other)
            .fold(request, |request, change| change(request))
    })
}

/// The destination of a request, and how its client is set up.
#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Of(Service),
    /// The same behind a concurrency limit.
    Limited(Service),
    /// The first one, with the second as a fallback.
    Either(Service, Service),
    /// A compatible service that does not support some fields.
    Lacking(&'static [Field]),
    /// A service that supports only a small part of JSON Schema.
    Ruled,
    /// A service whose few known models are the only ones allowed.
    Known,
}

impl Endpoint {
    fn provider(self, wire: &Wire) -> Arc<dyn Provider> {
        match self {
            Self::Of(service) => service.provider(wire),
            Self::Limited(service) => Arc::new(ConcurrencyLimit::new(service.provider(wire))),
            Self::Either(one, other) => {
                Arc::new(Fallback::new(one.provider(wire)).or(other.provider(wire)))
            }
            Self::Lacking(fields) => compatible(wire, |builder| {
                builder.unknown_fields(fields.iter().copied())
            }),
            Self::Ruled => compatible(wire, |builder| builder.schema_rules(SchemaRules::new())),
            Self::Known => compatible(wire, |builder| {
                builder
                    .known_models(["gpt-oss-120b", "m"])
                    .default_model("m")
                    .only_known_models(true)
            }),
        }
    }

    /// Sends a request, and returns the request that the service saw, and the warnings.
    fn stream(self, request: ChatRequest) -> (usize, Option<Value>, Result<Vec<String>, Error>) {
        let wire = answers();
        let provider = self.provider(&wire);
        let request = request.retry(RetryPolicy::never());
        let stream = block_on(&wire.clock, provider.stream(request));
        let warnings = stream.map(|stream| stream.meta().warnings.clone());
        let body = (wire.count() != 0 && !wire.text().is_empty()).then(|| wire.json());
        (wire.count(), body, warnings)
    }

    fn chat(self, request: ChatRequest) -> (usize, Option<Error>) {
        let wire = answers();
        let provider = self.provider(&wire);
        let request = request.retry(RetryPolicy::never());
        let chat = block_on(&wire.clock, provider.chat(request));
        (wire.count(), chat.err())
    }
}

/// Responds in the format of each service.
fn answers() -> Wire {
    Wire::by(|request, _| {
        let uri = request.uri().to_string();
        if uri.contains("/agents/") {
            return Answer::json(400, "{}");
        }
        if uri.contains("/api/inference") {
            let lines = "0:\"a\"\ne:{\"finishReason\":\"stop\"}\nd:{\"finishReason\":\"stop\"}\n";
            return Answer::new(200, [piece(lines.as_bytes())]);
        }
        if uri.contains("replicate.com") {
            let prediction = r#"{"id":"p1","status":"succeeded","output":["a"],"urls":{"get":"https://api.replicate.com/v1/predictions/p1"}}"#;
            return Answer::json(201, prediction);
        }
        let chunk = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
        Answer::sse([piece(sse(&[chunk]).as_bytes())])
    })
}

const LACKING: &[&[Field]] = &[
    &[Field::N, Field::Tools, Field::Seed],
    &[Field::Logprobs, Field::ResponseFormat],
    &[
        Field::MaxTokens,
        Field::UserId,
        Field::ToolChoice,
        Field::LogitBias,
    ],
];

/// Checks the messages for people.
#[track_caller]
fn check_line(line: &str) {
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(line.len() < 1500, "{line}");
}

fn services() -> impl Strategy<Value = Service> {
    select(Service::ALL.as_slice())
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        9 => services().prop_map(Endpoint::Of),
        1 => select(LACKING).prop_map(Endpoint::Lacking),
        1 => Just(Endpoint::Ruled),
        1 => Just(Endpoint::Known),
        1 => services().prop_map(Endpoint::Limited),
        3 => (services(), services()).prop_map(|(one, other)| Endpoint::Either(one, other)),
    ]
}

/// Returns the wire name of a setting if it differs from the setting's name.
fn overridden(request: &ChatRequest, setting: Field, endpoint: Endpoint) -> bool {
    let has = |wire: &str| request.extra.iter().any(|(name, _)| name == wire);
    match (setting, endpoint) {
        (
            Field::MaxTokens,
            Endpoint::Of(Service::Cerebras) | Endpoint::Limited(Service::Cerebras),
        ) => has("max_completion_tokens"),
        (Field::UserId, _) => has("user"),
        (Field::Stop, Endpoint::Of(Service::Replicate) | Endpoint::Limited(Service::Replicate)) => {
            has("stop_sequences")
        }
        _ => has(setting.name()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_check_agrees_with_the_request(
        endpoint in endpoints(),
        model in prop::option::of(select(MODELS)),
        mut request in requests(),
    ) {
        if let Some(model) = model.or(Some("gpt-oss-120b").filter(|_| matches!(endpoint, Endpoint::Lacking(_) | Endpoint::Ruled))) {
            request.model = Some(model.to_owned());
        }
        let policy = request.on_unsupported;
        let checked = endpoint.provider(&Wire::new([])).check(&request);
        let (count, body, streamed) = endpoint.stream(request.clone());
        let (of_chat, chatted) = endpoint.chat(request.clone());
        let told = |error: &Error| (error.kind(), error.to_string());
        let left_out = match checked {
            Err(error) => {
                prop_assert_eq!((count, of_chat), (0, 0), "{}", error);
                prop_assert_eq!(Some(told(&error)), streamed.as_ref().err().map(told));
                prop_assert_eq!(Some(told(&error)), chatted.as_ref().map(told));
                check_line(&error.to_string());
                return Ok(());
            }
            Ok(left_out) => left_out,
        };
        prop_assert!(count != 0 && of_chat != 0, "{:?} {:?}", left_out, streamed);
        if policy == Some(OnUnsupported::Error) {
            prop_assert_eq!(&left_out, &[]);
        }
        let Ok(mut warnings) = streamed else {
            // The agent needs a handshake, which is not simulated here.
            let has_agent = |service| service == Service::Agent;
            let is_agent = match endpoint {
                Endpoint::Of(service) | Endpoint::Limited(service) => has_agent(service),
                Endpoint::Either(one, other) => has_agent(one) || has_agent(other),
                _ => false,
            };
            prop_assert!(is_agent, "{:?}", streamed);
            return Ok(());
        };
        warnings.retain(|warning| !warning.contains("is retired"));
        // The warning about the provider that was tried before.
        warnings.retain(|warning| !warning.contains(" failed ("));
        if policy == Some(OnUnsupported::Ignore) {
            prop_assert_eq!(&warnings, &[] as &[String]);
        } else {
            prop_assert_eq!(warnings.is_empty(), left_out.is_empty(), "{:?}", warnings);
            let all = warnings.join("\n");
            for Unsupported { field, .. } in &left_out {
                prop_assert!(all.contains(&field.escape_debug().to_string()), "{} {}", field, all);
            }
            for warning in &warnings {
                check_line(warning);
            }
        }
        if let Endpoint::Either(..) = endpoint {
            return Ok(());
        }
        // Dropped settings are not sent, and all others are.
        let body = body.unwrap();
        let mut without = request.clone();
        for Unsupported { field, .. } in &left_out {
            if let Some(known) = Field::ALL.iter().find(|known| known.name() == field) {
                without.unset(*known);
            }
        }
        let (_, same, _) = endpoint.stream(without);
        prop_assert_eq!(Some(&body), same.as_ref());
        for setting in request.settings() {
            let named = left_out.iter().any(|one| one.field == setting.name());
            let is_doubled = setting == Field::Logprobs && request.top_logprobs.is_some()
                || setting == Field::ToolChoice && request.tools.is_empty();
            if named || is_doubled || overridden(&request, setting, endpoint) {
                continue;
            }
            let mut without = request.clone();
            without.unset(setting);
            let (_, other, _) = endpoint.stream(without);
            if let Some(other) = other {
                prop_assert_ne!(&body, &other, "{:?} lost {}", endpoint, setting);
            }
        }
    }
}
