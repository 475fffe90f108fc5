//! How settings that a provider does not support are handled.

use inferstream::Hub;
use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{
    ChatRequest, ErrorKind, Field, ImageSource, Json, Message, OnUnsupported, Part, Provider,
    ResponseFormat, Tool, ToolChoice, Unsupported,
};
use serde_json::json;

use super::{Service, body, compatible, wire};
use crate::support::{Answer, Wire, block_on, piece, shown, sse};

const WHOLE: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;

fn fields(list: &[Unsupported]) -> Vec<&str> {
    list.iter().map(|one| one.field.as_str()).collect()
}

#[test]
fn all_unsupported_settings_are_named_at_once() {
    let request = Service::Replicate.hi().n(2).logprobs(true).user_id("u");
    let error = Service::Replicate.check(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "replicate does not support `n`, `logprobs`; remove them, or set `on_unsupported` to drop them"
    );
    let request = request.on_unsupported(OnUnsupported::Error);
    let error = Service::Replicate.check(&request).unwrap_err();
    assert!(error.to_string().contains("`user_id`"), "{error}");
    let request = request.on_unsupported(OnUnsupported::Warn);
    let list = Service::Replicate.check(&request).unwrap();
    assert_eq!(fields(&list), ["user_id", "n", "logprobs"]);
}

#[test]
fn dropped_settings_are_warnings_unless_ignored() {
    let ask = |policy| {
        let wire = Wire::new([Answer::sse([piece(sse(&[WHOLE]).as_bytes())])]);
        let provider = compatible(&wire, |builder| {
            builder.unknown_fields([Field::Seed, Field::UserId])
        });
        let request = Service::Compatible.hi().seed(7).user_id("u");
        let request = request.on_unsupported(policy);
        let stream = block_on(&wire.clock, provider.stream(request)).unwrap();
        assert_eq!(wire.json().get("seed"), None);
        stream.meta().warnings.clone()
    };
    assert_eq!(
        ask(OnUnsupported::Warn),
        ["`seed`, `user_id` were dropped: unknown to the service"]
    );
    assert!(ask(OnUnsupported::Ignore).is_empty());
}

#[test]
fn a_warning_names_a_few_settings_on_one_line() {
    let request = (0..100).fold(Service::Playground.hi(), |request, number| {
        let name = format!("\n\u{1b}[31m{number}\u{202e}{}", "long".repeat(1000));
        request.tool(Tool::new(name, Json::from_text("{}")).strict(true))
    });
    let error = Service::Playground.check(&request).unwrap_err().to_string();
    let first = "cloudflare does not support `tools/\\n\\u{1b}[31m0\\u{202e}longlong";
    assert!(error.starts_with(first), "{error}");
    let last = "…` and 92 more; remove them, or set `on_unsupported` to drop them";
    assert!(error.ends_with(last), "{error}");
    assert!(error.len() < 1500, "{error}");

    let request = request.on_unsupported(OnUnsupported::Warn);
    let left_out = Service::Playground.check(&request).unwrap();
    assert_eq!(left_out.len(), 100);
    // The field is exact, for programs.
    assert!(
        left_out[0]
            .field
            .starts_with("tools/\n\u{1b}[31m0\u{202e}long")
    );
    let line = left_out[0].to_string();
    assert!(
        !line.contains(char::is_control) && line.len() < 250,
        "{line}"
    );
}

#[test]
fn dependent_settings_are_dropped_too() {
    let left_out = |field: Field, request: ChatRequest| {
        let wire = wire();
        let provider = compatible(&wire, |builder| builder.unknown_fields([field]));
        let request = request.on_unsupported(OnUnsupported::Warn);
        let list = provider.check(&request).unwrap();
        let sent = body(&*provider, &wire, request);
        let list = list.into_iter().map(|one| {
            assert_eq!(sent.get(&one.field), None);
            one.field
        });
        list.collect::<Vec<_>>()
    };
    let hi = || Service::Compatible.hi();
    let tool = Tool::new("f", Json::from_text("{}"));
    let request = hi().tool(tool).tool_choice(ToolChoice::Required);
    let request = request.parallel_tool_calls(false);
    let all = ["tools", "tool_choice", "parallel_tool_calls"];
    assert_eq!(left_out(Field::Tools, request), all);
    let request = hi().top_logprobs(2);
    assert_eq!(left_out(Field::Logprobs, request), ["top_logprobs"]);
}

