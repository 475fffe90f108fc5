//! The provider of the example `openrouter`, which uses only public items.

use http::HeaderValue;
use inferstream_core::{ChatRequest, ErrorKind};

use self::provider::OpenRouterBuilder;
use super::{KEY, wire};
use crate::support::block_on;

#[path = "../../../crates/openai-compat/examples/openrouter/provider.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the example is written as a library, and not all of it is called here"
)]
mod provider;

fn hi() -> ChatRequest {
    ChatRequest::new("openai/gpt-4o-mini").user("Hi")
}

#[test]
fn a_custom_provider_sends_its_key_and_its_own_headers() {
    let wire = wire();
    let client = OpenRouterBuilder::default()
        .api_key(KEY)
        .app(
            HeaderValue::from_static("https://example.com"),
            HeaderValue::from_static("A test"),
        )
        .transport(wire.clone())
        .build()
        .unwrap();
    let response = block_on(&wire.clock, client.chat(hi())).unwrap();
    assert_eq!(response.text(), "Hi");
    let request = wire.request();
    let url = "https://openrouter.ai/api/v1/chat/completions";
    assert_eq!(request.uri(), url);
    let headers = request.headers();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["http-referer"], "https://example.com");
    assert_eq!(headers["x-title"], "A test");
}

#[test]
fn a_custom_provider_without_a_key_sends_nothing() {
    let wire = wire();
    let builder = OpenRouterBuilder::default().transport(wire.clone());
    let client = builder.build().unwrap();
    let error = block_on(&wire.clock, client.chat(hi())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert_eq!(error.to_string(), "missing key: set OPENROUTER_API_KEY");
    assert_eq!(wire.count(), 0);
}
