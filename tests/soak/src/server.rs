//! The server: a process of its own that plays the plans of a seed.

use std::{
    collections::HashMap,
    future::Future,
    io::{self, Read as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    control,
    http1::{self, Request, Socket, closed},
    options::Result,
    plan::{Framing, Plan, Protocol},
    predictions,
    script::{Ending, Script},
    text::choice,
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) addresses: Addresses,
    reports: Mutex<HashMap<u64, Counts>>,
}

/// The ports of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    pub(crate) plain: u16,
    /// The origin of Replicate's streams.
    pub(crate) plain_streams: u16,
    pub(crate) tls: u16,
    pub(crate) tls_streams: u16,
    pub(crate) control: u16,
}

/// What the server saw of one stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// Requests for work.
    pub(crate) posts: u32,
    /// Requests for the stream of a prediction.
    pub(crate) streams: u32,
    /// Requests for a prediction.
    pub(crate) gets: u32,
    pub(crate) cancels: u32,
    /// Requests for anything else.
    pub(crate) others: u32,
    /// How often the client closed a connection on which the server waited.
    pub(crate) closed: u32,
}

impl Shared {
    pub(crate) fn reports(&self) -> MutexGuard<'_, HashMap<u64, Counts>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, number: u64, count: impl FnOnce(&mut Counts)) -> Counts {
        let mut reports = self.reports();
        let counts = reports.entry(number).or_default();
        count(counts);
        *counts
    }

    /// Counts a connection that the client closed, unless the client no longer asks about the stream.
    fn count_closed(&self, number: u64) {
        if let Some(counts) = self.reports().get_mut(&number) {
            counts.closed += 1;
        }
    }
}

/// Runs until standard input ends. Its first line is the seed.
pub(crate) fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut seed = String::new();
    io::stdin().read_line(&mut seed)?;
    let seed = seed.trim().parse()?;
    runtime.spawn(async move {
        if let Err(error) = listen(seed).await {
            eprintln!("soak: the server failed: {error}");
            std::process::exit(1);
        }
    });
    // The client's process holds the other end.
    io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

async fn listen(seed: u64) -> Result<()> {
    let any = || TcpListener::bind(("127.0.0.1", 0));
    let (plain, plain_streams) = (any().await?, any().await?);
    let (tls, tls_streams) = (any().await?, any().await?);
    let control = any().await?;
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let addresses = Addresses {
        plain: port(&plain)?,
        plain_streams: port(&plain_streams)?,
        tls: port(&tls)?,
        tls_streams: port(&tls_streams)?,
        control: port(&control)?,
    };
    let (acceptor, certificate) = identity()?;
    control::announce(&addresses, &certificate)?;
    let shared = Arc::new(Shared {
        seed,
        addresses,
        reports: Mutex::default(),
    });
    for listener in [plain, plain_streams] {
        let shared = Arc::clone(&shared);
        tokio::spawn(accept(listener, move |socket| {
            connection(Arc::clone(&shared), socket)
        }));
    }
    for listener in [tls, tls_streams] {
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(accept(listener, move |socket| {
            let (shared, handshake) = (Arc::clone(&shared), acceptor.accept(socket));
            async move {
                if let Ok(socket) = handshake.await {
                    connection(shared, socket).await;
                }
            }
        }));
    }
    accept(control, move |socket| {
        control::serve(Arc::clone(&shared), socket)
    })
    .await;
    Ok(())
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Each write should be a segment of its own.
                let _ = socket.set_nodelay(true);
                tokio::spawn(serve(socket));
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn identity() -> Result<(TlsAcceptor, String)> {
    let key = KeyPair::generate()?;
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names)?.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(config)), certificate.pem()))
}

