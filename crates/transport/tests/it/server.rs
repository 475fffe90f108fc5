//! A scripted server: fixed responses per connection, and a record of the requests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use inferstream_transport::{
    Body, Error, ErrorKind, HttpTransport, HttpTransportBuilder, ReplayStale, Result, Timeouts,
    Transport,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A response that keeps its connection open.
pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// Instead of a response: silence until the client closes.
pub(crate) const HOLD: &str = "\0hold";

pub(crate) struct Server {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    client_closed: Arc<Notify>,
}

impl Server {
    /// Starts a server. Its n-th connection sends the responses of the n-th script, one per
    /// request, then closes. Further connections are closed at once.
    pub(crate) async fn start(scripts: &[&[&str]]) -> Self {
        let scripts: Vec<Vec<String>> = scripts.iter().map(|script| owned(script)).collect();
        let (server, listener) = Self::bind().await;
        let (accepted, requests, client_closed) = server.handles();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let script = scripts.get(accepted.fetch_add(1, Ordering::SeqCst));
                let script = script.cloned().unwrap_or_default();
                tokio::spawn(play(
                    socket,
                    script,
                    requests.clone(),
                    client_closed.clone(),
                ));
            }
        });
        server
    }

    /// Starts the server behind TLS; every connection uses the same script.
    pub(crate) async fn start_tls(acceptor: tokio_rustls::TlsAcceptor, script: &[&str]) -> Self {
        let script = owned(script);
        let (server, listener) = Self::bind().await;
        let (accepted, requests, client_closed) = server.handles();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                let (requests, client_closed) = (requests.clone(), client_closed.clone());
                let (acceptor, script) = (acceptor.clone(), script.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        play(stream, script, requests, client_closed).await;
                    }
                });
            }
        });
        server
    }

    async fn bind() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            accepted: Arc::default(),
            requests: Arc::default(),
            client_closed: Arc::default(),
        };
        (server, listener)
    }

    #[allow(clippy::type_complexity)] // three shared counters, destructured at once
    fn handles(&self) -> (Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>, Arc<Notify>) {
        (
            self.accepted.clone(),
            self.requests.clone(),
            self.client_closed.clone(),
        )
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until the client closes a connection.
    pub(crate) async fn client_closed(&self) {
        let wait = tokio::time::timeout(Duration::from_secs(10), self.client_closed.notified());
        wait.await.expect("the client keeps the connection");
    }
}

fn owned(script: &[&str]) -> Vec<String> {
    script.iter().map(|answer| (*answer).to_owned()).collect()
}

async fn play<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: S,
    script: Vec<String>,
    requests: Arc<Mutex<Vec<String>>>,
    client_closed: Arc<Notify>,
) {
    for answer in &script {
        let Some(request) = read_request(&mut socket).await else {
            return;
        };
        requests.lock().unwrap().push(request);
        let (bytes, hold) = match answer.strip_suffix(HOLD) {
            Some(bytes) => (bytes, true),
            None => (answer.as_str(), false),
        };
        if socket.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
        let _ = socket.flush().await;
        if hold {
            let _ = socket.read(&mut [0]).await;
            client_closed.notify_one();
            return;
        }
    }
    let _ = socket.shutdown().await;
}

/// Reads the headers and the body of `content-length` bytes; returns `None` at the end of input.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(socket: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).await.ok()?;
    Some(head + std::str::from_utf8(&body).unwrap())
}

/// Accepts connections and passes each to `serve`; returns the port.
pub(crate) async fn listen<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(socket));
        }
    });
    port
}

/// Returns a port without a listener.
pub(crate) async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn builder() -> HttpTransportBuilder {
    HttpTransport::builder().no_proxy()
}

pub(crate) fn transport() -> HttpTransport {
    builder().build().unwrap()
}

pub(crate) fn post(url: &str) -> Request<Bytes> {
    Request::post(url)
        .header("authorization", "Bearer secret")
        .body(Bytes::from_static(b"{\"prompt\":1}"))
        .unwrap()
}

/// Returns the same request with the permission to send it on a reused connection.
pub(crate) fn repeatable(url: &str) -> Request<Bytes> {
    let mut request = post(url);
    request.extensions_mut().insert(ReplayStale);
    request
}

/// Returns the same request with a short timeout for each phase.
pub(crate) fn hurried(url: &str) -> Request<Bytes> {
    let short = Duration::from_millis(100);
    let limits = Timeouts::default()
        .tls(short)
        .write(short)
        .head(short)
        .connect(short);
    let mut request = post(url);
    request.extensions_mut().insert(limits);
    request
}

pub(crate) async fn read(mut body: Body) -> Result<String> {
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        text.extend_from_slice(&data?);
    }
    Ok(String::from_utf8(text).unwrap())
}

pub(crate) async fn fetch(transport: &HttpTransport, request: Request<Bytes>) -> Result<String> {
    read(transport.send(request).await?.into_body()).await
}

/// Sends the request and checks its error.
#[track_caller]
pub(crate) fn check_error(result: Result<String>, kind: ErrorKind, message: &str) -> Error {
    let error = result.expect_err("the request succeeded");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(message), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("secret"), "{shown}");
    error
}
