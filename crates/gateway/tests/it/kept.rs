//! Responses that are kept by `Idempotency-Key`.

use std::{path::Path, time::Duration};

use inferstream::{ApiKey, Timeouts};
use inferstream_gateway::{Config, Gateway, KeyConfig, KeySource};
use inferstream_simulator::{Answer, Simulator};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::support::{END, Reply, SHORT, STREAM, STREAMED, Served, Service, chunk, hub, request};

const MODEL: &str = "cerebras/gpt-oss-120b";
const KEY: &str = "idempotency-key: row-1\r\n";

async fn start(config: Config) -> (Simulator, Served) {
    // It makes up another answer for each request.
    let simulator = Simulator::builder().start().await.unwrap();
    let served = Served::start(hub(&simulator, Timeouts::default()), config).await;
    (simulator, served)
}

fn in_file(path: &Path) -> Config {
    let mut config = Config::default();
    config.serve.kept_responses.file = Some(path.to_owned());
    config
}

/// Whether the response is that of an earlier request.
fn is_replay(reply: &Reply) -> bool {
    assert_eq!(reply.status, 200, "{reply:?}");
    match reply.header("x-inferstream-replayed") {
        None => false,
        Some(value) => {
            assert_eq!(value, "true");
            true
        }
    }
}

async fn metric(served: &Served, name: &str) -> u64 {
    let metrics = served.get("/metrics").await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(&format!("inferstream_{name} ")));
    line.unwrap_or_else(|| panic!("no {name}: {metrics}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_later_request_gets_the_kept_response() {
    let (simulator, served) = start(Config::default()).await;
    let body = request(MODEL, "");
    let first = served.chat_with(KEY, &body).await;
    assert!(!is_replay(&first));
    for _ in 0..3 {
        let later = served.chat_with(KEY, &body).await;
        assert!(is_replay(&later));
        assert_eq!(later.body, first.body);
        for header in ["content-type", "x-inferstream-model"] {
            assert_eq!(later.header(header), first.header(header), "{header}");
        }
        assert_ne!(later.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(simulator.requests().len(), 1);
    for headers in ["", "idempotency-key: row-2\r\n"] {
        assert!(!is_replay(&served.chat_with(headers, &body).await));
    }
    assert_eq!(simulator.requests().len(), 3);
    assert_eq!(metric(&served, "replays_total").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_twins_share_one_request() {
    let (simulator, served) = start(Config::default()).await;
    let body = request(MODEL, "");
    let replies = (0..50).map(|_| served.chat_with(KEY, &body));
    let mut replies = join_all(replies).await;
    replies.sort_by_key(is_replay);
    assert_eq!(replies.iter().filter(|reply| !is_replay(reply)).count(), 1);
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    assert_eq!(simulator.requests().len(), 1);
}

/// Waits for futures at the same time.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

#[tokio::test]
async fn another_body_with_the_same_key_is_refused() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), Config::default()).await;
    let body = request("local/m", "");
    let head = served.chat_head(KEY);
    let first = served.open(&head, &body).await;
    let mut upstream = service.accept().await;
    let other = request("local/m", r#","seed":1"#);
    let check = |reply: Reply| {
        assert_eq!(reply.status, 422, "{reply:?}");
        assert_eq!(reply.json()["error"]["code"], "idempotency_key_reused");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    };
    // While it is in progress, and later.
    check(served.chat_with(KEY, &other).await);
    let complete = format!("{STREAM}{}{END}", chunk("one"));
    upstream.write_all(complete.as_bytes()).await.unwrap();
    drop(upstream);
    assert_eq!(Reply::read(first).await.status, 200);
    check(served.chat_with(KEY, &other).await);
    assert!(is_replay(&served.chat_with(KEY, &body).await));
}

#[tokio::test]
async fn errors_and_truncated_responses_are_shared_and_not_kept() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), Config::default()).await;
    let body = request("local/m", "");
    let head = served.chat_head(KEY);
    let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (response, status) in [
        (refused.to_owned(), 400),
        (format!("{STREAM}{}", chunk("one")), 502),
    ] {
        let first = served.open(&head, &body).await;
        let mut upstream = service.accept().await;
        let twin = served.open(&head, &body).await;
        // The twin waits once it is counted.
        while metric(&served, "responses_in_flight").await < 2 {}
        upstream.write_all(response.as_bytes()).await.unwrap();
        drop(upstream);
        for client in [first, twin] {
            assert_eq!(Reply::read(client).await.status, status);
        }
    }
    // The next one is sent again.
    let next = served.open(&head, &body).await;
    let mut upstream = service.accept().await;
    let complete = format!("{STREAM}{}{END}", chunk("one"));
    upstream.write_all(complete.as_bytes()).await.unwrap();
    drop(upstream);
    assert!(!is_replay(&Reply::read(next).await));
    assert!(is_replay(&served.chat_with(KEY, &body).await));
}

