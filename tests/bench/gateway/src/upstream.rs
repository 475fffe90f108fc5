//! The service behind the gateways, on plain sockets, so that it is not the bottleneck.

use std::{
    io::Read as _,
    process,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use crate::script::Script;

pub(crate) const PACED_CHUNKS: usize = 50;
pub(crate) const BURST_CHUNKS: usize = 400;
const PACE: Duration = Duration::from_millis(20);
const OPEN_PACE: Duration = Duration::from_secs(5);

const TOKENS: [&str; 8] = [
    " the", " quick", " brown", " fox", ",", " jumps", " over", " it.",
];

/// Chunks before a fault.
const EARLIER: usize = 5;

const HEAD: &str = "HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\n\
    content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\
    cache-control: no-cache\r\nx-request-id: 8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\r\n\r\n";

const FINISH: &str = "data: {\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\
    \"chat.completion.chunk\",\"created\":1732900000,\"model\":\"llama-3.3-70b\",\"choices\":[{\
    \"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

const DONE: &str = "data: [DONE]\n\n";

const ERROR: &str = "data: {\"error\":{\"message\":\"the engine failed\",\"type\":\"server_error\",\
    \"param\":null,\"code\":null}}\n\n";

/// The end of a chunked body.
const END: &[u8] = b"0\r\n\r\n";

/// Requests whose response is being sent.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// All chunks at once, each an HTTP chunk of its own, as engines send them.
static BURST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = HEAD.as_bytes().to_vec();
    for at in 0..BURST_CHUNKS {
        bytes.extend(framed(&token(at)));
    }
    bytes.extend(framed(FINISH));
    bytes.extend(framed(DONE));
    bytes.extend(END);
    bytes
});

static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text: String = (0..150).map(|at| TOKENS[at % TOKENS.len()]).collect();
    let body = format!(
        "{{\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\"chat.completion\",\
         \"created\":1732900000,\"model\":\"llama-3.3-70b\",\"choices\":[{{\"index\":0,\"message\":{{\
         \"role\":\"assistant\",\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\
         \"prompt_tokens\":20,\"completion_tokens\":150,\"total_tokens\":170}}}}"
    );
    json(&body)
});

/// Serves until the standard input of the program ends; prints its port.
pub(crate) fn serve() {
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
        println!("{}", listener.local_addr().expect("it is bound").port());
        loop {
            let (socket, _) = listener.accept().await.expect("a free file number");
            let _ = socket.set_nodelay(true);
            tokio::spawn(connection(socket));
        }
    });
}

/// Answers the requests of a connection, one after another.
async fn connection(mut socket: TcpStream) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut socket, &mut buffer).await {
        let script = body
            .split("script:")
            .nth(1)
            .and_then(|rest| Script::from_name(rest.split('.').next()?));
        let Some(script) = script else {
            let open = head.starts_with("GET /stats");
            let open = open.then(|| format!("{{\"open\":{}}}", OPEN.load(Relaxed)));
            let model = "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\"}]}";
            let body = open.unwrap_or_else(|| model.to_owned());
            if socket.write_all(&json(&body)).await.is_err() {
                return;
            }
            continue;
        };
        OPEN.fetch_add(1, Relaxed);
        let sent = send(&mut socket, script).await;
        OPEN.fetch_sub(1, Relaxed);
        if sent.is_none() {
            return;
        }
    }
}

/// Sends a response; returns `None` if the connection must close.
async fn send(socket: &mut TcpStream, script: Script) -> Option<()> {
    match script {
        Script::Burst => return write(socket, &BURST).await,
        Script::Whole => return write(socket, &WHOLE).await,
        _ => write(socket, HEAD.as_bytes()).await?,
    }
    match script {
        Script::Open => {
            let mut ticks = interval(OPEN_PACE);
            for at in 0.. {
                next(socket, &mut ticks).await?;
                write(socket, &framed(&token(at))).await?;
            }
        }
        Script::Paced => {
            let mut ticks = interval_at(Instant::now(), PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for at in 0..PACED_CHUNKS {
                next(socket, &mut ticks).await?;
                write(socket, &framed(&token(at))).await?;
            }
            write(socket, &framed(FINISH)).await?;
            write(socket, &framed(DONE)).await?;
        }
        _ => {
            for at in 0..EARLIER {
                write(socket, &framed(&token(at))).await?;
            }
            // What was sent so far arrives before the fault.
            tokio::time::sleep(Duration::from_millis(50)).await;
            match script {
                Script::CutReset => {
                    socket.set_zero_linger().ok()?;
                    return None;
                }
                Script::ErrorObject => write(socket, &framed(ERROR)).await?,
                Script::NoReason => write(socket, &framed(DONE)).await?,
                _ => {}
            }
        }
    }
    write(socket, END).await
}

/// Waits for the next chunk's time, or returns `None` once the client has left.
async fn next(socket: &mut TcpStream, ticks: &mut tokio::time::Interval) -> Option<()> {
    tokio::select! {
        _ = ticks.tick() => Some(()),
        _ = socket.readable() => {
            // A client sends nothing while it waits for a response.
            let mut byte = [0];
            match socket.try_read(&mut byte) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(()),
                _ => None,
            }
        }
    }
}

async fn write(socket: &mut TcpStream, bytes: &[u8]) -> Option<()> {
    socket.write_all(bytes).await.ok()
}

/// Returns a chunk of some 330 bytes.
fn token(at: usize) -> String {
    let text = TOKENS[at % TOKENS.len()];
    format!(
        "data: {{\"id\":\"chatcmpl-8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\",\"object\":\
         \"chat.completion.chunk\",\"created\":1732900000,\"model\":\"llama-3.3-70b\",\
         \"system_fingerprint\":\"fp_3a7c5be1d0\",\"choices\":[{{\"index\":0,\"delta\":\
         {{\"content\":\"{text}\"}},\"logprobs\":null,\"finish_reason\":null}}],\"usage\":null}}\n\n"
    )
}

fn framed(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

fn json(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ndate: Mon, 30 Nov 2026 12:00:00 GMT\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nx-request-id: 8f1c2a64-7f5d-4c26-9a35-0d6f5a1f2b3c\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Reads a request, and returns its head and its body as they are.
async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    buffer.clear();
    let mut head_length = None;
    loop {
        if let Some(length) = head_length {
            let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let lower = head.to_ascii_lowercase();
            let body = &buffer[length..];
            let announced = lower.lines().find_map(|line| {
                line.strip_prefix("content-length:")?
                    .trim()
                    .parse::<usize>()
                    .ok()
            });
            let is_complete = match announced {
                Some(announced) => announced <= body.len(),
                None if lower.contains("transfer-encoding: chunked") => body.ends_with(END),
                None => true,
            };
            if is_complete {
                return Some((head, String::from_utf8_lossy(body).into_owned()));
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
        let end = memchr::memmem::find(buffer, b"\r\n\r\n");
        head_length = end.map(|at| at + 4);
    }
}