#[test]
fn a_setting_replaced_by_extra_is_not_checked() {
    let wire = wire();
    let provider = compatible(&wire, |builder| {
        builder.unknown_fields([Field::N, Field::UserId])
    });
    let request = Service::Compatible.hi().n(2).user_id("u");
    let request = request.extra("n", 3).extra("user", "v");
    assert_eq!(provider.check(&request).unwrap(), []);
    let sent = body(&*provider, &wire, request);
    assert_eq!((&sent["n"], &sent["user"]), (&json!(3), &json!("v")));

    let recursive = Json::from_text(r##"{"items":{"$ref":"#"}}"##);
    let request = Service::Cerebras
        .hi()
        .response_format(ResponseFormat::json_schema("s", recursive).strict(true))
        .extra("response_format", Json::from_text(r#"{"type":"text"}"#))
        .message(Message::tool("nobody", "asked"))
        .extra("messages", Json::from_text("[1]"));
    assert_eq!(Service::Cerebras.check(&request).unwrap(), []);
    let sent = Service::Cerebras.body(request);
    assert_eq!(sent["response_format"], json!({ "type": "text" }));
    assert_eq!(sent["messages"], json!([1]));

    let request = Service::Playground.hi().n(2).extra("n", 3);
    assert_eq!(Service::Playground.check(&request).unwrap(), []);

    let request = Service::Replicate.hi().max_tokens(1).stop(["a,b"]);
    let request = request
        .extra("max_completion_tokens", 2)
        .extra("stop_sequences", "c");
    assert_eq!(Service::Replicate.check(&request).unwrap(), []);
    let sent = Service::Replicate.body(request);
    assert_eq!(sent["input"]["max_completion_tokens"], 2);
    assert_eq!(sent["input"]["stop_sequences"], "c");
}

#[test]
fn tools_in_extra_are_tools() {
    let tools = Json::from_text(r#"[{"type":"function","function":{"name":"f"}}]"#);
    for choice in [ToolChoice::None, ToolChoice::Auto, ToolChoice::Required] {
        let request = Service::Cerebras
            .hi()
            .tool_choice(choice)
            .extra("tools", tools.clone());
        assert_eq!(Service::Cerebras.check(&request).unwrap(), []);
        let sent = Service::Cerebras.body(request);
        assert!(sent.get("tool_choice").is_some());
        assert_eq!(sent["tools"][0]["function"]["name"], "f");
    }
}

#[test]
fn a_complete_input_replaces_the_settings_with_a_warning() {
    let input = Json::from_text(r#"{"prompt":"p"}"#);
    let request = Service::Replicate.hi().temperature(0.5).seed(1);
    let request = request.extra("input", input.clone());
    let list = Service::Replicate.check(&request).unwrap();
    assert_eq!(fields(&list), ["temperature", "seed"]);
    let sent = Service::Replicate.body(request.clone());
    assert_eq!(sent["input"], json!({ "prompt": "p" }));
    let request = request.on_unsupported(OnUnsupported::Error);
    let error = Service::Replicate.check(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let request = Service::Replicate
        .hi()
        .extra("input", input)
        .extra("top_k", 5);
    let error = Service::Replicate.check(&request).unwrap_err();
    assert_eq!(
        (error.kind(), &*error.to_string()),
        (
            ErrorKind::Config,
            "invalid `extra`: `input` is the complete input, so put `top_k` into it"
        )
    );
}

#[test]
fn a_guarantee_that_the_path_lacks_is_reported() {
    let format = ResponseFormat::json_schema("s", Json::from_text("{}"));
    let request = |strict| {
        let format = format.clone().strict(strict);
        Service::Native.hi().response_format(format)
    };
    let list = Service::Native.check(&request(true)).unwrap();
    assert_eq!(fields(&list), ["response_format#strict"]);
    assert_eq!(Service::Native.check(&request(false)).unwrap(), []);
    let sent = Service::Native.body(request(true));
    assert_eq!(sent["response_format"]["json_schema"], json!({}));
}

#[test]
fn a_dropped_image_detail_is_reported() {
    let source = ImageSource::Url("https://a.test/i.png".to_owned());
    let detail = Some("low".to_owned());
    let image = Message::user("see").part(Part::Image { source, detail });
    let list = Service::Replicate.check(&Service::Replicate.hi().message(image));
    assert_eq!(fields(&list.unwrap()), ["detail"]);
}

#[test]
fn a_check_of_several_providers_reports_all_of_them() {
    let wire = wire();
    let replicate = Service::Replicate.provider(&wire);
    let lacking = compatible(&wire, |builder| builder.unknown_fields([Field::N]));
    let fallback = Fallback::new_with_model(replicate, "meta/meta-llama-3-8b-instruct")
        .or_with_model(lacking, "m");
    let request = ChatRequest::from("Hi").n(2);
    let checked = fallback.check(&request).unwrap_err();
    let refused = block_on(&wire.clock, fallback.stream(request)).unwrap_err();
    assert_eq!(shown(&checked), shown(&refused));
    assert_eq!(wire.count(), 0);
}

#[test]
fn nothing_is_sent_by_a_check() {
    for service in Service::ALL {
        let wire = wire();
        let provider = service.provider(&wire);
        provider.check(&service.hi()).unwrap();
        provider.check(&ChatRequest::new("m")).unwrap_err();
        assert_eq!(wire.count(), 0);
    }
}

#[test]
fn a_check_has_the_errors_of_the_request() {
    let huge = "a".repeat(17 << 20);
    for service in Service::ALL {
        for request in [
            service.hi().max_tokens(0),
            service.hi().temperature(f64::NAN),
            service.hi().user(huge.as_str()),
            service.hi().header(
                http::header::AUTHORIZATION,
                http::HeaderValue::from_static("x"),
            ),
        ] {
            let checked = service.check(&request).unwrap_err();
            let wire = wire();
            let provider = service.provider(&wire);
            let refused = block_on(&wire.clock, provider.stream(request)).unwrap_err();
            assert_eq!(
                (checked.kind(), checked.to_string()),
                (refused.kind(), refused.to_string())
            );
            assert_eq!(wire.count(), 0);
        }
    }
}

#[test]
fn dropped_choices_are_not_waited_for() {
    let wire = Wire::new([Answer::sse([piece(sse(&[WHOLE]).as_bytes())])]);
    let provider = compatible(&wire, |builder| builder.unknown_fields([Field::N]));
    let request = Service::Compatible.hi().n(3);
    let request = request.on_unsupported(OnUnsupported::Warn);
    let stream = block_on(&wire.clock, provider.stream(request)).unwrap();
    let response = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(response.text(), "a");
    assert_eq!(wire.clock.elapsed().as_secs(), 0);
}

#[test]
fn usage_is_not_requested_if_it_is_unsupported() {
    let wire = wire();
    let provider = compatible(&wire, |builder| builder.asks_for_usage(false));
    let body = body(&*provider, &wire, Service::Compatible.hi());
    assert_eq!(body.get("stream_options"), None);
    assert_eq!(body["stream"], json!(true));
}

#[test]
fn combinators_forward_the_check() {
    let wire = wire();
    let replicate = || Service::Replicate.provider(&wire);
    let cerebras = || Service::Cerebras.provider(&wire);
    let request = Service::Cerebras.hi().n(2);

    let mut of_llama = request.clone();
    of_llama.model = Some("meta/meta-llama-3-8b-instruct".to_owned());
    let limit = ConcurrencyLimit::new(replicate());
    let kind =
        |checked: Result<Vec<Unsupported>, inferstream_core::Error>| checked.unwrap_err().kind();
    assert_eq!(kind(limit.check(&of_llama)), ErrorKind::Unsupported);

    let warn = request.clone().on_unsupported(OnUnsupported::Warn);
    let fallback =
        Fallback::new_with_model(replicate(), "meta/meta-llama-3-8b-instruct").or(cerebras());
    // The first provider does not support it, so the next one would be tried.
    assert_eq!(fallback.check(&request).unwrap(), []);
    assert_eq!(fields(&fallback.check(&warn).unwrap()), ["n"]);

    let hub = Hub::new().with_name("r", replicate());
    let checked = hub.check("r/meta/meta-llama-3-8b-instruct", warn);
    assert_eq!(fields(&checked.unwrap()), ["n"]);
    assert_eq!(kind(hub.check("nobody", request)), ErrorKind::Config);
    assert_eq!(wire.count(), 0);
}

#[test]
fn the_policy_can_be_serialized() {
    let request: ChatRequest =
        serde_json::from_value(json!({ "messages": [], "on_unsupported": "warn" })).unwrap();
    assert_eq!(request.on_unsupported, Some(OnUnsupported::Warn));
    let request = request.logit_bias(5, 1.5);
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<ChatRequest>(&text).unwrap(), request);
}
