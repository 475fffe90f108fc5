//! Errors that name the setting that they are about.

use std::time::Duration;

use inferstream::transport::{HttpTransport, Roots};
use inferstream_cablyai::CablyAiBuilder;
use inferstream_cerebras::{CerebrasBuilder, Cookies};
use inferstream_cloudflare::CloudflareBuilder;
use inferstream_core::{ApiKey, ChatRequest, Error, Field, Json, OnUnsupported, Result};
use inferstream_openai_compat::CompatibleBuilder;
use inferstream_replicate::ReplicateBuilder;

const URL: &str = "http://localhost:9/v1";

#[track_caller]
fn check<T>(outcome: Result<T>, setting: &str) {
    let error = outcome.err().unwrap();
    assert_eq!(error.setting(), Some(setting), "{error}");
}

#[test]
fn the_setting_is_kept_with_context_and_can_be_replaced() {
    let error = Error::config("invalid").with_setting("proxy").context("x");
    assert_eq!(error.setting(), Some("proxy"));
    let name = String::from("api_token");
    assert_eq!(error.with_setting(name).setting(), Some("api_token"));
    assert_eq!(Error::protocol("broken").setting(), None);
}

#[test]
fn errors_of_a_request_have_its_field() {
    let request = || ChatRequest::new("m").user("Hi");
    check(ChatRequest::new("m").validate(), "messages");
    check(request().max_tokens(0).validate(), "max_tokens");
    check(request().temperature(f64::NAN).validate(), "temperature");
    let mut several = request();
    several.n = Some(0);
    check(several.validate(), "n");
}

#[test]
fn errors_of_a_key_name_its_setter() {
    check(ApiKey::new(" "), "api_key");
    check(CerebrasBuilder::default().api_key("a b").build(), "api_key");
    let cloudflare = || CloudflareBuilder::default().account_id("a1");
    check(cloudflare().api_token("a b").build(), "api_token");
    check(
        cloudflare().api_key("me@example.com", "a b").build(),
        "api_key",
    );
    check(
        cloudflare().api_token("a").gateway_token("a b").build(),
        "gateway_token",
    );
}

#[test]
fn errors_of_a_url_name_its_setting() {
    check(CablyAiBuilder::default().base_url("x").build(), "base_url");
    check(CompatibleBuilder::default().build(), "base_url");
    let compatible = || CompatibleBuilder::default().base_url(URL);
    check(compatible().name("a b").build(), "name");
    check(compatible().path("x").build(), "path");
    check(
        CompatibleBuilder::default()
            .base_url("http://localhost:9/v1/chat/completions")
            .build(),
        "base_url",
    );
    let replicate = || ReplicateBuilder::default().api_key("r8");
    check(replicate().stream_origin("x").build(), "stream_origin");
    check(
        replicate().cancel_after(Duration::from_millis(1)).build(),
        "cancel_after",
    );
    let cloudflare = || CloudflareBuilder::default().api_token("a");
    check(cloudflare().build(), "account_id");
    check(cloudflare().account_id("a/b").build(), "account_id");
    check(
        cloudflare().account_id("a").gateway("a/b").build(),
        "gateway",
    );
}

#[test]
fn errors_of_a_transport_name_its_setting() {
    let builder = HttpTransport::builder;
    check(builder().proxy("nonsense:").build(), "proxy");
    check(builder().certificate_pem("x").build(), "certificate_pem");
    check(builder().roots(Roots::Given).build(), "certificate_pem");
    check(builder().user_agent("a\nb").build(), "user_agent");
}

#[test]
fn errors_of_cookies_name_their_setting() {
    check(Cookies::from_header("x"), "cookies");
    check(Cookies::from_text("{"), "cookies");
    check(Cookies::from_file("no/such/file"), "cookies");
}

#[test]
fn a_refused_setting_names_the_policy_that_drops_it() {
    let compatible = CompatibleBuilder::default()
        .base_url(URL)
        .unknown_fields([Field::TopK])
        .build()
        .unwrap();
    let mut request = ChatRequest::new("m").user("Hi");
    request.top_k = Some(1);
    check(compatible.check(request.clone()), "on_unsupported");
    let request = request.on_unsupported(OnUnsupported::Warn);
    assert_eq!(compatible.check(request).unwrap().len(), 1);
    check(compatible.check("Hi"), "model");
}

#[test]
fn errors_of_a_model_or_an_option_name_it() {
    let replicate = ReplicateBuilder::default().api_key("r8").build().unwrap();
    check(replicate.check(ChatRequest::new("a").user("Hi")), "model");
    let mut request = ChatRequest::from("Hi");
    request.extra.push(("input".into(), Json::from(1)));
    check(replicate.check(request), "extra");
}
