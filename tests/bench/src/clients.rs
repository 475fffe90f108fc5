//! Our client, its peers and bare hyper: each requests a response and reads it to its end.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_openai::{
    Client as OpenAi,
    config::OpenAIConfig,
    types::chat::{
        ChatCompletionRequestUserMessage, CreateChatCompletionRequest,
        CreateChatCompletionRequestArgs,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use inferstream_openai_compat::{ChatEvent, Compatible};
use inferstream_transport::HttpTransport;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// What a client has seen.
#[derive(Default)]
pub struct Seen {
    pub events: AtomicUsize,
    pub bytes: AtomicUsize,
}

impl Seen {
    fn add(&self, text: &str) {
        self.events.fetch_add(1, Relaxed);
        self.bytes.fetch_add(text.len(), Relaxed);
    }
}

pub type Reading = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests a response, and reads it to its end.
pub type Client = Box<dyn Fn(Arc<Seen>) -> Reading>;

pub struct Candidate {
    pub name: &'static str,
    /// Creates a client for a base URL, and a certificate as PEM if it is not empty.
    pub client: fn(&str, &str) -> Client,
    /// Whether it decodes the events.
    pub decodes: bool,
}

/// Ours first.
pub const ALL: &[Candidate] = &[
    candidate("inferstream", ours),
    candidate("reqwest + sse-stream", sse_stream),
    candidate("reqwest + eventsource-stream", eventsource_stream),
    candidate("async-openai", async_openai),
    Candidate {
        decodes: false,
        ..candidate("hyper", bare_hyper)
    },
];

const fn candidate(name: &'static str, client: fn(&str, &str) -> Client) -> Candidate {
    Candidate {
        name,
        client,
        decodes: true,
    }
}

const MODEL: &str = "llama-3.3-70b";
const QUESTION: &str = "Why is the sky blue?";

fn ours(base: &str, certificate: &str) -> Client {
    let mut transport = HttpTransport::builder().no_proxy();
    if !certificate.is_empty() {
        transport = transport.certificate_pem(certificate);
    }
    let client = Compatible::new(base)
        .default_model(MODEL)
        .transport(transport.build().expect("the settings are valid"))
        .build()
        .expect("the settings are valid");
    Box::new(move |seen| {
        let client = client.clone();
        Box::pin(async move {
            let mut stream = client.stream(QUESTION).await.expect("a response");
            while let Some(event) = stream.next().await {
                if let ChatEvent::Text { text, .. } = event.expect("a complete response") {
                    seen.add(&text);
                }
            }
            assert!(stream.partial().end.is_some());
        })
    })
}

/// What the peers decode, which do not know the protocol: as little as a program needs.
#[derive(Deserialize)]
struct Chunk {
    id: String,
    model: String,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    index: u32,
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// What a program keeps of a response, as ours does.
#[derive(Default)]
struct Partial {
    id: String,
    model: String,
    text: String,
    finish_reason: Option<String>,
}

impl Partial {
    /// Takes the data of an event. Returns false at the end.
    fn take(&mut self, data: &str, seen: &Seen) -> bool {
        if data == "[DONE]" {
            assert_eq!(self.finish_reason.as_deref(), Some("stop"));
            return false;
        }
        let chunk: Chunk = serde_json::from_str(data).expect("a chunk");
        self.id = chunk.id;
        self.model = chunk.model;
        for choice in chunk.choices {
            assert_eq!(choice.index, 0);
            if let Some(text) = choice.delta.content {
                self.text.push_str(&text);
                seen.add(&text);
            }
            self.finish_reason = choice.finish_reason;
        }
        true
    }
}

fn http(certificate: &str) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder().no_proxy();
    if !certificate.is_empty() {
        let certificate = reqwest::Certificate::from_pem(certificate.as_bytes());
        client = client.tls_certs_only([certificate.expect("it is PEM")]);
    }
    client.build().expect("the settings are valid")
}

fn body() -> String {
    format!(
        "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{QUESTION}\"}}],\
         \"stream\":true}}"
    )
}

/// Creates a client that reads the bytes of a response by `read`.
fn by_reqwest<F>(
    base: &str,
    certificate: &str,
    read: fn(reqwest::Response, Arc<Seen>) -> F,
) -> Client
where
    F: Future<Output = ()> + Send + 'static,
{
    let http = http(certificate);
    let url = format!("{base}/chat/completions");
    Box::new(move |seen| {
        let request = http
            .post(&url)
            .header("content-type", "application/json")
            .body(body());
        Box::pin(async move {
            let response = request.send().await.expect("a response");
            read(response, seen).await;
        })
    })
}

fn sse_stream(base: &str, certificate: &str) -> Client {
    by_reqwest(base, certificate, |response, seen| async move {
        let mut events = pin!(sse_stream::SseByteStream::new(response.bytes_stream()));
        let mut partial = Partial::default();
        while let Some(event) = events.next().await {
            let data = event.expect("a complete response").data;
            if !partial.take(&data.unwrap_or_default(), &seen) {
                break;
            }
        }
        rest(events).await;
    })
}

fn eventsource_stream(base: &str, certificate: &str) -> Client {
    by_reqwest(base, certificate, |response, seen| async move {
        let mut events = pin!(eventsource_stream::EventStream::new(
            response.bytes_stream()
        ));
        let mut partial = Partial::default();
        while let Some(event) = events.next().await {
            if !partial.take(&event.expect("a complete response").data, &seen) {
                break;
            }
        }
        rest(events).await;
    })
}

/// Reads the end of the HTTP message, so that its connection can be used again.
async fn rest(mut events: Pin<&mut impl Stream>) {
    while events.next().await.is_some() {}
}

fn async_openai(base: &str, certificate: &str) -> Client {
    let http = http(certificate);
    let config = OpenAIConfig::new().with_api_base(base).with_api_key("key");
    let client = OpenAi::with_config(config).with_http_client(http);
    Box::new(move |seen| {
        let client = client.clone();
        Box::pin(async move {
            let request: CreateChatCompletionRequest = CreateChatCompletionRequestArgs::default()
                .model(MODEL)
                .messages([ChatCompletionRequestUserMessage::from(QUESTION).into()])
                .build()
                .expect("a request");
            let mut chunks = client
                .chat()
                .create_stream(request)
                .await
                .expect("a response");
            let mut partial = Partial::default();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.expect("a complete response");
                partial.id = chunk.id;
                partial.model = chunk.model;
                for choice in chunk.choices {
                    if let Some(text) = choice.delta.content {
                        partial.text.push_str(&text);
                        seen.add(&text);
                    }
                }
            }
        })
    })
}

