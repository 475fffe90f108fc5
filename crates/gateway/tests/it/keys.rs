//! Keys and their limits, and the checks of web pages.

use std::time::Duration;

use inferstream::{ApiKey, Timeouts};
use inferstream_gateway::{Config, Gateway, KeyConfig, KeySource, serve};
use inferstream_simulator::Simulator;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::support::{END, STREAM, Served, Service, chunk, hub, request};

fn key(secret: &str) -> KeyConfig {
    KeyConfig::new(KeySource::Value(ApiKey::new(secret).unwrap()))
}

async fn start(config: Config) -> (Simulator, Served) {
    let simulator = Simulator::builder().start().await.unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
    (simulator, served)
}

const MODEL: &str = "cerebras/gpt-oss-120b";
const A: &str = "authorization: Bearer key-of-a\r\n";

#[tokio::test]
async fn requests_without_a_known_key_are_refused_before_anything_is_sent() {
    let (simulator, served) = start(Config::default().key("a", key("key-of-a"))).await;
    for headers in ["", "authorization: Bearer other\r\n", "x-api-key: \r\n"] {
        let reply = served.chat_with(headers, &request(MODEL, "")).await;
        assert_eq!(reply.status, 401, "{reply:?}");
        assert_eq!(reply.json()["error"]["code"], "invalid_api_key");
    }
    assert_eq!(served.get("/v1/models").await.status, 401);
    assert_eq!(served.get("/healthz").await.status, 200);
    assert!(simulator.requests().is_empty());
    for headers in [A, "x-api-key: key-of-a\r\n"] {
        assert_eq!(
            served.chat_with(headers, &request(MODEL, "")).await.status,
            200
        );
    }
    // The client's key is not the provider's.
    let sent = format!("{:?}", simulator.requests());
    assert!(!sent.contains("key-of-a"), "{sent}");
}

#[tokio::test]
async fn a_key_gets_only_its_models() {
    let config = Config::default()
        .alias("fast", [MODEL])
        .key("a", key("key-of-a").models(["fast", "replicate/*"]));
    let (_simulator, served) = start(config).await;
    assert_eq!(served.chat_with(A, &request("fast", "")).await.status, 200);
    let reply = served.chat_with(A, &request(MODEL, "")).await;
    assert_eq!(
        (reply.status, reply.json()["error"]["code"].as_str()),
        (403, Some("model_not_allowed"))
    );
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: {}\r\n{A}", served.address);
    let list = served.send(&head, "").await.json();
    let ids = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap());
    assert!(
        ids.into_iter()
            .all(|id| id == "fast" || id.starts_with("replicate/"))
    );
}

#[tokio::test]
async fn a_key_is_limited_in_requests_and_tokens() {
    let config = Config::default()
        .key("a", key("key-of-a").requests_per_minute(2))
        .key("b", key("key-of-b").tokens_per_minute(2_000));
    let (_simulator, served) = start(config).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(served.chat_with(A, &request(MODEL, "")).await);
    }
    let last = statuses.pop().unwrap();
    assert!(statuses.iter().all(|reply| reply.status == 200));
    assert_eq!(
        (last.status, last.json()["error"]["code"].as_str()),
        (429, Some("rate_limit_exceeded"))
    );
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");

    let b = "authorization: Bearer key-of-b\r\n";
    let reply = served
        .chat_with(b, &request(MODEL, r#","max_tokens":2001"#))
        .await;
    assert_eq!(
        (reply.status, reply.header("x-should-retry")),
        (429, Some("false"))
    );
    // Each is charged with all tokens of the minute at first, and then with what it used.
    for _ in 0..2 {
        let reply = served
            .chat_with(b, &request(MODEL, r#","max_tokens":1500"#))
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
}

#[tokio::test]
async fn a_key_waits_for_its_responses_in_flight_if_it_may() {
    let service = Service::start().await;
    let config = Config::default()
        .key("a", key("key-of-a").max_in_flight(1))
        .key(
            "b",
            key("key-of-b")
                .max_in_flight(1)
                .wait(Duration::from_secs(60)),
        );
    let served = Served::start(service.hub(), config).await;
    let whole = format!("{STREAM}{}{END}", chunk("one"));
    let body = request("local/m", r#","stream":true"#);
    for (headers, status) in [(A, 429), ("authorization: Bearer key-of-b\r\n", 200)] {
        let (first, second, ()) = tokio::join!(
            served.chat_with(headers, &body),
            served.chat_with(headers, &body),
            async {
                let mut connection = service.accept().await;
                // Without a wait, the other one has been refused by now or is refused soon.
                if status == 429 {
                    while !served
                        .get("/metrics")
                        .await
                        .body
                        .contains("limited_requests_total 1")
                    {}
                }
                connection.write_all(whole.as_bytes()).await.unwrap();
                drop(connection);
                if status == 200 {
                    let mut connection = service.accept().await;
                    connection.write_all(whole.as_bytes()).await.unwrap();
                }
            }
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, status]);
    }
}

#[tokio::test]
async fn pages_of_other_origins_and_rebound_names_are_refused() {
    let mut config = Config::default();
    config.serve.cors = vec!["https://app.example.com".to_owned()];
    let (simulator, served) = start(config).await;
    let line = "POST /v1/chat/completions HTTP/1.1\r\n";
    let address = &served.address;
    let body = request(MODEL, "");
    for (headers, status) in [
        ("host: evil.example\r\n".to_owned(), 403),
        (
            format!("host: {address}\r\norigin: https://evil.example\r\n"),
            403,
        ),
        (format!("host: {address}\r\norigin: null\r\n"), 403),
        (
            format!("host: {address}\r\norigin: http://{address}\r\n"),
            200,
        ),
        (
            format!("host: {address}\r\norigin: https://app.example.com\r\n"),
            200,
        ),
    ] {
        let reply = served.send(&format!("{line}{headers}"), &body).await;
        assert_eq!(reply.status, status, "{headers}: {reply:?}");
        let allowed = reply.header("access-control-allow-origin");
        assert_eq!(
            allowed.is_some(),
            headers.contains("app.example.com"),
            "{reply:?}"
        );
    }
    assert_eq!(simulator.requests().len(), 2);
    let preflight = format!(
        "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\norigin: https://app.example.com\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: authorization\r\n"
    );
    let reply = served.send(&preflight, "").await;
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("authorization")
    );
}

#[tokio::test]
async fn an_open_address_without_keys_is_refused() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let service = Service::start().await;
    let gateway = Gateway::new(service.hub(), Config::default()).unwrap();
    let error = serve(listener, gateway, std::future::pending())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let open = "0.0.0.0:80".parse().unwrap();
    let mut config = Config::default();
    config.serve.allow_without_keys = true;
    Gateway::new(service.hub(), config)
        .unwrap()
        .check_address(open)
        .unwrap();
    let config = Config::default().key("a", key("key-of-a"));
    Gateway::new(service.hub(), config)
        .unwrap()
        .check_address(open)
        .unwrap();
}

#[tokio::test]
async fn debug_output_shows_no_key() {
    let source = KeySource::Value(ApiKey::new("key-of-a").unwrap());
    let config = Config::default().key("a", key("key-of-a"));
    let (_simulator, served) = start(config.clone()).await;
    for shown in [
        format!("{source:?}"),
        format!("{:?}", key("key-of-a")),
        format!("{config:?}"),
        format!("{:?}", served.gateway),
    ] {
        assert!(!shown.contains("key-of-a"), "{shown}");
    }
}
