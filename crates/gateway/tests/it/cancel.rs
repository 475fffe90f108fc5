//! A client that leaves frees the service at once, and one that does not read holds it back.

use std::time::Duration;

use inferstream::{ChatRequest, Timeouts};
use inferstream_gateway::Config;
use inferstream_simulator::{Answer, Simulator, SimulatorBuilder};
use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::support::{
    END, Reply, SHORT, STREAM, STREAMED, Served, Service, chunk, closed, hub, read_until, request,
};

#[tokio::test]
async fn a_client_that_leaves_before_the_headers_frees_the_service() {
    for members in ["", STREAMED] {
        let service = Service::start().await;
        let served = Served::start(service.hub(), Config::default()).await;
        let head = served.chat_head("");
        let client = served.open(&head, &request("local/m", members)).await;
        let upstream = service.accept().await;
        drop(client);
        closed(upstream).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_a_stream_frees_the_service() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), Config::default()).await;
    let head = served.chat_head("");
    let mut client = served.open(&head, &request("local/m", STREAMED)).await;
    let mut upstream = service.accept().await;
    let begun = format!("{STREAM}{}", chunk("one"));
    upstream.write_all(begun.as_bytes()).await.unwrap();
    read_until(&mut client, "one").await;
    drop(client);
    closed(upstream).await;
    // The request is counted as canceled as soon as it is dropped, which is before the close.
    let metrics = served.get("/metrics").await.body;
    assert!(metrics.contains("end=\"canceled\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_are_freed_if_their_clients_leave_at_once() {
    const CLIENTS: usize = 20;
    let answers = std::iter::repeat_n(Answer::text("word ".repeat(1_000)), CLIENTS);
    let simulator = answers.fold(
        Simulator::builder().tokens_per_second(50.0),
        SimulatorBuilder::answer,
    );
    let simulator = simulator.start().await.unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), Config::default()).await;
    let body = request("cerebras/gpt-oss-120b", STREAMED);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = served.open(&served.chat_head(""), &body).await;
        read_until(&mut client, "data: ").await;
        clients.push(client);
    }
    assert_eq!(simulator.counts().connections, CLIENTS);
    drop(clients);
    while 0 < simulator.counts().connections {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_prediction_is_canceled_if_the_client_leaves() {
    let simulator = Simulator::builder()
        .tokens_per_second(20.0)
        .answer(Answer::text("word ".repeat(1_000)))
        .start()
        .await
        .unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), Config::default()).await;
    let head = served.chat_head("");
    let model = "replicate/meta/meta-llama-3-8b-instruct";
    let mut client = served.open(&head, &request(model, STREAMED)).await;
    read_until(&mut client, "word").await;
    drop(client);
    while simulator.counts().cancels == 0 {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn comments_are_sent_while_the_service_says_nothing() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.head_wait = SHORT;
    config.serve.keep_alive = SHORT;
    let served = Served::start(service.hub(), config).await;
    let head = served.chat_head("");
    let mut client = served.open(&head, &request("local/m", STREAMED)).await;
    let mut upstream = service.accept().await;
    let read = read_until(&mut client, ": keep-alive\n\n").await;
    assert!(read.starts_with("HTTP/1.1 200 OK\r\n"), "{read}");
    // After the headers have gone, an error of the service is a part of the stream.
    let busy = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    upstream.write_all(busy.as_bytes()).await.unwrap();
    let read = read_until(&mut client, "0\r\n\r\n").await;
    assert!(read.contains("\"finish_reason\":\"error\""), "{read}");
    assert!(!read.contains("[DONE]"), "{read}");
}

#[tokio::test]
async fn our_own_client_reads_through_comments() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.head_wait = SHORT;
    config.serve.keep_alive = SHORT;
    let served = Served::start(service.hub(), config).await;
    let client = served.client();
    let (response, ()) = tokio::join!(
        async {
            let request = ChatRequest::new("local/m").user("Hi");
            client.stream(request).await.unwrap().finish().await
        },
        async {
            let mut upstream = service.accept().await;
            upstream.write_all(STREAM.as_bytes()).await.unwrap();
            for text in ["one", " two"] {
                sleep(4 * SHORT).await;
                upstream.write_all(chunk(text).as_bytes()).await.unwrap();
            }
            upstream.write_all(END.as_bytes()).await.unwrap();
        }
    );
    assert_eq!(response.unwrap().text(), "one two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_the_service_back_and_is_closed() {
    const MOST: usize = 1 << 30;
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.write_timeout = 4 * SHORT;
    let served = Served::start(service.hub(), config).await;
    let head = served.chat_head("");
    let client = served.open(&head, &request("local/m", STREAMED)).await;
    let mut upstream = service.accept().await;
    upstream.write_all(STREAM.as_bytes()).await.unwrap();
    let part = chunk(&"word ".repeat(1_000));
    let mut written = 0;
    while written < MOST && upstream.write_all(part.as_bytes()).await.is_ok() {
        written += part.len();
    }
    // What fits into the buffers of four sockets; the gateway itself keeps far less.
    assert!(written < 64 << 20, "{written}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_streams_are_complete() {
    const AT_ONCE: usize = 100;
    // The simulator makes up an answer for each request.
    let simulator = Simulator::builder().start().await.unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), Config::default()).await;
    for _ in 0..3 {
        let body = request("cerebras/gpt-oss-120b", STREAMED);
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let head = served.chat_head("");
            let connection = served.open(&head, &body).await;
            streams.spawn(Reply::read(connection));
        }
        for reply in streams.join_all().await {
            assert!(reply.is_done(), "{reply:?}");
            assert_eq!(reply.finish_reasons(), ["stop"]);
        }
    }
    let metrics = served.get("/metrics").await.body;
    assert!(metrics.contains("end=\"complete\"} 300"), "{metrics}");
    assert!(
        metrics.contains("inferstream_responses_in_flight 0"),
        "{metrics}"
    );
}
