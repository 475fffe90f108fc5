//! A run: rounds of streams, and the checks after each round.

use std::{
    env,
    io::{BufReader, Write as _},
    panic,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    checks,
    client::{self, Clients},
    control::{self, Control},
    options::{Options, Result, Until},
    plan::Plan,
    report::{Outcome, Report},
    script::Script,
};

/// The least number of streams between two checks of the process.
const ROUND: u64 = 1_000;

/// A run has one stream of a round for each so many events, if that is more: a round ends with its
/// slowest stream, which takes about 10 s, so a long run needs long rounds.
const PARTS: u64 = 2_000;

/// The number of rounds whose memory the later ones are compared with.
const FIRST: usize = 3;

/// The most idle connections: 8 for each of the four origins.
const IDLE: usize = 32;

static PANICKED: AtomicBool = AtomicBool::new(false);

/// Runs the streams that the options ask for.
pub(crate) fn main(options: &Options) -> Result<()> {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::SeqCst);
        default(info);
    }));
    let mut server = Server::start(options.seed)?;
    let (addresses, certificate) = control::read(&mut server.output()?)?;
    let clients = Arc::new(Clients::new(&addresses, &certificate)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    println(&format!("seed        {}", options.seed));
    runtime.block_on(async {
        let mut controls = Vec::new();
        for _ in 0..options.at_once {
            controls.push(Control::connect(addresses.control).await?);
        }
        match options.stream {
            Some(number) => one(options.seed, number, &clients, &mut controls[0]).await,
            None => rounds(options, &clients, controls).await,
        }
    })
}

/// Runs one stream and prints its plan.
async fn one(seed: u64, number: u64, clients: &Clients, control: &mut Control) -> Result<()> {
    let plan = Plan::new(seed, number);
    let script = Script::new(&plan);
    println(&format!(
        "{plan:#?}\n{:?}",
        String::from_utf8_lossy(&script.wire.bytes)
    ));
    println(&format!(
        "sent {} bytes, then {:?}; error before event {:?}",
        script.sent, script.ending, script.error
    ));
    let outcome = client::run(clients, control, &plan).await?;
    println(&format!("{outcome:#?}\nno violation"));
    Ok(())
}

async fn rounds(
    options: &Options,
    clients: &Arc<Clients>,
    mut controls: Vec<Control>,
) -> Result<()> {
    let start = Instant::now();
    let mut report = Report::default();
    let mut first = Vec::new();
    let size = match options.until {
        Until::Events(events) => ROUND.max(events / PARTS),
        _ => ROUND,
    };
    while goes_on(options.until, &report, start) {
        let end = match options.until {
            Until::Streams(streams) => streams.min(report.streams + size),
            _ => report.streams + size,
        };
        controls = round(options.seed, end, clients, controls, &mut report).await?;
        sockets(controls.len()).await?;
        if PANICKED.load(Ordering::SeqCst) {
            return Err("a panic".into());
        }
        memory(&mut first)?;
        if ROUND < size || (report.streams / ROUND).is_multiple_of(10) {
            let seconds = start.elapsed().as_secs();
            println(&format!(
                "{seconds} s: {} streams, {} events",
                report.streams, report.events
            ));
        }
    }
    let left = controls[0].left().await?;
    if !left.is_empty() {
        return Err(format!("requests after the end of these streams: {left}").into());
    }
    println(&format!(
        "{report}violations  0\ntime        {} s",
        start.elapsed().as_secs()
    ));
    Ok(())
}

fn goes_on(until: Until, report: &Report, start: Instant) -> bool {
    match until {
        Until::Elapsed(limit) => start.elapsed() < limit,
        Until::Events(events) => report.events < events,
        Until::Streams(streams) => report.streams < streams,
    }
}

/// Runs the streams up to a number, with as many at once as there are control connections.
async fn round(
    seed: u64,
    end: u64,
    clients: &Arc<Clients>,
    controls: Vec<Control>,
    report: &mut Report,
) -> Result<Vec<Control>> {
    let next = Arc::new(AtomicU64::new(report.streams));
    let (sender, mut receiver) = mpsc::unbounded_channel::<(u64, Result<Outcome>)>();
    let mut workers = Vec::new();
    for mut control in controls {
        let (clients, next, sender) = (Arc::clone(clients), Arc::clone(&next), sender.clone());
        workers.push(tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if end <= number {
                    return control;
                }
                let plan = Plan::new(seed, number);
                let outcome = client::run(&clients, &mut control, &plan).await;
                if sender.send((number, outcome)).is_err() {
                    return control;
                }
            }
        }));
    }
    drop(sender);
    while let Some((number, outcome)) = receiver.recv().await {
        match outcome {
            Ok(outcome) => report.add(&outcome),
            Err(violation) => {
                let command = format!("cargo xtask soak --seed {seed} --stream {number}");
                return Err(
                    format!("{violation}\nstream {number} of seed {seed}: {command}").into(),
                );
            }
        }
    }
    let mut controls = Vec::new();
    for worker in workers {
        controls.push(
            worker
                .await
                .map_err(|error| format!("a stream panicked: {error}"))?,
        );
    }
    Ok(controls)
}

/// Checks that all sockets but idle connections are closed.
async fn sockets(controls: usize) -> Result<()> {
    let most = IDLE + controls;
    let mut open = 0;
    for _ in 0..100 {
        open = checks::sockets().unwrap_or(0);
        if open <= most {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{open} sockets are open after a round, expected at most {most}").into())
}

/// Checks that the memory is within 10 % of that after the first rounds.
fn memory(first: &mut Vec<u64>) -> Result<()> {
    let Some(now) = checks::memory() else {
        return Ok(());
    };
    if first.len() < FIRST {
        first.push(now);
        return Ok(());
    }
    let most = first.iter().max().map_or(0, |first| first + first / 10);
    if now <= most {
        return Ok(());
    }
    Err(format!("{now} KiB of memory after a round, expected at most {most} KiB").into())
}

fn println(line: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe is no reason to stop.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// The server's process, which ends when its input is closed.
struct Server(Child);

impl Server {
    fn start(seed: u64) -> Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.as_mut().ok_or("the server has no input")?;
        writeln!(input, "{seed}")?;
        Ok(Self(child))
    }

    fn output(&mut self) -> Result<BufReader<std::process::ChildStdout>> {
        let output = self.0.stdout.take().ok_or("the server has no output")?;
        Ok(BufReader::new(output))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
