//! Limits of sizes and times at the client's side.

use std::time::Duration;

use inferstream::Timeouts;
use inferstream_gateway::Config;
use inferstream_simulator::Simulator;
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::support::{Reply, SHORT, STREAMED, Served, Service, closed, hub, read_until, request};

fn config() -> Config {
    let mut config = Config::default();
    config.serve.max_body_bytes = 1_000;
    config.serve.body_timeout = SHORT;
    config.serve.head_timeout = SHORT;
    config
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_by_its_announced_length_and_by_its_own() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), config()).await;
    // Nothing of this body is sent.
    let head = served.chat_head("connection: close\r\ncontent-length: 1001\r\n\r\n");
    let mut client = served.connect().await;
    client.write_all(head.as_bytes()).await.unwrap();
    let announced = Reply::read(client).await;

    let part = format!("{:x}\r\n{}\r\n", 600, " ".repeat(600)).repeat(2);
    let head = served.chat_head("connection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut client = served.connect().await;
    client
        .write_all(format!("{head}{part}").as_bytes())
        .await
        .unwrap();
    let own = Reply::read(client).await;
    for reply in [announced, own] {
        assert_eq!(reply.status, 413, "{reply:?}");
        let message = reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            message.contains("1000") && message.contains("max_body_bytes"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_slow_body_and_slow_headers_are_refused() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), config()).await;
    let head = served.chat_head("connection: close\r\ncontent-length: 100\r\n\r\n{");
    let mut client = served.connect().await;
    client.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(Reply::read(client).await.status, 408);

    let mut client = served.connect().await;
    client.write_all(b"POST /v1/chat").await.unwrap();
    closed(client).await;
}

#[tokio::test]
async fn headers_have_another_timeout_than_an_idle_connection() {
    const NEVER: Duration = Duration::from_secs(1_000);
    let service = Service::start().await;
    let mut config = Config::default();
    // Slow headers, in the first request and in the second.
    (config.serve.head_timeout, config.serve.idle_timeout) = (SHORT, NEVER);
    let served = Served::start(service.hub(), config.clone()).await;
    let get = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    for before in ["", &get] {
        let mut client = served.connect().await;
        if !before.is_empty() {
            client.write_all(before.as_bytes()).await.unwrap();
            read_until(&mut client, "ok\n").await;
        }
        // Each byte resets nothing.
        while client.write_all(b"G").await.is_ok() {
            sleep(SHORT / 4).await;
        }
    }
    // Idle, before the first request and after it.
    (config.serve.head_timeout, config.serve.idle_timeout) = (NEVER, SHORT);
    let served = Served::start(service.hub(), config.clone()).await;
    let get = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    closed(served.connect().await).await;
    let mut client = served.connect().await;
    client.write_all(get.as_bytes()).await.unwrap();
    closed(client).await;
}

#[tokio::test]
async fn an_idle_connection_may_send_another_request() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.head_timeout = SHORT;
    let served = Served::start(service.hub(), config).await;
    let get = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", served.address);
    let mut client = served.connect().await;
    for _ in 0..3 {
        sleep(2 * SHORT).await;
        client.write_all(get.as_bytes()).await.unwrap();
        read_until(&mut client, "ok\n").await;
    }
}

#[tokio::test]
async fn responses_above_the_limit_in_flight_are_refused() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.max_in_flight = 1;
    let served = Served::start(service.hub(), config).await;
    let head = served.chat_head("");
    let _client = served.open(&head, &request("local/m", "")).await;
    let _upstream = service.accept().await;
    let reply = served.chat(&request("local/m", "")).await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_body_of_a_megabyte_passes() {
    let simulator = Simulator::builder().start().await.unwrap();
    let hub = hub(&simulator, Timeouts::default());
    let served = Served::start(hub, Config::default()).await;
    let text = "word ".repeat(200_000);
    let body = request("cerebras/gpt-oss-120b", STREAMED).replace("Count!", &text);
    let reply = served.chat(&body).await;
    assert!(reply.is_done(), "{}", reply.head);
    assert!(text.len() < simulator.requests()[0].body.len());
}
