//! One server that is down, or one caller that is slow or panics, beside others.

use std::{future::pending, time::Duration};

use inferstream_transport::{ErrorKind, Transport as _};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

use crate::server::{
    HELLO, HOLD, Server, check_error, closed_port, fetch, hurried, listen, post, read_request,
    repeatable, transport,
};

async fn healthy() -> String {
    let port = listen(|mut socket| async move {
        while read_request(&mut socket).await.is_some() {
            socket.write_all(HELLO.as_bytes()).await.unwrap();
        }
    })
    .await;
    format!("http://127.0.0.1:{port}/")
}

/// Requests to one server wait for it while 300 to three others succeed.
async fn check_others(down: String) {
    let transport = transport();
    let mut waiting = JoinSet::new();
    for _ in 0..16 {
        waiting.spawn(transport.send(post(&down)));
    }
    let mut others = JoinSet::new();
    for _ in 0..3 {
        let url = healthy().await;
        for _ in 0..10 {
            let (transport, url) = (transport.clone(), url.clone());
            others.spawn(async move {
                for _ in 0..10 {
                    let text = fetch(&transport, repeatable(&url)).await;
                    assert_eq!(text.unwrap(), "hello");
                }
            });
        }
    }
    while let Some(other) = others.join_next().await {
        other.unwrap();
    }
    assert!(waiting.try_join_next().is_none(), "the server is not down");
}

#[tokio::test]
async fn a_server_that_never_responds_affects_no_other() {
    let port = listen(|socket| async move {
        pending::<()>().await;
        drop(socket);
    })
    .await;
    check_others(format!("http://127.0.0.1:{port}/")).await;
}

#[tokio::test]
async fn a_server_that_never_completes_the_handshake_affects_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    check_others(format!("https://{address}/")).await;
}

#[tokio::test]
async fn a_server_that_refuses_connections_affects_no_other() {
    let refusing = format!("http://127.0.0.1:{}/secret", closed_port().await);
    let transport = transport();
    let url = healthy().await;
    for _ in 0..50 {
        let refused = fetch(&transport, post(&refusing)).await;
        check_error(refused, ErrorKind::Connect, "refused the connection");
        let text = fetch(&transport, repeatable(&url)).await;
        assert_eq!(text.unwrap(), "hello");
    }
}

#[tokio::test]
async fn responses_that_are_not_read_delay_no_other() {
    let port = listen(|mut socket| async move {
        while let Some(request) = read_request(&mut socket).await {
            if request.starts_with("POST /endless ") {
                let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
                socket.write_all(begun).await.unwrap();
                let data = vec![b'x'; 256 << 10];
                // Blocks once the buffers of the connection are full.
                while socket.write_all(&data).await.is_ok() {}
                return;
            }
            socket.write_all(HELLO.as_bytes()).await.unwrap();
        }
    })
    .await;
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let transport = transport();
    let mut unread = Vec::new();
    for _ in 0..32 {
        let response = transport.send(post(&url("/endless"))).await.unwrap();
        let mut body = response.into_body();
        assert!(!body.data().await.unwrap().unwrap().is_empty());
        unread.push(body);
    }
    let mut others = JoinSet::new();
    for _ in 0..8 {
        let (transport, url) = (transport.clone(), url("/"));
        others.spawn(async move {
            for _ in 0..25 {
                let text = fetch(&transport, repeatable(&url)).await;
                assert_eq!(text.unwrap(), "hello");
            }
        });
    }
    while let Some(other) = others.join_next().await {
        other.unwrap();
    }
    for body in &mut unread {
        assert!(!body.data().await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_caller_that_panics_closes_its_connection_and_no_other() {
    let begun = format!("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf{HOLD}");
    let server = Server::start(&[&[&begun], &[HELLO]]).await;
    let transport = transport();
    let sent = transport.send(post(&server.url("/")));
    let caller = tokio::spawn(async move {
        let mut body = sent.await.unwrap().into_body();
        let data = body.data().await.unwrap().unwrap();
        assert_eq!(data, "not what was sent");
    });
    assert!(caller.await.unwrap_err().is_panic());
    server.client_closed().await;
    let text = fetch(&transport, post(&server.url("/"))).await;
    assert_eq!(text.unwrap(), "hello");
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/secret");
    let transport = transport();
    for _ in 0..3 {
        let result = fetch(&transport, hurried(&url)).await;
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout(_)), "{error:?}");
    }
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while read_request(&mut socket).await.is_some() {
                    // The requests that timed out are in the queue, and their connections closed.
                    let _ = socket.write_all(HELLO.as_bytes()).await;
                }
            });
        }
    });
    let text = tokio::time::timeout(Duration::from_secs(30), fetch(&transport, post(&url)));
    assert_eq!(text.await.unwrap().unwrap(), "hello");
}