/// Reads the bytes and does nothing with them, on a connection of its own.
fn bare_hyper(base: &str, certificate: &str) -> Client {
    let (scheme, rest) = base.split_once("://").expect("it is a URL");
    let (address, script) = rest.split_once('/').expect("it has a path");
    let tls = (scheme == "https").then(|| connector(certificate));
    let (address, path) = (address.to_owned(), format!("/{script}/chat/completions"));
    Box::new(move |seen| {
        let (address, path, tls) = (address.clone(), path.clone(), tls.clone());
        Box::pin(async move {
            let socket = TcpStream::connect(&address).await.expect("a connection");
            let _ = socket.set_nodelay(true);
            match tls {
                None => exchange(socket, path, &seen).await,
                Some(tls) => {
                    let name = ServerName::try_from("127.0.0.1").expect("it is an address");
                    let socket = tls.connect(name, socket).await.expect("a TLS connection");
                    exchange(socket, path, &seen).await;
                }
            }
        })
    })
}

fn connector(certificate: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
    roots
        .add(certificate.expect("it is PEM"))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn exchange<S>(socket: S, path: String, seen: &Seen)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake::<_, Full<Bytes>>(TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.expect("a connection");
    tokio::spawn(connection);
    let request = hyper::Request::post(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::from(body()))
        .expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("a complete response").into_data() {
            seen.events.fetch_add(1, Relaxed);
            seen.bytes.fetch_add(data.len(), Relaxed);
        }
    }
}
