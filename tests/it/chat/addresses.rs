//! The URL and the headers of a request.

use http::{HeaderName, HeaderValue, Method};
use inferstream_cerebras::Cerebras;
use inferstream_client::Settings;
use inferstream_core::{ChatRequest, ErrorKind};
use inferstream_openai_compat::Chat;

use super::{
    Answer, Client, KEY, Plain, Wire,
    requests::{check_refused, new, send, wire},
};
use crate::support::block_on;

/// Returns the URLs of a chat request and of a request for the model list.
#[track_caller]
fn places(base: Option<&str>) -> (String, String, String) {
    let uri = |ask: &dyn Fn(&Cerebras, &Wire)| {
        let wire = wire();
        let mut builder = Cerebras::builder().api_key(KEY).transport(wire.clone());
        if let Some(base) = base {
            builder = builder.base_url(base);
        }
        ask(&builder.build().unwrap(), &wire);
        wire.request().uri().to_string()
    };
    let chat = uri(&|client, wire| drop(block_on(&wire.clock, client.stream("hi"))));
    let models = uri(&|client, wire| drop(block_on(&wire.clock, client.models())));
    let public = uri(&|client, wire| drop(block_on(&wire.clock, client.public_models())));
    (chat, models, public)
}

#[test]
fn each_url_contains_the_version_once() {
    for base in [
        None,
        Some("https://api.cerebras.ai"),
        Some("https://api.cerebras.ai/"),
        Some("https://api.cerebras.ai/v1"),
        Some("https://api.cerebras.ai/v1/"),
        Some(" https://api.cerebras.ai/v1 \n"),
    ] {
        let expected = (
            "https://api.cerebras.ai/v1/chat/completions".to_owned(),
            "https://api.cerebras.ai/v1/models".to_owned(),
            "https://api.cerebras.ai/public/v1/models".to_owned(),
        );
        assert_eq!(places(base), expected, "{base:?}");
    }
    let (chat, models, _) = places(Some("http://127.0.0.1:8080/gateway/cerebras/v1/"));
    assert_eq!(
        chat,
        "http://127.0.0.1:8080/gateway/cerebras/v1/chat/completions"
    );
    assert_eq!(models, "http://127.0.0.1:8080/gateway/cerebras/v1/models");
}

#[test]
fn an_invalid_base_url_is_an_error_and_not_shown() {
    for base in [
        "",
        "api.test",
        "ftp://api.test/v1",
        "https://",
        "https:///v1",
        "https://user:h1dden@api.test/v1",
        "https://api.test/v1?h1dden=1",
        "https://api.test/v1#h1dden",
        "https://api test/v1",
        "/v1",
    ] {
        let wire = wire();
        let settings = Settings::new(std::sync::Arc::new(wire));
        let error = inferstream_client::Client::new(Chat::new(Plain), base, settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{base}");
        assert!(!format!("{error} {error:?}").contains("h1dden"), "{error}");
    }
}

#[test]
fn trailing_slashes_of_the_base_url_are_ignored() {
    let wire = Wire::new([Answer::json(400, "")]);
    let client = inferstream_cerebras::Cerebras::builder()
        .api_key(KEY)
        .base_url("https://api.cerebras.ai//")
        .transport(wire.clone())
        .build()
        .unwrap();
    drop(block_on(&wire.clock, client.stream("hi")));
    assert_eq!(
        wire.request().uri(),
        "https://api.cerebras.ai/v1/chat/completions"
    );
}

#[test]
fn an_invalid_port_is_not_ignored() {
    for port in ["99999", "65536", "-1", "+80", "80x", ""] {
        let wire = Wire::new([]);
        let url = format!("http://127.0.0.1:{port}/v1");
        let client = inferstream_cerebras::Cerebras::builder()
            .base_url(url)
            .transport(wire);
        assert_eq!(
            client.build().unwrap_err().kind(),
            ErrorKind::Config,
            "{port}"
        );
    }
}

#[test]
fn another_engine_gets_the_limit_as_max_tokens() {
    let wire = Wire::new([Answer::json(400, "")]);
    let client = inferstream_cerebras::Cerebras::builder()
        .base_url("http://127.0.0.1:8801/v1")
        .transport(wire.clone())
        .build()
        .unwrap();
    drop(block_on(
        &wire.clock,
        client.stream(ChatRequest::from("hi").max_tokens(5)),
    ));
    assert!(wire.text().contains("\"max_tokens\":5"), "{}", wire.text());
}

#[test]
fn requests_have_the_expected_headers() {
    let wire = send(Client::Cerebras, new().user("hi"));
    let request = wire.request();
    let headers = request.headers();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers["accept"], "text/event-stream");
    assert_eq!(headers["content-type"], "application/json");
    assert!(!format!("{request:?}").contains(KEY));

    // Without a key there is no header.
    let wire = send(Client::Plain, new().user("hi"));
    assert!(!wire.request().headers().contains_key("authorization"));
}

#[test]
fn headers_of_a_request_replace_those_of_the_client() {
    let name = HeaderName::from_static("queue_threshold");
    let wire = wire();
    let client = Cerebras::builder()
        .api_key(KEY)
        .transport(wire.clone())
        .header(name.clone(), HeaderValue::from_static("50"))
        .header(
            HeaderName::from_static("x-own"),
            HeaderValue::from_static("1"),
        )
        .build()
        .unwrap();
    let request = new()
        .user("hi")
        .header(name, HeaderValue::from_static("60"));
    drop(block_on(&wire.clock, client.stream(request)).unwrap());
    let request = wire.request();
    let headers = request.headers();
    assert_eq!(headers["queue_threshold"], "60");
    assert_eq!(headers.get_all("queue_threshold").iter().count(), 1);
    assert_eq!(headers["x-own"], "1");
}

#[test]
fn the_header_of_the_key_cannot_be_set() {
    let value = HeaderValue::from_static("Bearer other");
    let request = new().user("hi").header(http::header::AUTHORIZATION, value);
    check_refused(Client::Cerebras, request, ErrorKind::Config);
}

#[test]
fn a_client_without_a_key_sends_nothing() {
    let wire = wire();
    let client = Cerebras::builder().transport(wire.clone()).build().unwrap();
    for error in [
        block_on(&wire.clock, client.stream("hi")).unwrap_err(),
        block_on(&wire.clock, client.chat("hi")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Auth);
        let text = error.to_string();
        assert!(text.contains("CEREBRAS_API_KEY"), "{text}");
        assert!(text.contains("https://cloud.cerebras.ai"), "{text}");
    }
    assert_eq!(wire.count(), 0);
    // The list does not require a key.
    drop(block_on(&wire.clock, client.models()));
    assert_eq!(
        wire.request().uri(),
        "https://api.cerebras.ai/public/v1/models"
    );
}

#[test]
fn an_invalid_key_is_an_error_and_not_shown() {
    for key in ["", " \n", "a b", "h1dden\u{e9}", "h1dden\nx", "h1dden\0"] {
        let error = Cerebras::builder()
            .api_key(key)
            .transport(wire())
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("h1dden"));
    }
    let wire = wire();
    let builder = Cerebras::builder().api_key(format!(" {KEY}\r\n"));
    let client = builder.transport(wire.clone()).build().unwrap();
    drop(block_on(&wire.clock, client.stream("hi")));
    assert_eq!(
        wire.request().headers()["authorization"],
        format!("Bearer {KEY}")
    );
    assert!(!format!("{client:?}").contains(KEY));
}
