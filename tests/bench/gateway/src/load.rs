//! The load generator: clients that measure what they receive.

use std::{
    io::BufRead as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    median, peers,
    script::Script,
    upstream::{BURST_CHUNKS, PACED_CHUNKS},
};

/// The times that a measure of whole responses and bursts takes.
const WHOLE_TIME: Duration = Duration::from_secs(4);
const BURST_TIME: Duration = Duration::from_secs(2);

const PACED_CLIENTS: usize = 10;
const BURST_CLIENTS: usize = 4;
const WHOLE_CLIENTS: usize = 16;

/// Streams per client of the paced measure.
const PACED_STREAMS: usize = 3;

/// How many connections are opened at a time.
const AT_A_TIME: usize = 50;

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) model: String,
    /// Further headers, `name: value`.
    pub(crate) headers: Vec<String>,
}

impl Target {
    /// The target of a command line: the address, the model, and headers.
    pub(crate) fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [address, model, headers @ ..] = arguments else {
            return None;
        };
        Some(Self {
            address: address.clone(),
            model: model.clone(),
            headers: headers.to_vec(),
        })
    }

    async fn connect(&self) -> Client {
        let socket = TcpStream::connect(&self.address)
            .await
            .expect("the gateway listens");
        socket.set_nodelay(true).expect("it is a socket");
        let (sender, connection) = handshake(TokioIo::new(socket)).await.expect("a connection");
        tokio::spawn(connection);
        Client {
            sender,
            target: self.clone(),
        }
    }
}

struct Client {
    sender: SendRequest<Full<Bytes>>,
    target: Target,
}

/// What a client received of one response.
struct Received {
    status: u16,
    body: String,
    is_broken: bool,
    first: Duration,
}

impl Client {
    async fn request(&mut self, script: Script) -> Result<http::Response<Incoming>, hyper::Error> {
        let body = script.request(&self.target.model);
        let mut request = Request::post("/v1/chat/completions")
            .header("host", &self.target.address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", peers::KEY));
        for header in &self.target.headers {
            let (name, value) = header.split_once(": ").expect("a header");
            request = request.header(name, value);
        }
        let request = request.body(Full::from(body)).expect("a request");
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    async fn read(&mut self, script: Script) -> Received {
        let begin = Instant::now();
        let mut received = Received {
            status: 0,
            body: String::new(),
            is_broken: false,
            first: Duration::ZERO,
        };
        let Ok(response) = self.request(script).await else {
            received.is_broken = true;
            return received;
        };
        received.status = response.status().as_u16();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                received.is_broken = true;
                return received;
            };
            if let Ok(data) = frame.into_data() {
                if received.first.is_zero() {
                    received.first = begin.elapsed();
                }
                received.body.push_str(&String::from_utf8_lossy(&data));
            }
        }
        received
    }

    /// Reads a stream, which must have all chunks.
    async fn stream(&mut self, script: Script, expected: usize) -> (usize, Duration) {
        let received = self.read(script).await;
        let chunks = received.body.matches("data: {").count();
        assert!(
            received.status == 200 && !received.is_broken && expected <= chunks,
            "{} chunks of {expected}, status {}: {}",
            chunks,
            received.status,
            received.body.get(..2_000).unwrap_or(&received.body)
        );
        (expected, received.first)
    }
}

/// Waits for the orchestrator's next line.
async fn line() {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next());
    read.await
        .expect("standard input")
        .expect("a line")
        .expect("text");
}

/// Runs a measure: `paced`, `burst`, `whole`, `open COUNT` or `faults`.
pub(crate) fn run(measure: &str, target: &Target) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        match measure.split_once('=').unwrap_or((measure, "")) {
            ("probe", _) => probe(target).await,
            ("paced", _) => paced(target).await,
            ("burst", _) => burst(target).await,
            ("whole", _) => whole(target).await,
            ("open", count) => open(target, count.parse().expect("a number")).await,
            ("faults", _) => faults(target).await,
            _ => panic!("unknown measure: {measure}"),
        }
    });
}

/// Fails unless the gateway passes a response on.
async fn probe(target: &Target) {
    let received = target.connect().await.read(Script::Whole).await;
    assert!(
        received.status == 200,
        "status {}: {}",
        received.status,
        received.body
    );
    println!("ready");
}

