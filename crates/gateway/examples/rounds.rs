//! Measures the memory of a gateway over rounds of streams, and how fast clients that leave free the
//! service. It needs Linux and as many open files: `ulimit -n 8192`.

// An example prints.
#![allow(clippy::print_stdout)]

use std::{
    env,
    error::Error,
    fs, io,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use inferstream::{Hub, openai_compat::Compatible, transport::HttpTransport};
use inferstream_gateway::{Config, Gateway, serve};
use inferstream_simulator::Simulator;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

const ROUNDS: usize = 10;
const STREAMS: usize = 1_000;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    match env::args().nth(1) {
        // The gateway is a process of its own, so that only its memory is measured.
        Some(url) => gateway(&url).await,
        None => measure().await,
    }
}

async fn gateway(url: &str) -> Result<()> {
    let transport = HttpTransport::builder().no_proxy().build()?;
    let provider = Compatible::new(url).transport(transport).build()?;
    let hub = Hub::new().with_name("local", Arc::new(provider));
    let gateway = Gateway::new(hub, Config::default())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(serve(listener, gateway, std::future::pending()).await?)
}

/// A gateway, which is stopped on drop.
struct Served(Child, String);

impl Served {
    fn start(url: &str) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg(url).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Self(child, line.trim().to_owned()))
    }

    /// Returns its resident memory in KiB.
    fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no memory in the status")?.parse()?)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn measure() -> Result<()> {
    let simulator = Simulator::builder().tokens_per_second(100.0);
    let simulator = simulator.start().await?;
    let served = Served::start(simulator.compatible_url())?;
    println!("at rest: {} KiB", served.memory()?);
    let mut memory = Vec::new();
    for round in 1..=ROUNDS {
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn(stream(served.1.clone(), true));
        }
        while simulator.counts().connections < STREAMS / 2 && !streams.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        let open = served.memory()?;
        let mut complete = 0;
        while let Some(stream) = streams.join_next().await {
            let (_, text) = stream??;
            complete += usize::from(text.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n"));
        }
        memory.push(served.memory()?);
        let after = memory[round - 1];
        println!("round {round}: {complete} complete; {open} KiB open, {after} KiB after");
        if complete != STREAMS {
            return Err("a stream was not complete".into());
        }
    }
    leave(&simulator, &served).await?;
    let (early, late) = (memory[2], memory[ROUNDS - 1]);
    println!("round 3: {early} KiB, round {ROUNDS}: {late} KiB");
    Ok(())
}

/// Measures the time until the service is free of streams whose clients have left at once.
async fn leave(simulator: &Simulator, served: &Served) -> Result<()> {
    // The gateway keeps these for further requests.
    let idle = simulator.counts().connections;
    let mut clients = JoinSet::new();
    for _ in 0..STREAMS {
        clients.spawn(stream(served.1.clone(), false));
    }
    // All of them have begun.
    let clients = clients.join_all().await;
    let open = simulator.counts().connections;
    let began = Instant::now();
    drop(clients);
    while idle < simulator.counts().connections {
        sleep(Duration::from_micros(200)).await;
    }
    println!(
        "{open} streams were freed {:?} after their clients left",
        began.elapsed()
    );
    Ok(())
}

/// Reads a stream, completely or to its first text, and returns its connection.
async fn stream(address: String, completely: bool) -> io::Result<(TcpStream, String)> {
    let body = r#"{"model":"local/any","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(request.as_bytes()).await?;
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        let length = connection.read(&mut part).await?;
        read.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&read);
        if length == 0 || !completely && text.contains("\"content\"") {
            let text = text.into_owned();
            return Ok((connection, text));
        }
    }
}
