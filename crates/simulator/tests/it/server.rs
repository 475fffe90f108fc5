//! Connections, TLS, the record of requests, and shutdown.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use inferstream_simulator::{Answer, Fault, Simulator};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::client::{chat, get, request};

const STREAM: &str = r#""stream":true"#;

pub(crate) async fn connect(
    simulator: &Simulator,
    name: &'static str,
    alpn: &str,
) -> TlsStream<TcpStream> {
    connect_to(simulator, &simulator.address().to_string(), name, alpn).await
}

async fn connect_to(
    simulator: &Simulator,
    authority: &str,
    name: &'static str,
    alpn: &str,
) -> TlsStream<TcpStream> {
    let pem = simulator.certificate_pem().unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let socket = TcpStream::connect(authority).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name).unwrap(), socket)
        .await
        .unwrap()
}

fn h2_request(simulator: &Simulator, body: String) -> Request<Full<Bytes>> {
    Request::post(format!("{}/chat/completions", simulator.base_url()))
        .header("authorization", "Bearer any")
        .body(Full::from(body))
        .unwrap()
}

#[tokio::test]
async fn http_1_works_over_tls() {
    let simulator = Simulator::builder().tls(true).start().await.unwrap();
    assert!(simulator.base_url().starts_with("https://127.0.0.1:"));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut stream = connect(&simulator, name, "http/1.1").await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let head = "GET /public/v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_cut_over_tls_has_no_close_notify() {
    let simulator = Simulator::builder()
        .tls(true)
        .fault(Fault::Cut)
        .start()
        .await
        .unwrap();
    let mut stream = connect(&simulator, "localhost", "http/1.1").await;
    let body = request("tiny", "Hi", STREAM);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let error = stream.read_to_end(&mut response).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn http_2_works_over_tls() {
    let simulator = Simulator::builder()
        .tls(true)
        .answer(Answer::text("Hello there."))
        .fault(Fault::Status {
            status: 500,
            retry_after: None,
        })
        .start()
        .await
        .unwrap();
    let stream = connect(&simulator, "localhost", "h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);

    for (status, part) in [(500, "server error"), (200, r#"{"content":" there"}"#)] {
        let body = request("tiny", "Hi", STREAM);
        let request = h2_request(&simulator, body);
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.status(), status);
        let body = response.collect().await.unwrap().to_bytes();
        let text = str::from_utf8(&body).unwrap();
        assert!(text.contains(part), "{text}");
    }
    let requests = simulator.requests();
    assert_eq!(requests[1].version, Version::HTTP_2);
    assert_eq!(requests[1].path, "/v1/chat/completions");
    assert_eq!(requests[1].connection, 0);
}

#[tokio::test]
async fn a_cut_resets_the_http_2_stream_after_its_bytes() {
    let simulator = Simulator::builder()
        .fault(Fault::Cut)
        .start()
        .await
        .unwrap();
    let socket = TcpStream::connect(simulator.address()).await.unwrap();
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = h2_request(&simulator, request("tiny", "Hi", STREAM));
    let mut body = client.send_request(request).await.unwrap().into_body();
    let mut frames = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(_) => frames += 1,
            Err(error) => break error,
        }
    };
    // The role, eight tokens, half an event.
    assert_eq!(frames, 10);
    assert!(!error.is_incomplete_message());
}

#[tokio::test]
async fn streams_of_predictions_have_the_same_certificate() {
    let simulator = Simulator::builder()
        .tls(true)
        .tokens_per_second(100.0)
        .answer(Answer::text("Hello there."))
        .start()
        .await
        .unwrap();
    let mut url = format!(
        "{}/models/openai/gpt-5/predictions",
        simulator.replicate_url()
    );
    assert!(url.starts_with("https://127.0.0.1:"));
    let mut body = Bytes::new();
    for (authority, method, input) in [
        (
            simulator.address().to_string(),
            "POST",
            r#"{"input":{"prompt":"Hi"}}"#,
        ),
        (simulator.stream_authority(), "GET", ""),
    ] {
        let stream = connect_to(&simulator, &authority, "127.0.0.1", "h2").await;
        let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", "Bearer any")
            .body(Full::new(Bytes::from(input)))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert!(response.status().is_success());
        body = response.collect().await.unwrap().to_bytes();
        if method == "POST" {
            let prediction: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let stream = prediction["urls"]["stream"].as_str();
            stream.unwrap().clone_into(&mut url);
        }
    }
    let stream_url = format!("https://{}/v1/streams/", simulator.stream_authority());
    assert!(url.starts_with(&stream_url));
    assert!(body.starts_with(b": hi\n\nevent: output\n"), "{body:?}");
    assert!(body.ends_with(b"data: {}\n\n"), "{body:?}");
}

