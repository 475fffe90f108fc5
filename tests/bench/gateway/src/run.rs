//! The orchestrator: it starts all gateways, measures them in turns, and prints the tables.

use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    load::Target,
    median,
    peers::{self, Peer, Places, Running},
    process::Process,
    script::Script,
};

/// How long the upstream may stay busy after the clients have left.
const FREE_LIMIT: Duration = Duration::from_secs(15);

/// What to measure.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The gateways, or all if it is empty.
    pub(crate) only: Vec<String>,
    /// The measures, or all if it is empty.
    pub(crate) measures: Vec<String>,
}

impl Plan {
    fn has(&self, measure: &str) -> bool {
        self.measures.is_empty() || self.measures.iter().any(|own| own == measure)
    }
}

/// The figures of one gateway, one per round.
#[derive(Default)]
struct Figures {
    rest: Vec<f64>,
    rest_anonymous: Vec<f64>,
    paced: Vec<f64>,
    first: Vec<f64>,
    burst: Vec<f64>,
    whole: Vec<f64>,
    per_second: Vec<f64>,
    open: Vec<f64>,
    free: Vec<f64>,
    faults: Vec<String>,
}

/// Runs the benchmark and prints its tables.
pub(crate) fn run(places: &Places, plan: &Plan) {
    let mut upstream = Process::with_lines(&mut this("upstream"));
    let port: u16 = upstream.read_line().parse().expect("the upstream starts");
    let mut peers = peers::installed(places);
    peers.retain(|peer| plan.only.is_empty() || plan.only.iter().any(|name| name == peer.name));
    let mut figures: Vec<Figures> = peers.iter().map(|_| Figures::default()).collect();
    let mut direct = Figures::default();
    let own = Target {
        address: format!("127.0.0.1:{port}"),
        model: "m".to_owned(),
        headers: Vec::new(),
    };
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        if plan.has("open") {
            for (peer, figures) in peers.iter().zip(&mut figures) {
                open(peer, port, figures);
            }
        }
        if plan.measures.iter().any(|own| own == "open") && plan.measures.len() == 1 {
            continue;
        }
        let running: Vec<Running> = peers.iter().map(|peer| peer.start(port)).collect();
        for measure in ["paced", "burst", "whole"] {
            if !plan.has(measure) {
                continue;
            }
            let unobserved = timed(measure, &own, &upstream);
            direct.add(measure, &unobserved);
            for ((peer, running), figures) in peers.iter().zip(&running).zip(&mut figures) {
                let figure = timed(measure, &running.target, &running.process);
                eprintln!(
                    "  {measure}: {}: {:.2} µs, {:.2}",
                    peer.name, figure.cpu, figure.value
                );
                figures.add(measure, &figure);
            }
        }
        if round == 1 && plan.has("faults") {
            for (running, figures) in running.iter().zip(&mut figures) {
                figures.faults = faults(&running.target);
            }
        }
    }
    print(&peers, &figures, &direct);
}

/// One measure of one gateway.
struct Figure {
    /// CPU time per chunk or request, in µs.
    cpu: f64,
    /// The median time to the first token in ms, or requests per second.
    value: f64,
}

impl Figures {
    fn add(&mut self, measure: &str, figure: &Figure) {
        match measure {
            "paced" => {
                self.paced.push(figure.cpu);
                self.first.push(figure.value);
            }
            "burst" => self.burst.push(figure.cpu),
            _ => {
                self.whole.push(figure.cpu);
                self.per_second.push(figure.value);
            }
        }
    }
}

fn timed(measure: &str, target: &Target, process: &Process) -> Figure {
    let mut load = load(measure, target);
    assert_eq!(load.read_line(), "ready", "{measure} at {}", target.address);
    let before = process.cpu_time();
    load.send_line();
    let line = load.read_line();
    let used = process.cpu_time() - before;
    let (count, value) = line
        .split_once(' ')
        .unwrap_or_else(|| panic!("{measure} failed: {line}"));
    let count: f64 = count.parse().expect("a number");
    Figure {
        cpu: used as f64 / 1e3 / count,
        value: value.parse().expect("a number"),
    }
}

