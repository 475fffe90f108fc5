//! The connection pool: reuse, replacement and closing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use inferstream_transport::{ErrorKind, Replays, Transport};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::server::{
    HELLO, HOLD, Server, builder, check_error, fetch, listen, post, read, read_request, repeatable,
    transport,
};

#[tokio::test]
async fn a_connection_serves_the_next_request() {
    let server = Server::start(&[&[HELLO, HELLO, HELLO]]).await;
    let transport = transport();
    for _ in 0..3 {
        assert_eq!(
            fetch(&transport.clone(), repeatable(&server.url("/")))
                .await
                .unwrap(),
            "hello"
        );
    }
    assert_eq!((server.accepted(), server.requests().len()), (1, 3));
}

#[tokio::test]
async fn chunked_and_empty_bodies_return_their_connection() {
    let server = Server::start(&[&[
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        HELLO,
    ]])
    .await;
    let transport = transport();
    assert_eq!(
        fetch(&transport, repeatable(&server.url("/")))
            .await
            .unwrap(),
        "ok"
    );
    assert_eq!(
        fetch(&transport, repeatable(&server.url("/")))
            .await
            .unwrap(),
        ""
    );
    assert_eq!(
        fetch(&transport, repeatable(&server.url("/")))
            .await
            .unwrap(),
        "hello"
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn an_end_that_has_arrived_is_seen_with_one_poll() {
    let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let server = Server::start(&[&[whole, HELLO]]).await;
    let transport = transport();
    let mut body = transport
        .send(repeatable(&server.url("/")))
        .await
        .unwrap()
        .into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(
        body.poll_data(&mut cx),
        std::task::Poll::Ready(None)
    ));
    drop(body);
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_is_not_kept_after_connection_close() {
    const CLOSE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n\0hold";
    let server = Server::start(&[&[CLOSE], &[HELLO]]).await;
    let transport = transport();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    server.client_closed().await;
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_is_not_kept_after_a_server_error() {
    const DOWN: &str = "HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n\0hold";
    let server = Server::start(&[&[DOWN]]).await;
    drop(
        transport()
            .send(repeatable(&server.url("/")))
            .await
            .unwrap(),
    );
    server.client_closed().await;
}

#[tokio::test]
async fn parallel_requests_use_separate_connections() {
    let server = Server::start(&[&[HELLO], &[HELLO]]).await;
    let transport = transport();
    let first = transport.send(repeatable(&server.url("/"))).await.unwrap();
    let second = transport.send(repeatable(&server.url("/"))).await.unwrap();
    assert_eq!(read(first.into_body()).await.unwrap(), "hello");
    assert_eq!(read(second.into_body()).await.unwrap(), "hello");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_closed_idle_connection_is_not_reused() {
    let server = Server::start(&[&[HELLO], &[HELLO]]).await;
    let transport = transport();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    // The first connection closes after its response; this lets the client notice.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        fetch(&transport, repeatable(&server.url("/")))
            .await
            .unwrap(),
        "hello"
    );
    assert_eq!((server.accepted(), server.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_stale_connection_is_replaced_with_permission() {
    let server = Server::start(&[&[HELLO, ""], &[HELLO]]).await;
    let transport = transport();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    let mut request = repeatable(&server.url("/"));
    let replays = Replays::default();
    request.extensions_mut().insert(replays.clone());
    assert_eq!(fetch(&transport, request).await.unwrap(), "hello");
    assert_eq!(replays.count(), 1);
    assert_eq!((server.accepted(), server.requests().len()), (2, 3));
}

#[tokio::test]
async fn a_request_that_must_not_be_replayed_gets_a_new_connection() {
    let server = Server::start(&[&[HELLO, ""], &[HELLO, ""], &[HELLO]]).await;
    let transport = transport();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    for _ in 0..2 {
        let text = fetch(&transport, post(&server.url("/"))).await;
        assert_eq!(text.unwrap(), "hello");
    }
    assert_eq!((server.accepted(), server.requests().len()), (3, 3));
}

#[tokio::test]
async fn the_connection_of_a_request_that_must_not_be_replayed_is_kept_for_others() {
    let server = Server::start(&[&[HELLO, HELLO]]).await;
    let transport = transport();
    fetch(&transport, post(&server.url("/"))).await.unwrap();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    assert_eq!((server.accepted(), server.requests().len()), (1, 2));
}

/// Load balancers close idle connections at any time; this one does after 5 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_idle_connections_early_fails_no_request() {
    const IDLE: Duration = Duration::from_millis(5);
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let port = listen(move |mut socket| {
        let seen = Arc::clone(&seen);
        async move {
            while read_request(&mut socket).await.is_some() {
                seen.fetch_add(1, SeqCst);
                socket.write_all(HELLO.as_bytes()).await.unwrap();
                let mut next = [0];
                if timeout(IDLE, socket.peek(&mut next)).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/");
    let transport = transport();
    let mut replayed = 0;
    for number in 0_u32..400 {
        let replays = Replays::default();
        let mut request = match number % 2 {
            0 => post(&url),
            _ => repeatable(&url),
        };
        request.extensions_mut().insert(replays.clone());
        let text = fetch(&transport, request).await;
        assert_eq!(text.unwrap(), "hello", "request {number}");
        if number % 2 == 0 {
            assert_eq!(replays.count(), 0, "request {number}");
        }
        replayed += replays.count() as usize;
        // The next request is sent when the server closes the connection, or shortly before.
        let early = Duration::from_micros(u64::from(number * 37 % 1500));
        tokio::time::sleep(IDLE.saturating_sub(early)).await;
    }
    // A replayed request may have reached the server.
    let requests = requests.load(SeqCst);
    assert!(
        (400..=400 + replayed).contains(&requests),
        "{requests} requests, {replayed} replayed"
    );
}

#[tokio::test]
async fn a_connection_lost_within_a_response_is_not_replaced() {
    let server = Server::start(&[&[HELLO, "HTTP/1.1 2"], &[HELLO]]).await;
    let transport = transport();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    check_error(
        fetch(&transport, repeatable(&server.url("/"))).await,
        ErrorKind::Disconnected,
        " lost",
    );
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn dropping_a_body_closes_the_socket() {
    const OPEN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n\0hold";
    let server = Server::start(&[&[OPEN]]).await;
    let transport = transport();
    let mut body = transport
        .send(repeatable(&server.url("/")))
        .await
        .unwrap()
        .into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ok");
    drop(body);
    server.client_closed().await;
}

#[tokio::test]
async fn dropping_a_request_closes_the_socket() {
    let server = Server::start(&[&[HOLD]]).await;
    let transport = transport();
    let send = transport.send(repeatable(&server.url("/")));
    tokio::time::timeout(Duration::from_millis(50), send)
        .await
        .unwrap_err();
    server.client_closed().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_timeout() {
    let server = Server::start(&[&[HELLO, HOLD]]).await;
    let transport = builder()
        .pool_idle(Duration::from_millis(20))
        .build()
        .unwrap();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The server keeps reading and sees the end of input instead of a second request.
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap_err();
    assert_eq!((server.accepted(), server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_zero_idle_timeout_keeps_no_connection() {
    let server = Server::start(&[&[HELLO], &[HELLO]]).await;
    let transport = builder().pool_idle(Duration::ZERO).build().unwrap();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    fetch(&transport, repeatable(&server.url("/")))
        .await
        .unwrap();
    assert_eq!(server.accepted(), 2);
}

#[test]
fn a_connection_is_not_reused_on_another_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let servers = tokio::runtime::Runtime::new().unwrap();
    let server = servers.block_on(Server::start(&[&[HELLO, HELLO], &[HELLO]]));
    let transport = transport();
    let ask = || fetch(&transport, repeatable(&server.url("/")));
    let (first, second) = (runtime(), runtime());
    assert_eq!(first.block_on(ask()).unwrap(), "hello");
    // The sockets of the first runtime make no progress while it is not running.
    assert_eq!(second.block_on(ask()).unwrap(), "hello");
    assert_eq!(first.block_on(ask()).unwrap(), "hello");
    assert_eq!((server.accepted(), server.requests().len()), (2, 3));
}