#[tokio::test]
async fn a_request_goes_on_if_its_client_leaves() {
    let service = Service::start().await;
    let served = Served::start(service.hub(), Config::default()).await;
    let body = request("local/m", "");
    let client = served.open(&served.chat_head(KEY), &body).await;
    let mut upstream = service.accept().await;
    drop(client);
    let twin = served.open(&served.chat_head(KEY), &body).await;
    let complete = format!("{STREAM}{}{END}", chunk("one"));
    upstream.write_all(complete.as_bytes()).await.unwrap();
    drop(upstream);
    assert!(is_replay(&Reply::read(twin).await));
}

#[tokio::test]
async fn a_shutdown_waits_for_a_request_whose_client_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.jsonl");
    let service = Service::start().await;
    let mut config = in_file(&path);
    config.serve.linger = Duration::ZERO;
    let mut served = Served::start(service.hub(), config).await;
    let client = served
        .open(&served.chat_head(KEY), &request("local/m", ""))
        .await;
    let mut upstream = service.accept().await;
    drop(client);
    served.stop();
    let complete = format!("{STREAM}{}{END}", chunk("one"));
    upstream.write_all(complete.as_bytes()).await.unwrap();
    drop(upstream);
    (&mut served.task).await.unwrap().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn a_shutdown_ends_a_request_that_takes_longer_than_the_drain() {
    let service = Service::start().await;
    let mut config = Config::default();
    config.serve.linger = Duration::ZERO;
    config.serve.drain = SHORT;
    let mut served = Served::start(service.hub(), config).await;
    let client = served
        .open(&served.chat_head(KEY), &request("local/m", ""))
        .await;
    let upstream = service.accept().await;
    drop(client);
    served.stop();
    (&mut served.task).await.unwrap().unwrap();
    crate::support::closed(upstream).await;
}

#[tokio::test]
async fn a_kept_response_belongs_to_one_key_and_costs_none_of_its_limits() {
    let secret = |secret: &str| KeyConfig::new(KeySource::Value(ApiKey::new(secret).unwrap()));
    let config = Config::default()
        .key("a", secret("key-of-a").requests_per_minute(1))
        .key("b", secret("key-of-b"));
    let (simulator, served) = start(config).await;
    let body = request(MODEL, "");
    let a = format!("x-api-key: key-of-a\r\n{KEY}");
    let b = format!("x-api-key: key-of-b\r\n{KEY}");
    let first = served.chat_with(&a, &body).await;
    assert!(!is_replay(&first));
    for _ in 0..3 {
        assert!(is_replay(&served.chat_with(&a, &body).await));
    }
    assert_eq!(
        served
            .chat_with("x-api-key: key-of-a\r\n", &body)
            .await
            .status,
        429
    );
    let other = served.chat_with(&b, &body).await;
    assert!(!is_replay(&other));
    assert_ne!(other.body, first.body);
    assert_eq!(simulator.requests().len(), 2);
}

#[tokio::test]
async fn a_stream_ignores_the_header_with_a_warning() {
    let (simulator, served) = start(Config::default()).await;
    for _ in 0..2 {
        let reply = served.chat_with(KEY, &request(MODEL, STREAMED)).await;
        assert!(reply.is_done() && !is_replay(&reply));
        let warnings = reply.header("x-inferstream-warnings").unwrap();
        assert!(
            warnings.contains("`idempotency-key` was ignored"),
            "{warnings}"
        );
    }
    assert_eq!(simulator.requests().len(), 2);
}

