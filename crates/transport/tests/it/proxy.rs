//! Proxies of each kind: tunnels, forwarding, credentials and errors.

use std::sync::{Arc, Mutex};

use inferstream_core::Repeat;
use inferstream_transport::{ErrorKind, HttpTransport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
};

use crate::{
    server::{
        HELLO, Server, builder, check_error, closed_port, fetch, listen, post, read_request,
        repeatable,
    },
    tls::{authority, trusting},
};

type Log = Arc<Mutex<Vec<String>>>;

/// Starts an HTTP proxy that supports `CONNECT` and requires `user:pass`; returns its port.
async fn connect_proxy(log: Log) -> u16 {
    listen(move |mut socket| {
        let log = log.clone();
        async move {
            let request = read_request(&mut socket).await.unwrap();
            log.lock().unwrap().push(request.clone());
            if !request.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n") {
                let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                socket.write_all(answer).await.unwrap();
                return;
            }
            let target = request.split(' ').nth(1).unwrap();
            let mut upstream = TcpStream::connect(target).await.unwrap();
            socket
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            let _ = copy_bidirectional(&mut socket, &mut upstream).await;
        }
    })
    .await
}

/// Starts a SOCKS5 proxy that requires `user:pass`, records the address type of each request, and
/// connects to the port on loopback.
async fn socks_proxy(log: Log) -> u16 {
    listen(move |mut socket| {
        let log = log.clone();
        async move {
            let mut offer = [0; 3];
            socket.read_exact(&mut offer).await.unwrap();
            if offer != [5, 1, 2] {
                socket.write_all(&[5, 0xFF]).await.unwrap();
                return;
            }
            socket.write_all(&[5, 2]).await.unwrap();
            let mut login = [0; 11];
            socket.read_exact(&mut login).await.unwrap();
            let good = &login == b"\x01\x04user\x04pass";
            socket.write_all(&[1, u8::from(!good)]).await.unwrap();
            if !good {
                return;
            }
            let mut head = [0; 4];
            socket.read_exact(&mut head).await.unwrap();
            let length = match head[3] {
                1 => 4,
                _ => usize::from(socket.read_u8().await.unwrap()),
            };
            let mut host = vec![0; length];
            socket.read_exact(&mut host).await.unwrap();
            let port = socket.read_u16().await.unwrap();
            let host = if head[3] == 1 {
                "v4".into()
            } else {
                String::from_utf8(host).unwrap()
            };
            log.lock().unwrap().push(host);
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(mut upstream) => {
                    socket
                        .write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
                        .await
                        .unwrap();
                    let _ = copy_bidirectional(&mut socket, &mut upstream).await;
                }
                Err(_) => socket
                    .write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])
                    .await
                    .unwrap(),
            }
        }
    })
    .await
}

fn through(url: String) -> HttpTransport {
    builder().proxy(url).build().unwrap()
}

#[tokio::test]
async fn https_goes_through_a_tunnel_with_basic_authorization() {
    let (pem, acceptor) = authority("127.0.0.1");
    let server = Server::start_tls(acceptor, &[HELLO, HELLO]).await;
    let log = Log::default();
    let proxy = connect_proxy(log.clone()).await;
    let transport = builder()
        .proxy(format!("http://user:pass@127.0.0.1:{proxy}"))
        .certificate_pem(&pem)
        .build()
        .unwrap();
    let url = format!("https://127.0.0.1:{}/v1", server.port);
    for _ in 0..2 {
        let text = fetch(&transport, repeatable(&url)).await;
        assert_eq!(text.unwrap(), "hello");
    }

    let asked = log.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "the tunnel is used again");
    assert!(asked[0].starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", server.port)));
    assert!(
        !asked[0].contains("secret"),
        "the proxy does not see the key"
    );
    let request = &server.requests()[0];
    assert!(request.starts_with("POST /v1 HTTP/1.1\r\n"), "{request}");
    assert!(
        !request.to_ascii_lowercase().contains("proxy-authorization"),
        "{request}"
    );
}

#[tokio::test]
async fn an_https_proxy_is_connected_over_tls() {
    let (pem, acceptor) = authority("127.0.0.1");
    let server = Server::start_tls(acceptor.clone(), &[HELLO]).await;
    let proxy = listen(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(socket).await.unwrap();
            let request = read_request(&mut stream).await.unwrap();
            let target = request.split(' ').nth(1).unwrap();
            let mut upstream = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut upstream).await;
        }
    })
    .await;
    let transport = builder()
        .proxy(format!("https://127.0.0.1:{proxy}"))
        .certificate_pem(&pem)
        .build()
        .unwrap();
    let url = format!("https://127.0.0.1:{}/", server.port);
    assert_eq!(fetch(&transport, post(&url)).await.unwrap(), "hello");
}

