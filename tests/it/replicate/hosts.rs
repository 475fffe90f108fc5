//! The hosts to which the key is sent.

use inferstream_core::ErrorKind;
use serde_json::{Value, json};

use super::{
    Answer, HOST, KEY, Scene, Service, What, builder, client, created, document, done, healthy,
    output, prediction, run_on, run_with, scene, stream_of, succeeded, with_url,
};
use crate::support::{Piece, block_on};

/// URLs to which nothing must be sent.
const EVIL: &[&str] = &[
    "https://evil.example/stream",
    "https://replicate.com.evil.example/stream",
    "https://evilreplicate.com/stream",
    "https://evil-replicate.net/stream",
    "https://replicate.com@evil.example/stream",
    "https://user@stream.replicate.com/stream",
    "https://user:pass@stream.replicate.com/stream",
    "https://stream.replicate.com:8443/stream",
    "https://stream.replicate.com:80/stream",
    "http://stream.replicate.com/stream",
    "http://stream.replicate.com:443/stream",
    "https://stream.replicate.com./stream",
    "https://127.0.0.1/stream",
    "https://[::1]/stream",
    "https://2130706433/stream",
    "https://replicate.co/stream",
    "https://replicate.comm/stream",
    "https://xn--replicte-3ya.com/stream",
    "https://replicаte.com/stream",
    "https://evil.example/.replicate.com",
    "https://evil.example?stream.replicate.com",
    "https://evil.example#stream.replicate.com",
    "https://evil.example\\.replicate.com/stream",
    "https://evil.example%2f.replicate.com/stream",
    "https://evil.example/\r\nHost: stream.replicate.com",
    "//evil.example/stream",
    "file:///etc/passwd",
    "ftp://stream.replicate.com/stream",
    "wss://stream.replicate.com/stream",
    "javascript:alert(1)",
    "https://",
    "https:///stream",
    "stream.replicate.com/stream",
    "/v1/stream",
];

fn named(name: &str, url: &str) -> Scene {
    let value = with_url(prediction("starting", &Value::Null), name, url);
    healthy(&["a", "b"]).create([created(&value)])
}

/// Checks that all requests were sent to the service's own API.
#[track_caller]
fn check_untouched(service: &Service, url: &str) {
    for asked in service.all() {
        let own = format!("https://{HOST}/v1/");
        let stream = super::stream_url();
        let uri = asked.uri();
        assert!(uri.starts_with(&own) || uri == stream, "{url}: {uri}");
    }
}

// H3
#[test]
fn a_stream_at_a_foreign_host_is_not_opened() {
    for url in EVIL {
        let service = named("stream", url).serve();
        let outcome = run_on(&service);
        assert_eq!(
            outcome.kind(),
            Some(ErrorKind::UntrustedHost),
            "{url}: {:?}",
            outcome.end
        );
        check_untouched(&service, url);
        assert_eq!(service.counts().0, 1, "{url}");
        assert_eq!(service.counts().1, 0, "{url}: 0 bytes");
        let line = outcome.error().to_string().replace("://", " ");
        assert!(!line.contains("/stream"), "the path is a secret: {line}");
        assert!(!line.contains("pass"), "{line}");
    }
}

#[test]
fn a_host_with_an_empty_label_is_invalid() {
    for url in [
        "https://.replicate.com/x",
        "https://stream..replicate.com/x",
    ] {
        let service = named("stream", url).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.kind(), Some(ErrorKind::UntrustedHost), "{url}");
        check_untouched(&service, url);
    }
}

#[test]
fn a_stream_at_a_host_of_the_service_gets_the_key() {
    for url in [
        "https://stream.replicate.com/v1/files/token",
        "https://stream-b.svc.rno2.c.replicate.net/v1/streams/token",
        "https://streaming.api.replicate.com/v1/streams/token",
        "https://replicate.com/stream",
        "https://STREAM.Replicate.COM/v1/files/token",
        "https://stream.replicate.com:443/v1/files/token",
        "https://stream.replicate.com/v1/files/token?x=1&y=2",
    ] {
        let stream = Answer::sse([Piece::from(&*stream_of(&["a", "b"]))]);
        let service = named("stream", url).other([stream]).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab", "{url}: {:?}", outcome.end);
        let stream = &service.asked(What::Other)[0];
        assert!(stream.has_key(), "{url}");
        let value = &stream.request.headers()["authorization"];
        assert!(value.is_sensitive(), "{url}");
    }
}

