//! What becomes of what a provider lacks.

use inferstream::Hub;
use inferstream_core::{
    ChatRequest, ConcurrencyLimit, ErrorKind, Fallback, OnUnsupported, Provider, Unsupported,
};
use serde_json::json;

use super::{Service, body, compatible, wire};
use crate::support::{Answer, Wire, block_on, piece, sse};

const WHOLE: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}"#;

fn fields(list: &[Unsupported]) -> Vec<&str> {
    list.iter().map(|one| one.field.as_str()).collect()
}

#[test]
fn all_that_is_lacking_is_named_at_once() {
    let request = Service::Replicate.hi().n(2).logprobs(true).user_id("u");
    let error = Service::Replicate.check(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "replicate does not take `n`, `logprobs`; leave it out, or have it left out by \
         `on_unsupported`"
    );
    let request = request.on_unsupported(OnUnsupported::Error);
    let error = Service::Replicate.check(&request).unwrap_err();
    assert!(error.to_string().contains("`user_id`"), "{error}");
    let request = request.on_unsupported(OnUnsupported::Warn);
    let list = Service::Replicate.check(&request).unwrap();
    assert_eq!(fields(&list), ["user_id", "n", "logprobs"]);
}

#[test]
fn what_is_left_out_is_a_warning_unless_it_is_ignored() {
    let ask = |policy| {
        let wire = Wire::new([Answer::sse([piece(sse(&[WHOLE]).as_bytes())])]);
        let provider = compatible(&wire, |builder| builder.unknown_fields(["seed", "user"]));
        let request = Service::Compatible.hi().seed(7).user_id("u");
        let request = request.on_unsupported(policy);
        let stream = block_on(&wire.clock, provider.stream(request)).unwrap();
        assert_eq!(wire.json().get("seed"), None);
        stream.meta().warnings.clone()
    };
    assert_eq!(
        ask(OnUnsupported::Warn),
        ["`seed`, `user_id` were left out: the service does not know it"]
    );
    assert!(ask(OnUnsupported::Ignore).is_empty());
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
fn a_check_refuses_what_the_request_is_refused_for() {
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
fn choices_that_are_left_out_are_not_waited_for() {
    let wire = Wire::new([Answer::sse([piece(sse(&[WHOLE]).as_bytes())])]);
    let provider = compatible(&wire, |builder| builder.unknown_fields(["n"]));
    let request = Service::Compatible.hi().n(3);
    let request = request.on_unsupported(OnUnsupported::Warn);
    let stream = block_on(&wire.clock, provider.stream(request)).unwrap();
    let response = block_on(&wire.clock, stream.finish()).unwrap();
    assert_eq!(response.text(), "a");
    assert_eq!(wire.clock.elapsed().as_secs(), 0);
}

#[test]
fn a_service_that_knows_no_usage_is_not_asked_for_it() {
    let wire = wire();
    let provider = compatible(&wire, |builder| builder.unknown_fields(["stream_options"]));
    let body = body(&*provider, &wire, Service::Compatible.hi());
    assert_eq!(body.get("stream_options"), None);
    assert_eq!(body["stream"], json!(true));
}

#[test]
fn what_is_made_of_providers_asks_them() {
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
    // The first one lacks it, and so the next would be asked.
    assert_eq!(fallback.check(&request).unwrap(), []);
    assert_eq!(fields(&fallback.check(&warn).unwrap()), ["n"]);

    let hub = Hub::new().with_name("r", replicate());
    let checked = hub.check("r/meta/meta-llama-3-8b-instruct", warn);
    assert_eq!(fields(&checked.unwrap()), ["n"]);
    assert_eq!(kind(hub.check("nobody", request)), ErrorKind::Config);
    assert_eq!(wire.count(), 0);
}

#[test]
fn the_policy_is_data() {
    let request: ChatRequest =
        serde_json::from_value(json!({ "messages": [], "on_unsupported": "warn" })).unwrap();
    assert_eq!(request.on_unsupported, Some(OnUnsupported::Warn));
    let request = request.logit_bias(5, 1.5);
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<ChatRequest>(&text).unwrap(), request);
}