#[tokio::test]
async fn wrong_proxy_credentials_are_a_proxy_error_and_not_retried() {
    let port = connect_proxy(Log::default()).await;
    for (login, message) in [
        ("user:secret@", "rejected the user name"),
        ("", "requires credentials"),
    ] {
        let transport = through(format!("http://{login}127.0.0.1:{port}"));
        let result = fetch(&transport, post("https://127.0.0.1:1/secret")).await;
        let error = check_error(result, ErrorKind::Proxy, message);
        assert!(
            error
                .to_string()
                .contains(&format!("the proxy 127.0.0.1:{port}")),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_refusal_of_a_proxy_shows_its_status() {
    let port = listen(|mut socket| async move {
        read_request(&mut socket).await;
        socket
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")
            .await
            .unwrap();
    })
    .await;
    let transport = through(format!("http://127.0.0.1:{port}"));
    let result = fetch(&transport, post("https://127.0.0.1:1/secret")).await;
    let error = check_error(
        result,
        ErrorKind::Proxy,
        "responded with status 502 Bad Gateway",
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn an_unreachable_proxy_is_named() {
    let port = closed_port().await;
    for scheme in ["http", "https", "socks5", "socks5h"] {
        let transport = through(format!("{scheme}://user:secret@127.0.0.1:{port}"));
        for url in ["https://127.0.0.1:1/secret", "http://127.0.0.1:1/secret"] {
            let message = format!("the proxy 127.0.0.1:{port} refused the connection");
            check_error(
                fetch(&transport, post(url)).await,
                ErrorKind::Proxy,
                &message,
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_a_proxy_is_named() {
    let port = listen(|mut socket| async move {
        let _ = socket
            .write_all(b"220 mail ready, and a line to read\r\n\r\n")
            .await;
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    })
    .await;
    let transport = through(format!("http://127.0.0.1:{port}"));
    let result = fetch(&transport, post("https://127.0.0.1:1/")).await;
    check_error(result, ErrorKind::Proxy, "expected HTTP");
    let transport = through(format!("socks5://127.0.0.1:{port}"));
    let result = fetch(&transport, post("https://127.0.0.1:1/")).await;
    check_error(result, ErrorKind::Proxy, "refused the tunnel");
}

#[tokio::test]
async fn a_silent_proxy_ends_at_the_timeout() {
    let port = listen(|socket| async move {
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let transport = through(format!("http://127.0.0.1:{port}"));
    let result = fetch(&transport, crate::server::hurried("https://127.0.0.1:1/")).await;
    check_error(result, ErrorKind::Proxy, "did not respond within");
}

#[tokio::test]
async fn plain_http_uses_the_absolute_form_at_a_proxy() {
    let proxy = Server::start(&[&[HELLO]]).await;
    let transport = through(format!("http://user:pass@127.0.0.1:{}", proxy.port));
    assert_eq!(
        fetch(&transport, post("http://api.test/v1?a=b"))
            .await
            .unwrap(),
        "hello"
    );
    let request = &proxy.requests()[0];
    assert!(
        request.starts_with("POST http://api.test/v1?a=b HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nhost: api.test\r\n"), "{request}");
    assert!(
        request.contains("\r\nproxy-authorization: Basic dXNlcjpwYXNz\r\n"),
        "{request}"
    );
}

/// Starts a proxy that reads part of a request, sends these bytes and closes; returns its port.
async fn responding_with(answer: &'static [u8]) -> u16 {
    listen(move |mut socket| async move {
        // A SOCKS server looks only at the first bytes.
        socket.read_exact(&mut [0; 3]).await.unwrap();
        socket.write_all(answer).await.unwrap();
        let _ = socket.shutdown().await;
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    })
    .await
}

#[tokio::test]
async fn a_socks_port_configured_as_an_http_proxy_is_explained() {
    let tor = b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\nContent-Type: text/html\r\n\r\n<html>";
    for answer in [&b""[..], b"\x05\xff", b"\x00\x5b\0\0\0\0\0\0", tor] {
        let port = responding_with(answer).await;
        for url in ["https://api.test/secret", "http://api.test/secret"] {
            let transport = through(format!("http://127.0.0.1:{port}"));
            let result = fetch(&transport, post(url)).await;
            let error = check_error(result, ErrorKind::Proxy, "socks5h://");
            let proxy = format!("the proxy 127.0.0.1:{port}");
            assert!(error.to_string().starts_with(&proxy), "{url}: {error}");
            // The proxy may have forwarded a request in absolute form.
            let repeat = match answer {
                b"" if url.starts_with("https") => Repeat::Safe,
                b"" => Repeat::Ambiguous,
                _ => Repeat::Never,
            };
            assert_eq!(error.repeat(), repeat, "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn an_http_port_configured_as_a_socks_proxy_is_explained() {
    let port = responding_with(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let transport = through(format!("socks5h://127.0.0.1:{port}"));
    let result = fetch(&transport, post("https://api.test/")).await;
    check_error(result, ErrorKind::Proxy, "uses HTTP instead of SOCKS");
}

#[tokio::test]
async fn a_tls_port_configured_as_an_http_proxy_is_explained() {
    let port = responding_with(b"\x15\x03\x03\0\x02\x02\x16").await;
    for url in ["https://api.test/secret", "http://api.test/secret"] {
        let transport = through(format!("http://127.0.0.1:{port}"));
        let result = fetch(&transport, post(url)).await;
        check_error(result, ErrorKind::Proxy, "should start with https://");
    }
}

#[tokio::test]
async fn a_401_from_the_proxy_is_a_proxy_error() {
    // tinyproxy sends this for wrong credentials.
    const TINYPROXY: &str = "HTTP/1.1 401 Unauthorized\r\nServer: tinyproxy/1.11.1\r\n\
        Content-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const ASKING: &str = "HTTP/1.1 401 Unauthorized\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
        Content-Length: 0\r\n\r\n";
    for answer in [TINYPROXY, ASKING] {
        for url in ["http://api.test/secret", "https://api.test/secret"] {
            let proxy = Server::start(&[&[answer]]).await;
            let transport = through(format!("http://user:secret@127.0.0.1:{}", proxy.port));
            let result = fetch(&transport, post(url)).await;
            let error = check_error(result, ErrorKind::Proxy, "rejected the user name");
            assert_eq!(error.status().unwrap(), 401);
            assert!(!error.is_retryable());
        }
    }
}

#[tokio::test]
async fn a_401_from_the_service_is_not_a_proxy_error() {
    let answer = "HTTP/1.1 401 Unauthorized\r\nServer: nginx\r\n\
        Via: 1.1 tinyproxy (tinyproxy/1.11.1)\r\nContent-Length: 2\r\n\r\nno";
    let proxy = Server::start(&[&[answer]]).await;
    let transport = through(format!("http://user:pass@127.0.0.1:{}", proxy.port));
    let body = fetch(&transport, post("http://api.test/v1")).await;
    assert_eq!(body.unwrap(), "no");
}

#[tokio::test]
async fn a_407_in_absolute_form_is_a_proxy_error() {
    let proxy = Server::start(&[&["HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n"]]).await;
    let transport = through(format!("http://127.0.0.1:{}", proxy.port));
    let result = fetch(&transport, post("http://api.test/secret")).await;
    let error = check_error(result, ErrorKind::Proxy, "requires credentials");
    assert_eq!(error.status().unwrap(), 407);
}

#[tokio::test]
async fn socks_targets_are_names_or_addresses() {
    let (pem, acceptor) = authority("localhost");
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let log = Log::default();
    let port = socks_proxy(log.clone()).await;
    for scheme in ["socks5h", "socks5"] {
        let transport = builder()
            .proxy(format!("{scheme}://user:pass@127.0.0.1:{port}"))
            .certificate_pem(&pem)
            .build()
            .unwrap();
        let url = format!("https://localhost:{}/", server.port);
        assert_eq!(fetch(&transport, post(&url)).await.unwrap(), "hello");
    }
    assert_eq!(*log.lock().unwrap(), ["localhost", "v4"]);
}

#[tokio::test]
async fn socks_carries_plain_http_too() {
    let server = Server::start(&[&[HELLO]]).await;
    let port = socks_proxy(Log::default()).await;
    let transport = through(format!("socks5h://user:pass@127.0.0.1:{port}"));
    assert_eq!(
        fetch(&transport, post(&server.url("/v1"))).await.unwrap(),
        "hello"
    );
    assert!(server.requests()[0].starts_with("POST /v1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn socks_refusals_are_proxy_errors() {
    let port = socks_proxy(Log::default()).await;
    let closed = closed_port().await;
    for (login, message, retryable) in [
        ("user:fail@", "rejected the user name", false),
        ("", "requires credentials", false),
        ("user:pass@", "refused the tunnel", true),
    ] {
        let transport = through(format!("socks5h://{login}127.0.0.1:{port}"));
        let url = format!("https://127.0.0.1:{closed}/secret");
        let error = check_error(
            fetch(&transport, post(&url)).await,
            ErrorKind::Proxy,
            message,
        );
        assert_eq!(error.is_retryable(), retryable, "{error}");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_through_a_tunnel_too() {
    let (pem, _) = authority("127.0.0.1");
    let (_, acceptor) = authority("127.0.0.1");
    let server = Server::start_tls(acceptor, &[HELLO]).await;
    let port = connect_proxy(Log::default()).await;
    let url = format!("https://127.0.0.1:{}/", server.port);
    drop(trusting(&pem));
    let transport = through(format!("http://user:pass@127.0.0.1:{port}"));
    check_error(
        fetch(&transport, post(&url)).await,
        ErrorKind::Tls,
        "untrusted authority",
    );
}
