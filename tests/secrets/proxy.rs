//! Proxies that require a password, and proxies that repeat it.

use std::sync::LazyLock;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::{
    canaries::{PROXY_BASIC, PROXY_PASSWORD, PROXY_USER, secrets_in},
    watch::SERVER,
};

/// The runtime of the simulators and the proxies, apart from the clients'.
pub(crate) static SERVERS: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(SERVER)
        .enable_all()
        .build()
        .unwrap()
});

/// What a proxy does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proxy {
    /// Connects to the target.
    Works,
    /// Sends this status, with the credentials in its reason; for a tunnel also in headers and the
    /// body.
    Refuses(u16),
    /// Sends the credentials where the status line should be.
    Babbles,
    /// Closes the connection.
    Closes,
}

/// Starts a proxy on loopback, and returns its URL with the credentials.
pub(crate) fn start(proxy: Proxy, scheme: &str) -> String {
    let listener = SERVERS.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    drop(SERVERS.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(tokio::spawn(serve(socket, proxy)));
        }
    }));
    format!("{scheme}://{PROXY_USER}:{PROXY_PASSWORD}@{address}")
}

/// Serves one connection; it ends when either side closes it.
async fn serve(mut client: TcpStream, proxy: Proxy) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&5) {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
    let answer = match proxy {
        Proxy::Closes => return,
        Proxy::Babbles => format!("{PROXY_USER}:{PROXY_PASSWORD} {PROXY_BASIC}\r\n\r\n"),
        // As the response of a service, which may not repeat what only the proxy was sent.
        Proxy::Refuses(status) if method != "CONNECT" && head[0] != 5 => {
            format!("HTTP/1.1 {status} {PROXY_PASSWORD}\r\ncontent-length: 0\r\n\r\n")
        }
        Proxy::Refuses(status) => format!(
            "HTTP/1.1 {status} {PROXY_PASSWORD}\r\nx-echo: {PROXY_BASIC}\r\nlocation: \
             http://{PROXY_USER}:{PROXY_PASSWORD}@h.test/\r\ncontent-length: {}\r\n\r\n{PROXY_BASIC}",
            PROXY_BASIC.len()
        ),
        Proxy::Works => {
            // A panic closes the connection, which fails the test.
            assert!(text.contains(PROXY_BASIC), "a request without credentials");
            if method == "CONNECT" {
                assert_eq!(secrets_in(&text), ["proxy credentials"]);
            }
            let host = target.strip_prefix("http://").unwrap_or(target);
            let host = host.split('/').next().unwrap();
            let Ok(mut server) = TcpStream::connect(host).await else {
                return;
            };
            let sent = if method == "CONNECT" {
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await
            } else {
                server.write_all(&head).await
            };
            if sent.is_ok() {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
            return;
        }
    };
    // The client may have closed the connection.
    let _ = client.write_all(answer.as_bytes()).await;
}
