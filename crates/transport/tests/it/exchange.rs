//! One request and one response: the bytes on the wire, and what the transport rejects.

use bytes::Bytes;
use http::Request;
use inferstream_transport::{ErrorKind, Sent, Transport};

use crate::server::{HELLO, Server, check_error, closed_port, fetch, listen, post, transport};

/// Sends a request to a server with one scripted response and checks the error.
async fn check(answer: &str, kind: ErrorKind, message: &str) -> Server {
    let server = Server::start(&[&[answer]]).await;
    check_error(
        fetch(&transport(), post(&server.url("/secret"))).await,
        kind,
        message,
    );
    server
}

#[tokio::test]
async fn a_request_is_in_origin_form_and_asks_for_no_encoding() {
    let server = Server::start(&[&[HELLO]]).await;
    let mut request = post(&server.url("/v1/chat?a=b"));
    request
        .headers_mut()
        .insert("accept-encoding", "gzip".parse().unwrap());
    request
        .headers_mut()
        .insert("proxy-authorization", "Basic secret".parse().unwrap());
    assert_eq!(fetch(&transport(), request).await.unwrap(), "hello");

    let asked = &server.requests()[0];
    assert!(
        asked.starts_with("POST /v1/chat?a=b HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port)),
        "{asked}"
    );
    assert!(
        asked.contains("\r\naccept-encoding: identity\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("\r\nauthorization: Bearer secret\r\n"),
        "{asked}"
    );
    assert!(asked.contains(concat!(
        "\r\nuser-agent: inferstream/",
        env!("CARGO_PKG_VERSION")
    )));
    assert!(
        !asked.contains("proxy-authorization") && !asked.contains("gzip"),
        "{asked}"
    );
    assert!(asked.ends_with("\r\n\r\n{\"prompt\":1}"), "{asked}");
}

#[tokio::test]
async fn the_user_agent_of_a_request_is_kept() {
    let server = Server::start(&[&[HELLO]]).await;
    let mut request = post(&server.url("/"));
    request
        .headers_mut()
        .insert("user-agent", "mine".parse().unwrap());
    fetch(&transport(), request).await.unwrap();
    assert!(server.requests()[0].contains("\r\nuser-agent: mine\r\n"));
}

#[tokio::test]
async fn any_status_is_a_response() {
    let server =
        Server::start(&[&["HTTP/1.1 429 Too Many\r\ncontent-length: 4\r\n\r\nbusy"]]).await;
    let response = transport().send(post(&server.url("/"))).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(
        crate::server::read(response.into_body()).await.unwrap(),
        "busy"
    );
}

#[tokio::test]
async fn a_chunked_body_is_complete_after_an_interim_response() {
    let answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
                  3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let server = Server::start(&[&[answer]]).await;
    assert_eq!(
        fetch(&transport(), post(&server.url("/"))).await.unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn an_encoded_response_is_an_error() {
    let gzip = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc";
    check(gzip, ErrorKind::Protocol, "gzip").await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    check(chunked, ErrorKind::Protocol, "gzip").await;
    let secret = "HTTP/1.1 200 OK\r\ncontent-encoding: csk-secret\r\ncontent-length: 0\r\n\r\n";
    check(secret, ErrorKind::Protocol, "(unknown)").await;
}

#[tokio::test]
async fn an_encoded_error_keeps_its_status() {
    let gzip =
        "HTTP/1.1 401 Unauthorized\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc";
    let server = Server::start(&[&[gzip]]).await;
    let response = transport().send(post(&server.url("/"))).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.into_body().data().await.is_none());
}

#[tokio::test]
async fn an_invalid_port_is_an_error_and_not_ignored() {
    for port in ["99999", "80x", ""] {
        let result = fetch(&transport(), post(&format!("http://127.0.0.1:{port}/"))).await;
        check_error(result, ErrorKind::Config, "port");
    }
}

#[tokio::test]
async fn identity_is_accepted_as_content_encoding() {
    let server = Server::start(&[&[
        "HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 2\r\n\r\nok",
    ]])
    .await;
    assert_eq!(
        fetch(&transport(), post(&server.url("/"))).await.unwrap(),
        "ok"
    );
}

#[tokio::test]
async fn a_redirect_is_an_error_that_shows_only_the_origin() {
    let other = Server::start(&[&[HELLO]]).await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://u:secret@127.0.0.1:{}/secret?key=secret\r\n\
         content-length: 0\r\n\r\n",
        other.port
    );
    let server = Server::start(&[&[&answer]]).await;
    let target = format!("redirects to http://127.0.0.1:{} ", other.port);
    let result = fetch(&transport(), post(&server.url("/"))).await;
    let error = check_error(result, ErrorKind::Redirect, &target);
    assert_eq!(error.status().unwrap(), 307);
    assert!(error.headers().unwrap().contains_key("location"));
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_relative_redirect_shows_the_same_origin() {
    let server = check(
        "HTTP/1.1 302 Found\r\nlocation: /secret?key=secret\r\ncontent-length: 0\r\n\r\n",
        ErrorKind::Redirect,
        "redirects to http://127.0.0.1:",
    )
    .await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_without_a_valid_target_is_an_error_too() {
    check(
        "HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n",
        ErrorKind::Redirect,
        "nowhere",
    )
    .await;
    let other = Server::start(&[&[HELLO]]).await;
    for target in [
        &format!("//127.0.0.1:{}/secret", other.port),
        "file:///secret",
        "data:text/html,secret",
        "http://[secret",
        "http://127.0.0.1:99999/secret",
        "secret\tx",
        "\u{e9}secret",
        "",
        &format!("http://{}.test/", "secret".repeat(10_000)),
    ] {
        let head = format!("HTTP/1.1 301 Moved\r\nlocation: {target}\r\n");
        let answer = head + "content-length: 0\r\n\r\n";
        let server = check(&answer, ErrorKind::Redirect, "redirects to").await;
        assert_eq!(server.requests().len(), 1, "{target}");
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn headers_above_64_kib_are_an_error() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    check(&head, ErrorKind::TooLarge, "64 KiB").await;
}

#[tokio::test]
async fn two_thousand_headers_are_an_error() {
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(2000));
    check(&head, ErrorKind::TooLarge, "100 fields").await;
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_protocol_error() {
    check(
        "hello, this is not an HTTP server\r\n\r\n",
        ErrorKind::Protocol,
        "expected HTTP/1.1",
    )
    .await;
}

#[tokio::test]
async fn plain_http_to_a_tls_port_is_explained() {
    let port = listen(|mut socket| async move {
        use tokio::io::AsyncWriteExt;
        crate::server::read_request(&mut socket).await;
        // A fatal alert, `unexpected_message`.
        let _ = socket.write_all(&[0x15, 0x03, 0x03, 0, 2, 2, 10]).await;
    })
    .await;
    let result = fetch(&transport(), post(&format!("http://127.0.0.1:{port}/"))).await;
    check_error(result, ErrorKind::Tls, "should start with https://");
}

/// Serves these bytes to each connection, whatever it sends; returns the URL.
async fn greeting(bytes: &'static [u8], reads: bool) -> String {
    let port = listen(move |mut socket| async move {
        use tokio::io::AsyncWriteExt;
        if reads {
            crate::server::read_request(&mut socket).await;
        }
        let _ = socket.write_all(bytes).await;
        let _ = socket.shutdown().await;
        crate::server::read_request(&mut socket).await;
    })
    .await;
    format!("http://127.0.0.1:{port}/")
}

#[tokio::test]
async fn a_server_that_speaks_http_2_only_is_recognized() {
    // The preface of a server is a SETTINGS frame (RFC 9113, section 3.4).
    const EMPTY: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    const SETTINGS: &[u8] = b"\0\0\x0c\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff";
    // Last stream 0, PROTOCOL_ERROR, and a debug text.
    const GOAWAY: &[u8] = b"\0\0\x0b\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01bad";
    for bytes in [EMPTY, SETTINGS, GOAWAY] {
        for reads in [false, true] {
            let url = greeting(bytes, reads).await;
            let result = fetch(&transport(), post(&url)).await;
            let error = check_error(result, ErrorKind::Protocol, "speaks HTTP/2 only");
            assert_eq!(error.repeat(), inferstream_core::Repeat::Never, "{bytes:?}");
        }
    }
    // A stream other than 0, a length that SETTINGS cannot have, and another frame.
    for bytes in [
        b"\0\0\x0c\x04\0\0\0\0\x01".as_slice(),
        b"\0\0\x05\x04\0\0\0\0\0",
        b"\0\0\x0c\x06\0\0\0\0\0",
    ] {
        let url = greeting(bytes, true).await;
        let result = fetch(&transport(), post(&url)).await;
        check_error(result, ErrorKind::Protocol, "expected HTTP/1.1");
    }
}

#[tokio::test]
async fn a_close_before_the_headers_is_disconnected_after_one_request() {
    let server = Server::start(&[&[""], &[HELLO]]).await;
    let mut request = post(&server.url("/secret"));
    request
        .extensions_mut()
        .insert(inferstream_transport::ReplayStale);
    let result = fetch(&transport(), request).await;
    let error = check_error(
        result,
        ErrorKind::Disconnected,
        "before the response headers",
    );
    assert_eq!(error.sent(), Some(Sent::Maybe));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_body_with_invalid_chunks_is_a_protocol_error() {
    let long = format!("5;{}", "a".repeat(200_000));
    for chunk in ["xyz\r\n", "fffffffffffffffff\r\n", "1\r\nXX", &long] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let server = Server::start(&[&[&format!("{head}{chunk}")]]).await;
        let response = transport().send(post(&server.url("/"))).await.unwrap();
        let mut body = response.into_body();
        let mut read = Vec::new();
        let error = loop {
            match body.data().await.unwrap() {
                Ok(bytes) => read.extend_from_slice(&bytes),
                Err(error) => break error,
            }
        };
        assert!(read.starts_with(b"hello"), "{chunk:.10}");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{chunk:.10}");
    }
}

#[tokio::test]
async fn an_incomplete_body_is_truncated() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let server = Server::start(&[&[answer]]).await;
        let response = transport().send(post(&server.url("/"))).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "hello");
        let error = body.data().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert!(body.data().await.is_none());
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_error() {
    let port = closed_port().await;
    let result = fetch(
        &transport(),
        post(&format!("http://127.0.0.1:{port}/secret")),
    )
    .await;
    let error = check_error(result, ErrorKind::Connect, "refused the connection");
    assert_eq!(error.sent(), Some(Sent::No));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_host_may_be_an_ipv6_address() {
    let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
        println!("skipped: no IPv6 on loopback");
        return;
    };
    let address = listener.local_addr().unwrap();
    let request = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = crate::server::read_request(&mut socket).await.unwrap();
        socket.write_all(HELLO.as_bytes()).await.unwrap();
        request
    });
    assert_eq!(
        fetch(&transport(), post(&format!("http://{address}/")))
            .await
            .unwrap(),
        "hello"
    );
    assert!(
        request
            .await
            .unwrap()
            .contains(&format!("\r\nhost: {address}\r\n"))
    );
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_error() {
    let result = fetch(&transport(), post("http://nobody.invalid/secret")).await;
    check_error(result, ErrorKind::Dns, "nobody.invalid:80");
}

#[tokio::test]
async fn an_unsupported_url_is_an_error_and_nothing_is_sent() {
    for url in ["ftp://host/", "/path", "http://user:secret@host/"] {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        check_error(
            fetch(&transport(), request).await,
            ErrorKind::Config,
            "invalid URL",
        );
    }
}

#[tokio::test]
async fn a_response_may_arrive_before_the_request_is_written() {
    let port = listen(|mut socket| async move {
        use tokio::io::AsyncWriteExt;
        let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 8\r\n\r\ntoo long";
        socket.write_all(answer).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut request = post(&format!("http://127.0.0.1:{port}/"));
    *request.body_mut() = Bytes::from(vec![b'x'; 32 << 20]);
    assert_eq!(fetch(&transport(), request).await.unwrap(), "too long");
}

#[tokio::test]
async fn a_connection_closed_at_once_fails_without_a_timeout() {
    let server = Server::start(&[]).await;
    let result = fetch(&transport(), post(&server.url("/secret"))).await;
    check_error(result, ErrorKind::Disconnected, " lost");
    assert_eq!(server.accepted(), 1);
}