#[tokio::test]
async fn an_invalid_key_is_refused_before_anything_is_sent() {
    let (simulator, served) = start(Config::default()).await;
    let long = format!("idempotency-key: {}\r\n", "k".repeat(256));
    for headers in ["idempotency-key:\r\n", "idempotency-key: é\r\n", &long] {
        let reply = served.chat_with(headers, &request(MODEL, "")).await;
        assert_eq!(reply.status, 400, "{reply:?}");
    }
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn the_limits_of_kept_responses_are_settings() {
    let body = request(MODEL, "");
    let keyed = |number: u32| format!("idempotency-key: row-{number}\r\n");
    for (entries, bytes, kept) in [(2, 1 << 30, [false, true, true]), (10, 1, [false; 3])] {
        let mut config = Config::default();
        config.serve.kept_responses.entries = entries;
        config.serve.kept_responses.bytes = bytes;
        let (_simulator, served) = start(config).await;
        for number in 0..3 {
            assert!(!is_replay(&served.chat_with(&keyed(number), &body).await));
        }
        // From the last to the first, because one that is sent again replaces another.
        for number in (0..3).rev() {
            let reply = served.chat_with(&keyed(number), &body).await;
            assert_eq!(is_replay(&reply), kept[number as usize], "{number}");
        }
    }
    let mut config = Config::default();
    config.serve.kept_responses.time = Duration::ZERO;
    let (_simulator, served) = start(config).await;
    for _ in 0..2 {
        assert!(!is_replay(&served.chat_with(KEY, &body).await));
    }
}

#[tokio::test]
async fn a_file_has_the_responses_of_the_gateway_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.jsonl");
    let simulator = Simulator::builder()
        .answer(Answer::text("zwölf\n六"))
        .start()
        .await
        .unwrap();
    let hub = || hub(&simulator, Timeouts::default());
    let body = request(MODEL, "");
    let served = Served::start(hub(), in_file(&path)).await;
    let first = served.chat_with(KEY, &body).await;
    assert!(!is_replay(&first));
    let rows = std::fs::read_to_string(&path).unwrap();
    let row: Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(row["custom_id"], "row-1");
    assert_eq!(row["response"]["status_code"], 200);
    assert_eq!(row["response"]["body"], first.json());
    assert!(!rows.contains("Count!"), "{rows}");

    // Only one gateway uses it.
    let error = Gateway::new(hub(), in_file(&path)).unwrap_err();
    assert_eq!(error.setting(), Some("kept_responses"), "{error}");
    served.stop_at_once().await;
    let mut again = Gateway::new(hub(), in_file(&path));
    while again.is_err() {
        // The thread of the file ends in the background.
        tokio::task::yield_now().await;
        again = Gateway::new(hub(), in_file(&path));
    }
    let served = Served::of(again.unwrap()).await;
    let later = served.chat_with(KEY, &body).await;
    assert!(is_replay(&later));
    assert_eq!(later.body, first.body);
    assert_eq!(
        later.header("x-inferstream-model"),
        first.header("x-inferstream-model")
    );
    assert_eq!(simulator.requests().len(), 1);
}

#[tokio::test]
async fn a_file_of_another_kind_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "My notes\n").unwrap();
    let service = Service::start().await;
    let error = Gateway::new(service.hub(), in_file(&path)).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("invalid line 1"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "My notes\n");
}

#[tokio::test]
async fn every_response_names_the_gateway() {
    let (_simulator, served) = start(Config::default()).await;
    let replies = [
        served.get("/v1/models").await,
        served.get("/healthz").await,
        served.get("/unknown").await,
        served.chat("{").await,
        served.chat(&request(MODEL, "")).await,
        served.chat(&request(MODEL, STREAMED)).await,
    ];
    for reply in replies {
        assert_eq!(
            reply.header("x-inferstream-gateway"),
            Some("1"),
            "{reply:?}"
        );
    }
}
