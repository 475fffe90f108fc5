//! Tests of the program: arguments, standard input, output and exit codes.

#![allow(clippy::unwrap_used)] // clippy allows it in tests only, not in their helpers

mod answers;
mod attachments;
mod batch;
#[cfg(unix)]
mod batch_kills;
mod batch_service;
mod cloudflare;
mod completions;
mod config;
mod conversation;
mod cookies;
mod doctor;
mod endings;
mod faults;
mod input;
#[cfg(target_os = "linux")]
mod interactive;
#[cfg(all(unix, feature = "serve"))]
mod kept;
#[cfg(all(target_os = "linux", feature = "browser"))]
mod login;
mod misuse;
mod replicate;
#[cfg(all(unix, feature = "serve"))]
mod serve;
mod settings;
mod simulate;
mod sse;
#[cfg(unix)]
mod suspended;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod unix;

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::{Value, json};

/// Returns the program with none of the environment variables that it reads.
fn command(args: &[&str]) -> Command {
    #[cfg(unix)]
    unix::reset_signals();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inferstream"));
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    // No configuration file: the folder does not exist.
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/nowhere");
    command
        .args(args)
        .env("XDG_CONFIG_HOME", nowhere)
        .env("APPDATA", nowhere)
        .env_remove("CABLYAI_API_KEY")
        .env_remove("CEREBRAS_API_KEY")
        .env_remove("CEREBRAS_BASE_URL")
        .env_remove("CLOUDFLARE_ACCOUNT_ID")
        .env_remove("CLOUDFLARE_API_KEY")
        .env_remove("CLOUDFLARE_API_TOKEN")
        .env_remove("CLOUDFLARE_BASE_URL")
        .env_remove("CLOUDFLARE_EMAIL")
        .env_remove("INFERSTREAM_MODEL")
        .env_remove("OPENAI_COMPAT_API_KEY")
        .env_remove("OPENAI_COMPAT_BASE_URL")
        .env_remove("REPLICATE_API_KEY")
        .env_remove("REPLICATE_API_TOKEN")
        .env_remove("REPLICATE_BASE_URL")
        .env_remove("REPLICATE_STREAM_ORIGIN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let services = [
        "DEEPSEEK",
        "FIREWORKS",
        "GROQ",
        "MISTRAL",
        "OPENAI",
        "OPENROUTER",
        "PERPLEXITY",
        "TOGETHER",
        "XAI",
    ];
    for service in services {
        command.env_remove(format!("{service}_API_KEY"));
    }
    command.env_remove("HF_TOKEN");
    if cfg!(target_os = "macos") {
        command.env("HOME", nowhere);
    }
    command
}

/// The result of a run.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap();
        self.stdout.lines().map(parse).collect()
    }

    /// Returns the only error line on standard error.
    #[track_caller]
    fn error(&self) -> &str {
        let is_error = |line: &&str| line.starts_with("error: ");
        let errors: Vec<&str> = self.stderr.lines().filter(is_error).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        errors[0]
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn run(args: &[&str]) -> Run {
    Run::of(&mut command(args))
}

/// Runs `chat` against the simulator at unlimited speed.
fn simulated(args: &[&str]) -> Run {
    run(&[&["chat", "--simulate", "--tps", "0", "Hi"], args].concat())
}

/// Runs the program with this standard input.
fn run_with(args: &[&str], input: &[u8]) -> Run {
    let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || match stdin.write_all(input) {
            // The program may stop reading early.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            outcome => outcome.unwrap(),
        });
        Run::from(child.wait_with_output().unwrap())
    })
}

/// Serves this response to each request, one connection at a time; returns the base URL.
///
/// The server runs until the tests end.
fn serve(status: u16, content_type: &str, body: &str) -> String {
    serve_recorded(status, content_type, body).0
}

/// As [`serve`], also with the bodies of the requests.
fn serve_recorded(status: u16, content_type: &str, body: &str) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    let (sender, bodies) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = BufReader::new(socket.unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if socket.read_line(&mut line).unwrap() <= 2 {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            socket.read_exact(&mut body).unwrap();
            // Not every test reads the bodies, and a GET has none.
            let _ = sender.send(serde_json::from_slice(&body).unwrap_or_default());
            // The program may have exited.
            let _ = socket.get_mut().write_all(response.as_bytes());
        }
    });
    (url, bodies)
}

/// Serves a stream of these deltas for choice 0, followed by this finish reason.
fn serve_stream(deltas: &[Value], reason: &str) -> String {
    serve(200, "text/event-stream", &stream(deltas, reason))
}

/// Returns a stream of these deltas for choice 0, followed by this finish reason.
fn stream(deltas: &[Value], reason: &str) -> String {
    let chunk = |delta: &Value, reason: Value| {
        json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 1_760_000_000, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]
        })
    };
    let mut body = String::new();
    for delta in deltas {
        let event = format!("data: {}\n\n", chunk(delta, Value::Null));
        body += &event;
    }
    let last = chunk(&json!({}), json!(reason));
    body + &format!("data: {last}\n\ndata: [DONE]\n\n")
}

/// Runs `chat` against a compatible service.
fn ask(url: &str, args: &[&str]) -> Run {
    run(&ask_args(url, args))
}

/// Returns the arguments of [`ask`].
fn ask_args<'a>(url: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let service = [
        "-p",
        "openai-compat",
        "-m",
        "m",
        "--attempts",
        "1",
        "--base-url",
        url,
    ];
    [&["chat", "Hi"], &service[..], args].concat()
}

/// A running `inferstream simulate`, stopped on drop.
struct Server {
    child: Child,
    #[cfg_attr(not(unix), expect(dead_code, reason = "it is kept open"))]
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut child = command(&[&["simulate", "--tps", "0"], args].concat())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut url = String::new();
        stdout.read_line(&mut url).unwrap();
        Self {
            child,
            stdout,
            url: url.trim_end().to_owned(),
        }
    }

    /// Returns the output after the first line.
    #[cfg(unix)]
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test may have ended it already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}