#[test]
fn another_origin_is_trusted_if_the_user_allows_it() {
    let url = "https://streams.example.com/v1/token";
    let stream = Answer::sse([Piece::from(&*stream_of(&["a", "b"]))]);
    let service = named("stream", url).other([stream]).serve();
    let client = builder(&service)
        .stream_origin("https://streams.example.com")
        .build()
        .unwrap();
    let opened = block_on(&service.clock, client.stream("hi"));
    let mut stream = opened.unwrap();
    while let Some(event) = block_on(&service.clock, stream.next()) {
        event.unwrap();
    }
    assert_eq!(stream.partial().text(), "ab");

    // Similar URLs are not.
    for url in [
        "https://streams.example.com:444/v1/token",
        "http://streams.example.com/v1/token",
        "https://x.streams.example.com/v1/token",
        "https://example.com/v1/token",
    ] {
        let service = named("stream", url).serve();
        let client = builder(&service)
            .stream_origin("https://streams.example.com")
            .build()
            .unwrap();
        let outcome = run_with(&service, &client, "hi");
        assert_eq!(outcome.kind(), Some(ErrorKind::UntrustedHost), "{url}");
        check_untouched(&service, url);
    }
    for origin in [
        "",
        "example.com",
        "https://",
        "https://u:p@example.com",
        "ftp://a",
    ] {
        let service = healthy(&["a"]).serve();
        let built = builder(&service).stream_origin(origin).build();
        assert_eq!(built.unwrap_err().kind(), ErrorKind::Config, "{origin}");
    }
}

// H4
#[test]
fn a_cancel_at_a_foreign_host_is_not_called() {
    for url in EVIL {
        let service = named("cancel", url).serve();
        let stream = block_on(&service.clock, client(&service).stream("hi")).unwrap();
        let warnings = stream.meta().warnings.clone();
        drop(stream);
        service.run_tasks();
        check_untouched(&service, url);
        assert!(service.count(What::Cancel) <= 1, "{url}");
        assert!(!warnings.is_empty(), "{url}: there is a warning");
        assert!(!format!("{warnings:?}").contains(KEY));
    }
}

#[test]
fn a_foreign_url_of_a_prediction_is_replaced() {
    for url in EVIL {
        let service = named("get", url).serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab", "{url}");
        check_untouched(&service, url);
        for asked in service.asked(What::Prediction) {
            assert_eq!(asked.uri(), super::get_url(), "{url}");
        }
    }
}

#[test]
fn an_invalid_web_url_is_kept_as_text() {
    for web in [
        json!("javascript:alert(1)"),
        json!(7),
        json!(null),
        json!({}),
    ] {
        let mut value = prediction("starting", &Value::Null);
        value["urls"]["web"] = web.clone();
        let service = healthy(&["a", "b"])
            .create([created(&value)])
            .prediction([super::trouble()])
            .serve();
        let outcome = run_on(&service);
        assert_eq!(outcome.text(), "ab");
        check_untouched(&service, "web");
    }
}

#[test]
fn a_host_that_changes_later_is_checked_again() {
    // The prediction's document names other URLs when it is read.
    let mut told = with_url(prediction("processing", &json!(["a"])), "stream", EVIL[0]);
    told = with_url(told, "get", EVIL[0]);
    told = with_url(told, "cancel", EVIL[0]);
    let cut = Answer::sse([Piece::from(&*output(0, "a")), super::broken()]);
    let service = scene("")
        .stream([cut, super::trouble()])
        .prediction([document(&told), document(&succeeded(&["a", "b"]))])
        .serve();
    let outcome = run_on(&service);
    assert_eq!(outcome.text(), "ab", "{:?}", outcome.end);
    check_untouched(&service, EVIL[0]);
}

// H11
#[test]
fn clients_do_not_share_keys() {
    let service = healthy(&["a"]).other([super::starting()]).serve();
    run_on(&service);
    let keyless = inferstream_replicate::Replicate::builder()
        .base_url("https://proxy.example/v1")
        .transport(service.clone())
        .build()
        .unwrap();
    let before = service.all().len();
    let opened = block_on(&service.clock, keyless.stream("hi"));
    drop(opened);
    service.run_tasks();
    let after = service.all().split_off(before);
    assert!(!after.is_empty());
    for asked in after {
        assert!(!asked.has_key(), "{}", asked.uri());
        assert!(!format!("{:?}", asked.request).contains(KEY));
    }
}

#[test]
fn each_client_has_its_own_key() {
    let service = healthy(&["a"]).serve();
    let first = client(&service);
    let second = inferstream_replicate::Replicate::builder()
        .api_key("r8_other")
        .transport(service.clone())
        .build()
        .unwrap();
    for (client, key) in [(&first, KEY), (&second, "r8_other"), (&first, KEY)] {
        let before = service.all().len();
        run_with(&service, client, "hi");
        let expected = format!("Bearer {key}");
        for asked in &service.all()[before..] {
            assert_eq!(asked.header("authorization"), Some(&*expected));
        }
    }
}

#[test]
fn a_redirect_of_a_stream_is_not_followed() {
    let redirect = inferstream_core::Error::new(
        ErrorKind::Redirect,
        "the service answered with a redirect to https://evil.example",
    );
    let service = scene(&done())
        .stream([Answer::error(redirect)])
        .prediction([super::trouble()])
        .serve();
    let outcome = run_on(&service);
    assert_eq!(
        outcome.kind(),
        Some(ErrorKind::Redirect),
        "{:?}",
        outcome.end
    );
    assert_eq!(service.counts().0, 1);
    check_untouched(&service, "redirect");
}
