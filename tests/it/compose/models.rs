//! The models that the providers of a fallback are asked for, and the fallback's own name.

use http::HeaderValue;
use inferstream_compose::{ConcurrencyLimit, Fallback};
use inferstream_core::{Capabilities, ChatRequest, Error, ErrorKind, Message, Provider};

use super::{Act, Fake, now, says};

fn refuses(id: &'static str) -> Fake {
    Fake::new(
        id,
        [Act::Refuse(Error::new(ErrorKind::Overloaded, "no room"))],
    )
}

/// Returns the model that a provider was asked for.
#[track_caller]
fn asked(fake: &Fake) -> Option<String> {
    let requests = fake.requests();
    assert_eq!(requests.len(), 1);
    requests[0].model.clone()
}

/// Checks which model the second provider is asked for; the first one knows `model`.
#[track_caller]
fn check(second: &Fake, model: Option<&str>, expected: Option<&str>) {
    let one = refuses("one").knows(&["model"]);
    let mut request = ChatRequest::from("hi");
    request.model = model.map(str::to_owned);
    now(Fallback::new(one.clone())
        .or(second.clone())
        .chat(request.clone()))
    .unwrap();
    assert_eq!(
        asked(&one).as_deref(),
        model,
        "the first provider gets the request unchanged"
    );
    assert_eq!(asked(second).as_deref(), expected);
    request.model = None;
    let mut rest = second.requests()[0].clone();
    rest.model = None;
    assert_eq!(rest, request, "the rest is the same");
}

fn two() -> Fake {
    Fake::new("two", [says("two")])
}

#[test]
fn the_second_provider_uses_its_default_for_an_unknown_model() {
    check(&two(), Some("model"), None);
    check(&two().knows(&["other"]), Some("model"), None);
}

#[test]
fn the_second_provider_uses_a_model_that_it_knows() {
    check(
        &two().knows(&["other", "model"]),
        Some("model"),
        Some("model"),
    );
    let mut alias = two().knows(&["long/model"]);
    alias.info.model_aliases = &[("model", "long/model")];
    check(&alias, Some("model"), Some("model"));
    let mut gone = two().knows(&["other"]);
    gone.info.model_aliases = &[("model", "long/model")];
    check(&gone, Some("model"), None);
}

#[test]
fn the_same_service_gets_any_model() {
    check(
        &Fake::new("one", [says("two")]),
        Some("model"),
        Some("model"),
    );
}

#[test]
fn a_provider_without_a_default_gets_the_model_of_the_request() {
    let mut two = two();
    two.info.default_model = None;
    check(&two, Some("model"), Some("model"));
}

#[test]
fn a_request_without_a_model_uses_each_default() {
    check(&two().knows(&["model"]), None, None);
}

#[test]
fn or_with_model_overrides_the_model_of_the_request() {
    for model in [None, Some("model"), Some("other")] {
        let [one, two] = [refuses("one"), two().knows(&["model"])];
        let fallback =
            Fallback::new_with_model(one.clone(), "first").or_with_model(two.clone(), "second");
        let mut request = ChatRequest::from("hi");
        request.model = model.map(str::to_owned);
        now(fallback.chat(request)).unwrap();
        assert_eq!(asked(&one).as_deref(), Some("first"));
        assert_eq!(asked(&two).as_deref(), Some("second"));
    }
}

#[test]
fn the_headers_are_sent_only_to_the_first_provider() {
    let [one, two, three] = [refuses("one"), refuses("one"), two()];
    let name = http::HeaderName::from_static("x-gateway-key");
    let request = ChatRequest::from("hi").header(name, HeaderValue::from_static("5ecret"));
    let fallback = Fallback::new(one.clone()).or(two.clone()).or(three.clone());
    now(fallback.chat(request.extra("a", 1))).unwrap();
    let headers = [&one, &two, &three].map(|fake| fake.requests()[0].headers.len());
    assert_eq!(headers, [1, 0, 0]);
    let requests = [&one, &two, &three].map(|fake| fake.requests().remove(0));
    for request in requests {
        assert_eq!(request.extra.len(), 1);
        assert_eq!(request.messages, [Message::user("hi")]);
    }
}

#[test]
fn info_and_models_are_those_of_the_first_provider() {
    let one = refuses("one").knows(&["model"]);
    let fallback = Fallback::new(one.clone()).or(two().knows(&["other"]));
    assert_eq!(fallback.info(), one.info());
    assert_eq!(fallback.known_models(), one.known_models());
    assert_eq!(now(fallback.models()).unwrap(), one.known_models());
    let limit = ConcurrencyLimit::new(one.clone());
    assert_eq!(limit.info(), one.info());
    assert_eq!(limit.known_models(), one.known_models());
    assert_eq!(now(limit.models()).unwrap(), one.known_models());
    assert_eq!(limit.capabilities("model"), one.capabilities("model"));
}

#[test]
fn its_capabilities_are_those_that_all_providers_share() {
    let with = |id, capabilities| {
        let mut fake = Fake::new(id, [says("a")]).knows(&["model"]);
        fake.capabilities = capabilities;
        fake
    };
    let can = |fallback: &Fallback| fallback.capabilities("model");
    let one = || Fallback::new(with("one", |_| images(true)));
    assert_eq!(can(&one()), images(true));
    assert_eq!(can(&one().or(with("two", |_| images(true)))), images(true));
    assert_eq!(
        can(&one().or(with("two", |_| images(false)))),
        images(false)
    );

    // Each with the model that it would be asked for.
    let two = || with("two", |model| images(model == "model"));
    let three = || with("three", |model| images(model == "default")).knows(&[]);
    assert_eq!(can(&one().or(two())), images(true));
    assert_eq!(can(&one().or(two().knows(&[]))), images(false));
    assert_eq!(can(&one().or(three())), images(true));
    assert_eq!(can(&one().or_with_model(two(), "other")), images(false));

    let open = one().or(with("two", |_| open()));
    assert!(can(&open).needs_auth, "one of them requires a key");
    assert!(!can(&open).supports_tools, "one of them has no tools");
}

fn images(supports: bool) -> Capabilities {
    let mut capabilities = Capabilities::default();
    capabilities.supports_images = supports;
    capabilities
}

/// Capabilities without keys and tools.
fn open() -> Capabilities {
    let mut capabilities = images(true);
    capabilities.needs_auth = false;
    capabilities.supports_tools = false;
    capabilities
}
