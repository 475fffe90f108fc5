//! Connections that switch protocols: data in both directions, and no reuse.

use std::{
    future::poll_fn,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http::Request;
use inferstream_transport::{Body, ErrorKind, ReplayStale, Result, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    server::{
        HELLO, Server, check_error, fetch, listen, post, read_request, repeatable, transport,
    },
    tls::{authority, trusting},
};

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

fn ask(url: &str) -> Request<Bytes> {
    Request::get(url)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Bytes::new())
        .unwrap()
}

async fn send(body: &mut Body, bytes: impl Into<Bytes>) -> Result<()> {
    let mut bytes = bytes.into();
    poll_fn(|cx| body.poll_send(cx, &mut bytes)).await?;
    assert!(bytes.is_empty());
    Ok(())
}

/// Reads exactly this many bytes, in any number of chunks.
async fn read(body: &mut Body, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        read.extend_from_slice(&body.data().await.unwrap().unwrap());
    }
    read
}

async fn echo(mut socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    read_request(&mut socket).await;
    let mut head = SWITCH.to_vec();
    head.extend_from_slice(b"data sent with the headers");
    socket.write_all(&head).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        socket.write_all(&buffer[..length]).await.unwrap();
        socket.flush().await.unwrap();
    }
}

async fn check_echo(transport: impl Transport, url: String) {
    let response = transport.send(ask(&url)).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "echo");
    let mut body = response.into_body();
    assert_eq!(read(&mut body, 26).await, b"data sent with the headers");
    for text in ["a", "bc"] {
        send(&mut body, text).await.unwrap();
        assert_eq!(read(&mut body, text.len()).await, text.as_bytes());
    }
}

#[tokio::test]
async fn data_is_sent_and_received() {
    let port = listen(echo).await;
    check_echo(transport(), format!("http://127.0.0.1:{port}/")).await;
}

#[tokio::test]
async fn data_is_sent_and_received_over_tls() {
    let (pem, acceptor) = authority("127.0.0.1");
    let port = listen(move |socket| {
        let acceptor = acceptor.clone();
        async move { echo(acceptor.accept(socket).await.unwrap()).await }
    })
    .await;
    check_echo(trusting(&pem), format!("https://127.0.0.1:{port}/")).await;
}

#[tokio::test]
async fn more_data_than_the_socket_buffer_is_sent_completely() {
    let port = listen(|mut socket| async move {
        read_request(&mut socket).await;
        socket.write_all(SWITCH).await.unwrap();
        let mut all = vec![0; 8 << 20];
        socket.read_exact(&mut all).await.unwrap();
        socket.write_all(&all[all.len() - 3..]).await.unwrap();
    })
    .await;
    let response = transport()
        .send(ask(&format!("http://127.0.0.1:{port}/")))
        .await;
    let mut body = response.unwrap().into_body();
    let mut bytes = vec![b'x'; (8 << 20) - 3];
    bytes.extend_from_slice(b"end");
    send(&mut body, bytes).await.unwrap();
    assert_eq!(read(&mut body, 3).await, b"end");
    assert!(body.data().await.is_none(), "the other side has closed");
}

#[tokio::test]
async fn a_refused_switch_is_an_ordinary_response() {
    let server = Server::start(&[&["HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"]]).await;
    let response = transport().send(ask(&server.url("/"))).await.unwrap();
    assert_eq!(response.status(), 403);
    let mut body = response.into_body();
    assert_eq!(read(&mut body, 2).await, b"no");
    let refused = send(&mut body, "more").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_switched_connection_is_not_shared() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let port = listen(move |mut socket| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            while let Some(request) = read_request(&mut socket).await {
                let answer = if request.contains("upgrade: echo") {
                    SWITCH
                } else {
                    HELLO.as_bytes()
                };
                socket.write_all(answer).await.unwrap();
            }
        }
    })
    .await;
    let url = format!("http://127.0.0.1:{port}/");
    let transport = transport();
    let text = fetch(&transport, repeatable(&url)).await;
    assert_eq!(text.unwrap(), "hello");
    let mut upgrade = ask(&url);
    upgrade.extensions_mut().insert(ReplayStale);
    let switched = transport.send(upgrade).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    drop(switched);
    let text = fetch(&transport, repeatable(&url)).await;
    assert_eq!(text.unwrap(), "hello");
    assert_eq!(connections.load(Ordering::SeqCst), 2, "the first is reused");
}

#[tokio::test]
async fn an_unexpected_101_is_an_error() {
    let head = std::str::from_utf8(SWITCH).unwrap();
    let server = Server::start(&[&[head]]).await;
    let result = fetch(&transport(), post(&server.url("/secret"))).await;
    check_error(result, ErrorKind::Protocol, "unexpected 101");
}

#[tokio::test]
async fn dropping_the_body_closes_the_socket() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let closed = std::sync::Mutex::new(Some(closed));
    let closed = Arc::new(closed);
    let port = listen(move |mut socket| {
        let closed = Arc::clone(&closed);
        async move {
            read_request(&mut socket).await;
            socket.write_all(SWITCH).await.unwrap();
            let end = socket.read(&mut [0; 8]).await;
            closed
                .lock()
                .unwrap()
                .take()
                .unwrap()
                .send(end.ok())
                .unwrap();
        }
    })
    .await;
    drop(
        transport()
            .send(ask(&format!("http://127.0.0.1:{port}/")))
            .await
            .unwrap(),
    );
    assert_eq!(is_closed.await.unwrap(), Some(0));
}
