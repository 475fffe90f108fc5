//! The shutdown: new requests are refused, and responses in flight end or are ended.

use std::time::Duration;

use inferstream_gateway::Config;
use tokio::io::AsyncWriteExt as _;

use crate::support::{
    END, Reply, SHORT, STREAM, STREAMED, Served, Service, chunk, read_until, request,
};

#[tokio::test]
async fn a_shutdown_refuses_new_requests_and_lets_streams_end() {
    let service = Service::start().await;
    let mut served = Served::start(service.hub(), Config::default()).await;
    assert_eq!(served.get("/readyz").await.status, 200);
    let head = served.chat_head("");
    let mut client = served.open(&head, &request("local/m", STREAMED)).await;
    let mut upstream = service.accept().await;
    let begun = format!("{STREAM}{}", chunk("one"));
    upstream.write_all(begun.as_bytes()).await.unwrap();
    read_until(&mut client, "one").await;

    served.stop();
    while served.get("/readyz").await.status != 503 {}
    assert_eq!(served.get("/healthz").await.status, 200);
    let refused = served.chat(&request("local/m", "")).await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (503, Some("draining"))
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("connection"), Some("close"));

    upstream.write_all(END.as_bytes()).await.unwrap();
    let rest = read_until(&mut client, "0\r\n\r\n").await;
    assert!(rest.contains("[DONE]"), "{rest}");
}

#[tokio::test]
async fn a_stream_that_outlives_the_shutdown_ends_with_an_error() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.linger = Duration::ZERO;
    config.serve.drain = SHORT;
    let mut served = Served::start(service.hub(), config).await;
    let head = served.chat_head("");
    let mut client = served.open(&head, &request("local/m", STREAMED)).await;
    let document = served.open(&head, &request("local/m", "")).await;
    let (mut one, mut other) = (service.accept().await, service.accept().await);
    // One of them is the stream.
    for upstream in [&mut one, &mut other] {
        let begun = format!("{STREAM}{}", chunk("one"));
        upstream.write_all(begun.as_bytes()).await.unwrap();
    }
    read_until(&mut client, "one").await;
    served.stop();
    let rest = read_until(&mut client, "0\r\n\r\n").await;
    assert!(rest.contains("\"code\":\"draining\""), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
    let reply = Reply::read(document).await;
    assert_ne!(reply.status, 200);
    (&mut served.task).await.unwrap().unwrap();
}