async fn clients(target: &Target, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = target.connect().await;
        client.read(Script::Whole).await;
        clients.push(client);
    }
    println!("ready");
    line().await;
    clients
}

async fn paced(target: &Target) {
    let tasks = clients(target, PACED_CLIENTS)
        .await
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let (mut chunks, mut firsts) = (0, Vec::new());
                for _ in 0..PACED_STREAMS {
                    let (more, first) = client.stream(Script::Paced, PACED_CHUNKS).await;
                    chunks += more;
                    firsts.push(first.as_secs_f64() * 1e3);
                }
                (chunks, firsts)
            })
        });
    let (mut chunks, mut firsts) = (0, Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (more, times) = task.await.expect("a client");
        chunks += more;
        firsts.extend(times);
    }
    println!("{chunks} {}", median(firsts));
}

async fn burst(target: &Target) {
    let end = Instant::now() + BURST_TIME;
    let tasks = clients(target, BURST_CLIENTS)
        .await
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut chunks = 0;
                while Instant::now() < end || chunks == 0 {
                    chunks += client.stream(Script::Burst, BURST_CHUNKS).await.0;
                }
                chunks
            })
        });
    let mut chunks = 0;
    for task in tasks.collect::<Vec<_>>() {
        chunks += task.await.expect("a client");
    }
    println!("{chunks} 0");
}

async fn whole(target: &Target) {
    let clients = clients(target, WHOLE_CLIENTS).await;
    let begin = Instant::now();
    let tasks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut responses = 0;
            while begin.elapsed() < WHOLE_TIME {
                let received = client.read(Script::Whole).await;
                assert_eq!(received.status, 200, "{}", received.body);
                responses += 1;
            }
            responses
        })
    });
    let mut responses = 0;
    for task in tasks.collect::<Vec<_>>() {
        responses += task.await.expect("a client");
    }
    println!(
        "{responses} {}",
        f64::from(responses) / begin.elapsed().as_secs_f64()
    );
}

/// Opens streams, and closes them all at once.
async fn open(target: &Target, count: usize) {
    // What a process needs once is not counted.
    let earlier = streams(target, 20, 1).await;
    println!("ready");
    line().await;
    let tasks = streams(target, count, 2).await;
    println!("{count} 0");
    line().await;
    for task in tasks.into_iter().chain(earlier) {
        task.abort();
    }
    println!("closed");
    line().await;
}

/// Opens streams and waits until each has had some chunks.
async fn streams(target: &Target, count: usize, chunks: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for at in 0..count {
        let (target, counter) = (target.clone(), Arc::clone(&seen));
        tasks.push(tokio::spawn(async move {
            let mut client = target.connect().await;
            let response = client.request(Script::Open).await.expect("a response");
            assert_eq!(response.status(), 200);
            let mut body = response.into_body();
            let mut own = 0;
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                let events = memchr::memmem::find_iter(&data, b"data: {").count();
                let new = events.min(chunks - own);
                own += new;
                counter.fetch_add(new, Relaxed);
            }
            panic!("a stream without an end has ended");
        }));
        while seen.load(Relaxed) + AT_A_TIME <= at {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let limit = Instant::now() + Duration::from_secs(60);
    while seen.load(Relaxed) < count * chunks {
        assert!(
            Instant::now() < limit,
            "{} of {count} streams",
            seen.load(Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tasks
}

/// Prints how each fault reaches the client, a line each.
async fn faults(target: &Target) {
    for (script, _) in Script::FAULTS {
        let received = target.connect().await.read(script).await;
        println!("{}", told(&received));
    }
}

fn told(received: &Received) -> String {
    let body = &received.body;
    let mut words = Vec::new();
    if body.contains("\"error\"") {
        words.push("error");
    }
    if received.is_broken {
        words.push("broken body");
    }
    let reason = "\"finish_reason\":\"stop\"";
    if body.replace(": ", ":").contains(reason) {
        words.push("`stop`");
    }
    if body.replace(": ", ":").contains("\"total_tokens\"") {
        words.push("usage");
    }
    if body.contains("[DONE]") {
        words.push("`[DONE]`");
    }
    if received.status != 200 {
        words.push("status");
    }
    if words.is_empty() {
        words.push("clean end");
    }
    words.join(", ")
}