/// Measures the memory at rest and per open stream, and how soon the upstream is free, of a fresh process:
/// a used one has memory that it would use again.
fn open(peer: &Peer, upstream: u16, figures: &mut Figures) {
    let running = peer.start(upstream);
    sleep(Duration::from_secs(1));
    figures
        .rest
        .push(running.process.memory("Pss") as f64 / 1024.0);
    figures
        .rest_anonymous
        .push(running.process.memory("Pss_Anon") as f64 / 1024.0);
    let mut load = load(&format!("open={}", peer.streams), &running.target);
    assert_eq!(load.read_line(), "ready", "{}", peer.name);
    let before = running.process.memory("Pss_Anon");
    load.send_line();
    assert!(
        !load.read_line().is_empty(),
        "{} did not open the streams",
        peer.name
    );
    let grown = running.process.memory("Pss_Anon").saturating_sub(before);
    let per_stream = grown as f64 / peer.streams as f64;
    figures.open.push(per_stream);
    let begin = Instant::now();
    load.send_line();
    let mut free = f64::INFINITY;
    while begin.elapsed() < FREE_LIMIT {
        if open_at(upstream) == 0 {
            free = begin.elapsed().as_secs_f64();
            break;
        }
        sleep(Duration::from_millis(2));
    }
    figures.free.push(free);
    let rest = figures.rest.last().copied().unwrap_or_default();
    eprintln!(
        "  open: {}: {rest:.1} MiB at rest, {per_stream:.1} KiB per stream, free after {free:.2} s",
        peer.name
    );
    load.send_line();
    drop(running);
    let limit = Instant::now() + FREE_LIMIT;
    while open_at(upstream) != 0 && Instant::now() < limit {
        sleep(Duration::from_millis(10));
    }
}

fn faults(target: &Target) -> Vec<String> {
    let mut load = load("faults", target);
    Script::FAULTS.iter().map(|_| load.read_line()).collect()
}

/// Returns how many responses the upstream is sending.
fn open_at(port: u16) -> usize {
    let read = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.write_all(b"GET /stats HTTP/1.1\r\nhost: a\r\n\r\n")?;
        let mut buffer = [0; 1024];
        let length = socket.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let text = read().expect("the upstream answers");
    let count = text
        .split("\"open\":")
        .nth(1)
        .and_then(|rest| rest.split('}').next());
    count
        .and_then(|count| count.parse().ok())
        .expect("a number")
}

impl Target {
    /// Returns true if the gateway forwards a request.
    pub(crate) fn answers(&self) -> bool {
        let mut command = self.command("probe");
        command.stderr(std::process::Stdio::null());
        command
            .output()
            .is_ok_and(|output| output.stdout == b"ready\n")
    }

    fn command(&self, measure: &str) -> Command {
        let mut command = this("load");
        command
            .args([measure, &self.address, &self.model])
            .args(&self.headers);
        command
    }
}

fn load(measure: &str, target: &Target) -> Process {
    Process::with_lines(&mut target.command(measure))
}

/// This program with another role.
fn this(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the program has a path"));
    command.arg(role);
    command
}

fn print(peers: &[Peer], figures: &[Figures], direct: &Figures) {
    let mut header = "| measure | direct |".to_owned();
    for peer in peers {
        header += &format!(" {} {} |", peer.name, peer.version);
    }
    println!("{header}\n|---|---|{}", "---|".repeat(peers.len()));
    let value = |values: &[f64], digits: usize| match values {
        [] => "–".to_owned(),
        _ => match median(values.to_vec()) {
            infinite if infinite.is_infinite() => format!("not within {} s", FREE_LIMIT.as_secs()),
            value => format!("{value:.digits$}"),
        },
    };
    type Row = (&'static str, usize, bool, fn(&Figures) -> &Vec<f64>);
    let rows: [Row; 9] = [
        ("paced: CPU per chunk, µs", 1, false, |all| &all.paced),
        ("paced: first token, median, ms", 1, true, |all| &all.first),
        ("burst: CPU per chunk, µs", 2, false, |all| &all.burst),
        ("whole: CPU per request, µs", 1, false, |all| &all.whole),
        ("whole: requests per second", 0, true, |all| &all.per_second),
        ("open: KiB per stream", 1, true, |all| &all.open),
        ("memory at rest, MiB", 1, true, |all| &all.rest),
        ("of it not in files, MiB", 1, true, |all| {
            &all.rest_anonymous
        }),
        ("upstream free after clients left, s", 2, true, |all| {
            &all.free
        }),
    ];
    for (name, digits, has_direct, of) in rows {
        let direct = if has_direct {
            value(of(direct), digits)
        } else {
            "–".to_owned()
        };
        let mut row = format!("| {name} | {direct} |");
        for figures in figures {
            row += &format!(" {} |", value(of(figures), digits));
        }
        println!("{row}");
    }
    println!();
    println!(
        "{}\n|---|{}",
        header.replace("| measure | direct |", "| upstream |"),
        "---|".repeat(peers.len())
    );
    for (at, (_, name)) in Script::FAULTS.iter().enumerate() {
        let mut row = format!("| {name} |");
        for figures in figures {
            row += &format!(" {} |", figures.faults.get(at).map_or("–", String::as_str));
        }
        println!("{row}");
    }
}
