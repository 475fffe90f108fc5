//! One server that is down, beside others that are not.

use std::{future::pending, time::Duration};

use inferstream_transport::{ErrorKind, Transport as _};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

use crate::server::{
    HELLO, check_error, closed_port, fetch, hurried, listen, post, read_request, repeatable,
    transport,
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