#[tokio::test]
async fn dropping_closes_the_port_of_the_streams_too() {
    let simulator = Simulator::builder().start().await.unwrap();
    let authority = simulator.stream_authority();
    TcpStream::connect(&authority).await.unwrap();
    drop(simulator);
    let refused = async {
        while TcpStream::connect(&authority).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), refused).await.unwrap();
}

#[tokio::test]
async fn requests_are_recorded() {
    let simulator = Simulator::builder().start().await.unwrap();
    let body = request("tiny", "Hi", "");
    chat(&simulator, &body).await;
    get(&simulator, "/v1/models?format=default", Some("secret")).await;

    let requests = simulator.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].path, "/v1/chat/completions");
    assert_eq!(requests[0].body, body);
    assert_eq!(requests[0].headers["authorization"], "Bearer any");
    assert_eq!(requests[0].version, Version::HTTP_11);
    assert_eq!(requests[1].path, "/v1/models?format=default");
    assert_eq!((requests[0].connection, requests[1].connection), (0, 1));
    assert!(!format!("{:?}", requests[1]).contains("secret"));
}

#[tokio::test]
async fn requests_have_the_number_of_their_connection() {
    let simulator = Simulator::builder().start().await.unwrap();
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let head = "GET /public/v1/models/tiny HTTP/1.1\r\nhost: x\r\n\r\n";
    for count in 1..=3 {
        socket.write_all(head.as_bytes()).await.unwrap();
        assert!(0 < socket.read(&mut [0; 4096]).await.unwrap());
        let requests = simulator.requests();
        assert_eq!(requests.len(), count);
        assert!(requests.iter().all(|request| request.connection == 0));
    }
}

#[tokio::test]
async fn tokens_arrive_one_by_one() {
    let simulator = Simulator::builder()
        .tokens_per_second(20.0)
        .answer(Answer::text("one two"))
        .start()
        .await
        .unwrap();
    let mut socket = TcpStream::connect(simulator.address()).await.unwrap();
    let body = request("tiny", "Hi", STREAM);
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(r#"{"content":"one"}"#) {
        assert!(0 < socket.read_buf(&mut bytes).await.unwrap());
    }
    assert!(!String::from_utf8_lossy(&bytes).contains("two"));
}

#[tokio::test]
async fn dropping_closes_the_port_and_the_connections() {
    let simulator = Simulator::builder()
        .fault(Fault::Silence)
        .start()
        .await
        .unwrap();
    let address = simulator.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let body = request("tiny", "Hi", "");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer any\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    while simulator.requests().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    drop(simulator);

    let read = timeout(Duration::from_secs(5), socket.read(&mut [0])).await;
    assert!(matches!(read.unwrap(), Ok(0) | Err(_)));
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), refused).await.unwrap();
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let builder = Simulator::builder;
    for simulator in [
        builder().tokens_per_second(0.0),
        builder().tokens_per_second(-1.0),
        builder().tokens_per_second(f64::NAN),
        builder().fault(Fault::Status {
            status: 200,
            retry_after: None,
        }),
        builder().every_fault(Fault::Status {
            status: 429,
            retry_after: Some("a\nb".to_owned()),
        }),
        builder().fault(Fault::StreamStatus { status: 302 }),
        builder().answer(Answer::raw(101, &[], [])),
        builder().answer(Answer::raw(200, &[("a b", "c")], [])),
    ] {
        let error = simulator.start().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let simulator = Simulator::builder().start().await.unwrap();
    let port = simulator.address().port();
    let error = Simulator::builder().port(port).start().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_key_is_not_shown() {
    let builder = Simulator::builder().api_key("secret");
    assert!(!format!("{builder:?}").contains("secret"));
}

#[test]
fn a_simulator_is_send() {
    fn check<T: Send + Sync>() {}
    check::<Simulator>();
}
