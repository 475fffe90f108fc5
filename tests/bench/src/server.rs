//! A scripted server, in a process of its own so that its work is not counted.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    process::{self, Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader as AsyncBuf},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::workloads::{TOKENS, chunk};

/// How a response is sent.
pub struct Script {
    /// The first part of the path.
    pub name: &'static str,
    pub events: usize,
    /// How many events an HTTP chunk has.
    per_chunk: usize,
    /// How long the server waits before each HTTP chunk.
    pace: Option<Duration>,
    /// Whether the response ends.
    ends: bool,
}

/// One event per HTTP chunk, each written by itself.
pub const EACH: Script = script("each", 1000, 1);

/// Fifty events per HTTP chunk.
pub const FIFTY: Script = script("fifty", 1000, 50);

/// One event at a time: each wakes the client.
pub const PACED: Script = Script {
    pace: Some(Duration::from_millis(2)),
    ..script("paced", 300, 1)
};

/// Three events, and then silence.
pub const IDLE: Script = Script {
    ends: false,
    ..script("idle", 3, 1)
};

const fn script(name: &'static str, events: usize, per_chunk: usize) -> Script {
    Script {
        name,
        events,
        per_chunk,
        pace: None,
        ends: true,
    }
}

/// As many headers as services send at least.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    date: Sun, 29 Nov 2026 12:00:00 GMT\r\n\
    content-type: text/event-stream; charset=utf-8\r\n\
    transfer-encoding: chunked\r\n\
    cache-control: no-cache\r\n\
    server: scripted\r\n\
    x-request-id: 8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\r\n\
    x-ratelimit-limit-requests: 1000\r\n\
    x-ratelimit-remaining-requests: 999\r\n\r\n";

const END: &str = "data: {\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\
    \"chat.completion.chunk\",\"created\":1732900000,\"model\":\"llama-3.3-70b\",\"choices\":[{\
    \"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Which protocol a server speaks.
#[derive(Clone, Copy, PartialEq)]
pub enum Scheme {
    Http,
    Https,
}

/// A running server, which ends with this value.
pub struct Server {
    child: Child,
    pub base: String,
    /// The certificate as PEM, empty without TLS.
    pub certificate: String,
}

impl Server {
    /// Starts the program once more, as a server: its `main` calls [`run`].
    pub fn start(scheme: Scheme) -> Self {
        let name = match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let mut child = Command::new(env::current_exe().expect("the program has a path"))
            .args(["serve", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut told = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut line = || told.next().expect("the server starts").expect("it is text");
        let base = format!("{name}://127.0.0.1:{}", line());
        let mut certificate = String::new();
        loop {
            match &*line() {
                "" => break,
                line => certificate = certificate + line + "\n",
            }
        }
        Self {
            child,
            base,
            certificate,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the input of the program ends, if its arguments ask for that.
pub fn run(arguments: &[String]) {
    let [serve, scheme] = arguments else { return };
    if serve != "serve" {
        return;
    }
    let (certificate, acceptor) = match &**scheme {
        "https" => {
            let (certificate, acceptor) = tls();
            (certificate, Some(acceptor))
        }
        _ => (String::new(), None),
    };
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        println!("{port}\n{certificate}\n");
        loop {
            let (socket, _) = listener.accept().await.expect("a free file number");
            let _ = socket.set_nodelay(true);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => serve_connection(socket).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(socket).await {
                            serve_connection(stream).await;
                        }
                    }
                }
            });
        }
    });
}

fn tls() -> (String, TlsAcceptor) {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it is an address");
    let certificate = made.cert.pem();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes());
    let chain = CertificateDer::from_pem_slice(certificate.as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has both versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain.expect("it is PEM")], key.expect("it is PEM"))
        .expect("the key is that of the certificate");
    (
        certificate.trim().replace("\r\n", "\n"),
        TlsAcceptor::from(Arc::new(config)),
    )
}

/// Answers the requests of a connection, one after another.
async fn serve_connection(socket: impl AsyncRead + AsyncWrite + Unpin) {
    let mut socket = AsyncBuf::new(socket);
    while let Some(script) = read_request(&mut socket).await {
        if send(&mut socket, script).await.is_none() {
            return;
        }
    }
}

async fn send(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), script: Script) -> Option<()> {
    socket.write_all(HEAD.as_bytes()).await.ok()?;
    let mut at = 0;
    while at < script.events {
        if let Some(pace) = script.pace {
            tokio::time::sleep(pace).await;
        }
        let events: String = (0..script.per_chunk)
            .map(|more| chunk(TOKENS[(at + more) % TOKENS.len()], "\n"))
            .collect();
        write_chunk(socket, &events).await?;
        at += script.per_chunk;
    }
    if !script.ends {
        let _ = socket.read(&mut [0]).await;
        return None;
    }
    write_chunk(socket, END).await?;
    socket.write_all(b"0\r\n\r\n").await.ok()?;
    socket.flush().await.ok()
}

async fn write_chunk(socket: &mut (impl AsyncWrite + Unpin), text: &str) -> Option<()> {
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    socket.write_all(chunk.as_bytes()).await.ok()?;
    socket.flush().await.ok()
}

/// Reads a request, and returns the script that its path names.
async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<Script> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse())
    });
    let mut body = vec![0; length?.ok()?];
    socket.read_exact(&mut body).await.ok()?;
    let name = head.split('/').nth(1)?;
    [EACH, FIFTY, PACED, IDLE]
        .into_iter()
        .find(|script| script.name == name)
}
