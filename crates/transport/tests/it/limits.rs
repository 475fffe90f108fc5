//! Timeouts of the phases connect, TLS, write and head. The tests assert which one ends a request,
//! not when.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use inferstream_transport::{ErrorKind, Phase, Sent, Timeouts, Timer, Transport};
use tokio::{io::AsyncWriteExt, runtime::Builder};

use crate::server::{
    HELLO, HOLD, Server, builder, check_error, fetch, hurried, listen, post, read_request,
    transport,
};

#[tokio::test]
async fn silence_in_the_headers_ends_at_the_head_timeout() {
    let server = Server::start(&[&["HTTP/1.1 200 OK\r\ncontent-\0hold"]]).await;
    let result = fetch(&transport(), hurried(&server.url("/secret"))).await;
    let error = check_error(result, ErrorKind::Timeout(Phase::Head), "127.0.0.1");
    assert_eq!(error.sent(), Some(Sent::Yes));
    server.client_closed().await;
}

#[tokio::test]
async fn the_builders_timeouts_apply_to_requests_without_their_own() {
    let server = Server::start(&[&[HOLD]]).await;
    let limits = Timeouts::default().head(Duration::from_millis(50));
    let transport = builder().timeouts(limits).build().unwrap();
    let result = fetch(&transport, post(&server.url("/"))).await;
    check_error(result, ErrorKind::Timeout(Phase::Head), "`head`");
}

#[tokio::test]
async fn a_timeout_may_have_any_length() {
    let server = Server::start(&[&[HELLO], &[HELLO]]).await;
    let all = |limit: Duration| {
        let limits = Timeouts::default().dns(limit).connect(limit).tls(limit);
        limits.write(limit).head(limit)
    };
    let with = |limits: Timeouts| {
        let mut request = post(&server.url("/"));
        request.extensions_mut().insert(limits);
        request
    };
    for limits in [Timeouts::none(), all(Duration::MAX)] {
        let text = fetch(&transport(), with(limits)).await;
        assert_eq!(text.unwrap(), "hello");
    }
    let error = fetch(&transport(), with(all(Duration::ZERO))).await;
    let kind = error.unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::Timeout(_)), "{kind:?}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn endless_interim_responses_end_at_the_head_timeout() {
    let port = listen(|mut socket| async move {
        read_request(&mut socket).await;
        let flood = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
        while socket.write_all(&flood).await.is_ok() {}
    })
    .await;
    let result = fetch(&transport(), hurried(&format!("http://127.0.0.1:{port}/"))).await;
    check_error(result, ErrorKind::Timeout(Phase::Head), "`head`");
}

#[tokio::test]
async fn a_server_that_does_not_read_ends_at_the_write_timeout() {
    let port = listen(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let mut request = hurried(&format!("http://127.0.0.1:{port}/"));
    *request.body_mut() = Bytes::from(vec![b'x'; 32 << 20]);
    let error = check_error(
        fetch(&transport(), request).await,
        ErrorKind::Timeout(Phase::Write),
        "`write`",
    );
    assert_eq!(error.sent(), Some(Sent::Maybe));
}

#[tokio::test]
async fn silence_in_the_handshake_ends_at_the_tls_timeout() {
    let port = listen(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let result = fetch(&transport(), hurried(&format!("https://127.0.0.1:{port}/"))).await;
    let error = check_error(result, ErrorKind::Timeout(Phase::Tls), "`tls`");
    assert_eq!(error.sent(), Some(Sent::No));
}

/// Linux drops connections when the backlog of the listener is full; other systems refuse them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_unresponsive_host_ends_at_the_connect_timeout() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut crowd = Vec::new();
    for _ in 0..4 {
        let connect = tokio::net::TcpStream::connect(address);
        crowd.push(tokio::time::timeout(Duration::from_millis(50), connect).await);
    }
    let result = fetch(&transport(), hurried(&format!("http://{address}/secret"))).await;
    let error = check_error(result, ErrorKind::Timeout(Phase::Connect), "`connect`");
    assert_eq!(error.sent(), Some(Sent::No));
}

#[test]
fn sending_outside_a_runtime_is_an_error_and_not_a_panic() {
    let transport = transport();
    transport.detach(Box::pin(async {}));
    let mut sleep = transport.sleep(Duration::from_secs(1));
    let mut send = transport.send(Request::new(Bytes::new()));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_ready());
    let std::task::Poll::Ready(Err(error)) = send.as_mut().poll(&mut cx) else {
        panic!("no response is expected");
    };
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("tokio runtime"));
}

#[test]
fn a_response_whose_runtime_has_ended_is_an_error_and_not_a_panic() {
    let servers = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf\0hold";
    for mut kind in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let server = servers.block_on(Server::start(&[&[half], &[HELLO]]));
        let runtime = kind.worker_threads(1).enable_all().build().unwrap();
        let transport = transport();
        let response = runtime.block_on(transport.send(post(&server.url("/"))));
        let mut body = response.unwrap().into_body();
        let first = runtime.block_on(body.data()).unwrap();
        assert_eq!(first.unwrap(), "half");
        drop(runtime);
        let error = servers.block_on(body.data()).unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated, "{error:?}");
        let text = servers.block_on(fetch(&transport, post(&server.url("/"))));
        assert_eq!(text.unwrap(), "hello");
    }
}

#[test]
fn a_task_detached_outside_a_runtime_runs_on_the_last_one() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let transport = transport();
    let closed = Request::builder().uri("http://127.0.0.1:1/");
    let sent = transport.send(closed.body(Bytes::new()).unwrap());
    runtime.block_on(sent).unwrap_err();
    let (tell, told) = std::sync::mpsc::channel();
    transport.detach(Box::pin(async move { tell.send(()).unwrap() }));
    told.recv().unwrap();
}

#[tokio::test]
async fn clones_share_a_clock_that_advances_during_sleep() {
    let transport = transport();
    let clone = transport.clone();
    let before = clone.now();
    transport.sleep(Duration::from_millis(20)).await;
    assert!(before + Duration::from_millis(20) <= clone.now());
}
