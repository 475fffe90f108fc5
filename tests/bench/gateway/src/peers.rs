//! The gateways that are compared: how each is started.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{load::Target, process::Process};

/// The clients' key. LiteLLM requires one, which its configuration has too.
pub(crate) const KEY: &str = "sk-bench-0123456789abcdef0123456789";

const NGINX: &str = include_str!("../peers/nginx.conf");
const LITELLM: &str = include_str!("../peers/litellm.yaml");
const OURS: &str = include_str!("../peers/inferstream.toml");

/// How long a gateway may take to start.
const START: Duration = Duration::from_secs(90);

/// Where the programs are.
pub(crate) struct Places {
    /// Our program.
    pub(crate) inferstream: PathBuf,
    /// The folder of installed peers.
    pub(crate) peers: PathBuf,
}

/// A gateway that can be started.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    /// How many streams are opened at the same time; fewer where 1,000 take too long.
    pub(crate) streams: usize,
    program: PathBuf,
    headers: fn(u16) -> Vec<String>,
    prepare: fn(&Path, &Path, u16, u16) -> Command,
}

/// A running gateway.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) target: Target,
}

/// Returns the gateways that are installed, ours first; the others are named on standard error.
pub(crate) fn installed(places: &Places) -> Vec<Peer> {
    let none = |_| Vec::new();
    let all = [
        Peer {
            name: "inferstream",
            version: first_line(Command::new(&places.inferstream).arg("--version")),
            streams: 1_000,
            program: places.inferstream.clone(),
            headers: none,
            prepare: inferstream,
        },
        Peer {
            name: "nginx",
            version: first_line(Command::new("nginx").arg("-v")),
            streams: 1_000,
            program: on_path("nginx"),
            headers: none,
            prepare: nginx,
        },
        Peer {
            name: "vllm-router",
            version: pinned(include_str!("../peers/vllm-router.txt")),
            streams: 1_000,
            program: places.peers.join("vllm-router/bin/vllm-router"),
            headers: none,
            prepare: vllm_router,
        },
        Peer {
            name: "Portkey",
            version: include_str!("../peers/portkey.json")
                .split("gateway\": \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .unwrap_or_default()
                .to_owned(),
            streams: 1_000,
            program: places
                .peers
                .join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"),
            headers: |upstream| {
                vec![
                    "x-portkey-provider: openai".to_owned(),
                    format!("x-portkey-custom-host: http://127.0.0.1:{upstream}/v1"),
                ]
            },
            prepare: portkey,
        },
        Peer {
            name: "LiteLLM",
            version: pinned(include_str!("../peers/litellm.txt")),
            streams: 300,
            program: places.peers.join("litellm/bin/litellm"),
            headers: none,
            prepare: litellm,
        },
    ];
    let is_installed = |peer: &Peer| {
        let exists = peer.program.exists();
        if !exists {
            eprintln!(
                "SKIPPED: {} is not installed: see tests/bench/gateway/peers/README.md",
                peer.name
            );
        }
        exists
    };
    all.into_iter().filter(is_installed).collect()
}

impl Peer {
    /// Starts the gateway before an upstream, and waits until it forwards a request.
    pub(crate) fn start(&self, upstream: u16) -> Running {
        let port = free_port();
        let folder = env::temp_dir().join(format!("bench-{}-{port}", self.name));
        fs::create_dir_all(&folder).expect("a writable folder");
        let mut process =
            Process::quiet(&mut (self.prepare)(&self.program, &folder, port, upstream));
        let target = Target {
            address: format!("127.0.0.1:{port}"),
            model: "m".to_owned(),
            headers: (self.headers)(upstream),
        };
        let limit = Instant::now() + START;
        while !target.answers() {
            assert!(
                !process.has_ended() && Instant::now() < limit,
                "{} did not start",
                self.name
            );
            sleep(Duration::from_millis(50));
        }
        Running { process, target }
    }
}

fn inferstream(program: &Path, folder: &Path, port: u16, upstream: u16) -> Command {
    let file = write(folder, "inferstream.toml", OURS, port, upstream);
    let mut command = Command::new(program);
    command
        .args([
            "serve",
            "--no-log",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--config",
        ])
        .arg(file);
    command
}

fn nginx(program: &Path, folder: &Path, port: u16, upstream: u16) -> Command {
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(write(folder, "nginx.conf", NGINX, port, upstream));
    command
}

fn vllm_router(program: &Path, _: &Path, port: u16, upstream: u16) -> Command {
    let mut command = Command::new(program);
    let worker = format!("http://127.0.0.1:{upstream}");
    command.args([
        "--worker-urls",
        &worker,
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command.args(["--policy", "round_robin", "--log-level", "error"]);
    command.args(["--prometheus-port", &free_port().to_string()]);
    command
}

fn portkey(program: &Path, folder: &Path, port: u16, _: u16) -> Command {
    let mut command = Command::new("node");
    command
        .arg(program)
        .args([format!("--port={port}"), "--headless".to_owned()]);
    command.current_dir(folder);
    command
}

fn litellm(program: &Path, folder: &Path, port: u16, upstream: u16) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(write(folder, "litellm.yaml", LITELLM, port, upstream));
    command.args([
        "--host",
        "127.0.0.1",
        "--num_workers",
        "1",
        "--port",
        &port.to_string(),
    ]);
    // Nothing is fetched from elsewhere.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command
}

/// Writes a configuration with its ports.
fn write(folder: &Path, name: &str, text: &str, port: u16, upstream: u16) -> PathBuf {
    let text = text
        .replace("UPSTREAM", &upstream.to_string())
        .replace("PORT", &port.to_string())
        .replace("FOLDER", &folder.to_string_lossy());
    let file = folder.join(name);
    fs::write(&file, text).expect("a writable folder");
    file
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn on_path(name: &str) -> PathBuf {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut programs = env::split_paths(&folders).map(|folder| folder.join(name));
    programs
        .find(|program| program.exists())
        .unwrap_or_default()
}

/// Returns the version of a requirement.
fn pinned(requirement: &str) -> String {
    requirement
        .trim()
        .rsplit('=')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Returns the last word of what a program prints first.
fn first_line(command: &mut Command) -> String {
    let output = command.output();
    let text = output
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let word = text.split_whitespace().last().unwrap_or_default();
    word.rsplit('/').next().unwrap_or_default().to_owned()
}