/// Serves the requests of one connection.
async fn connection(shared: Arc<Shared>, mut socket: impl Socket) {
    while let Ok(Some(request)) = Request::read(&mut socket).await {
        let kept = match predictions::number(&request.path) {
            Some(number) => predictions::answer(&shared, &mut socket, &request, number).await,
            None => answer(&shared, &mut socket, &request).await,
        };
        match kept {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
    }
}

/// Responds to a request for work. Returns true if the connection is kept.
async fn answer(shared: &Shared, socket: &mut impl Socket, request: &Request) -> io::Result<bool> {
    let number = request
        .header("x-soak")
        .and_then(|number| number.parse().ok());
    let Some(number) = number.filter(|_| request.method == "POST") else {
        shared.count(u64::MAX, |counts| counts.others += 1);
        socket
            .write_all(&http1::json("404 Not Found", "{}"))
            .await?;
        return Ok(true);
    };
    shared.count(number, |counts| counts.posts += 1);
    let plan = Plan::new(shared.seed, number);
    if plan.protocol == Protocol::Replicate {
        let created = predictions::created(shared, &plan);
        socket
            .write_all(&http1::json("201 Created", &created))
            .await?;
        return Ok(true);
    }
    stream(shared, socket, &plan, &Script::new(&plan)).await
}

/// Sends a stream as its script says. Returns true if the connection is kept.
pub(crate) async fn stream(
    shared: &Shared,
    socket: &mut impl Socket,
    plan: &Plan,
    script: &Script,
) -> io::Result<bool> {
    let mut rng = plan.rng.clone().fork();
    let sent = &script.wire.bytes[..script.sent];
    // A content length is that of the complete body, unless the fault is a clean end.
    let length = match script.ending {
        Ending::Clean { .. } => script.sent,
        _ => script.wire.bytes.len() + 1,
    };
    let keeps = plan.framing != Framing::Close && script.ending == Ending::Clean { extra: false };
    let content_type = match plan.protocol {
        Protocol::Lines | Protocol::Messages | Protocol::Oldest => "text/x-unknown",
        _ => "text/event-stream",
    };
    let mut bytes = http1::head(plan.framing, content_type, length, keeps);
    bytes.extend(http1::frame(plan.framing, sent, &mut rng));
    match script.ending {
        Ending::BadChunk => {
            let sizes = [
                "zz\r\n",
                "-5\r\nhello\r\n",
                "11111111111111111\r\n",
                "\r\n",
                "0x5\r\nhello\r\n",
            ];
            bytes.extend(choice(&mut rng, &sizes).as_bytes());
        }
        Ending::Clean { extra } => {
            if plan.framing == Framing::Chunked {
                let ends = ["0\r\n\r\n", "0\r\n\r\n", "0\r\nx-trailer: 1\r\n\r\n"];
                bytes.extend(choice(&mut rng, &ends).as_bytes());
            }
            if extra && plan.framing != Framing::Close {
                bytes.extend(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx");
            }
        }
        _ => {}
    }
    let written = http1::write(socket, plan, &bytes, &mut rng).await;
    if written.is_err() {
        shared.count_closed(plan.number);
    }
    written?;
    match script.ending {
        Ending::Clean { .. } if keeps => return Ok(true),
        // A closure without the end of TLS or of the body's framing.
        Ending::BadChunk | Ending::Fin => return Ok(false),
        Ending::Clean { .. } => {
            socket.shutdown().await?;
            closed(socket).await;
        }
        Ending::HeartBeat => {
            let comment: &[u8] = match plan.protocol {
                Protocol::Lines => b"1\r\n\n\r\n",
                _ => b"3\r\n:\n\n\r\n",
            };
            // At most 30 s.
            for _ in 0..600 {
                let beat = async {
                    socket.write_all(comment).await?;
                    socket.flush().await
                };
                if beat.await.is_err() {
                    shared.count_closed(plan.number);
                    break;
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ending::Reset => {
            // The client should have read something.
            sleep(Duration::from_millis(20)).await;
            socket.tcp().set_zero_linger()?;
        }
        Ending::Wait => {
            if closed(socket).await {
                shared.count_closed(plan.number);
            }
        }
    }
    Ok(false)
}
