//! Replicate on the command line.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::{Run, Server, command, run, simulated};

const REPLICATE: [&str; 2] = ["-p", "replicate"];

fn replicate(args: &[&str]) -> Run {
    simulated(&[&REPLICATE, args].concat())
}

#[test]
fn a_response_has_token_counts() {
    let run = replicate(&["--json", "-m", "openai/gpt-5", "--max-tokens", "5"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let answer = run.json();
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(answer["usage"]["output_tokens"], 5);
    assert_eq!(answer["model"], "openai/gpt-5");
    assert!(answer["id"].is_string() && answer["error"].is_null());
    assert!(run.stderr.contains("SIMULATED"));
}

#[test]
fn a_model_may_start_with_its_provider() {
    let model = "replicate/meta/meta-llama-3-8b-instruct";
    let run = simulated(&["--json", "-m", model]);
    assert_eq!(run.json()["model"], "meta/meta-llama-3-8b-instruct");
}

#[test]
fn a_cut_stream_is_resumed() {
    let whole = replicate(&[]);
    for fault in ["cut", "truncate", "cutall", "early", "nourl"] {
        let run = replicate(&["--fault", fault]);
        assert_eq!(run.code, Some(0), "{fault}: {}", run.stderr);
        assert_eq!(run.stdout, whole.stdout, "{fault}");
    }
}

/// Checks the exit code and the error message of a fault.
#[track_caller]
fn check(fault: &str, code: i32, message: &str) {
    let run = replicate(&["--fault", fault, "--idle-timeout", "1"]);
    assert_eq!(run.code, Some(code), "{fault}: {}", run.stderr);
    assert!(run.error().contains(message), "{fault}: {}", run.error());
}

#[test]
fn faults_have_their_exit_codes() {
    check("failed", 1, "prediction failed: ");
    check("error", 1, "prediction failed: ");
    check("canceled", 1, "was canceled");
    check("aborted", 1, "was aborted");
    check("lost", 5, "may have created the prediction");
    check("noid", 1, "expected a prediction with an id");
    check("evilhost", 5, "evil.example");
    check("stream:401", 3, "401");
    check("402", 4, "402");
    check("422", 1, "422");
    check("500", 1, "500");
    check("stall", 5, "idle");
}

#[test]
fn a_missing_key_error_shows_where_to_get_one() {
    let asked = run(&["chat", "-p", "replicate", "Hi"]);
    assert_eq!(asked.code, Some(3));
    assert!(asked.error().contains("REPLICATE_API_TOKEN"));
    assert!(asked.error().contains("replicate.com/account/api-tokens"));
}

/// A running `inferstream simulate` and the addresses of its Replicate API.
struct Service {
    _server: Server,
    url: String,
    streams: String,
}

impl Service {
    fn start(tps: &str) -> Self {
        let mut child = command(&["simulate", "--tps", tps]);
        let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut base = String::new();
        stdout.read_line(&mut base).unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let streams = stderr.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("--stream-origin ")?;
            Some(rest.split(' ').next().unwrap().to_owned())
        });
        let url = base.trim_end().replace("/v1", "/replicate/v1");
        let server = Server {
            child,
            stdout,
            url: base,
        };
        Self {
            _server: server,
            url,
            streams: streams.unwrap(),
        }
    }

    /// Returns the program configured for this service and its key.
    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = command(args);
        command
            .env("REPLICATE_API_TOKEN", "any")
            .env("REPLICATE_BASE_URL", &self.url);
        command
    }
}

#[test]
fn a_stream_at_another_origin_must_be_allowed() {
    let service = Service::start("0");
    let chat = ["chat", "-p", "replicate", "Hi"];
    let refused = Run::of(&mut service.command(&chat));
    assert_eq!(refused.code, Some(5));
    assert!(refused.error().contains(&service.streams));
    let allowed = [&chat[..], &["--stream-origin", &service.streams]].concat();
    assert_eq!(Run::of(&mut service.command(&allowed)).code, Some(0));
}

#[test]
fn a_stream_origin_can_be_allowed_in_the_environment() {
    let service = Service::start("0");
    let ask = |origins: &str| {
        let mut command = service.command(&["chat", "-p", "replicate", "Hi"]);
        Run::of(command.env("REPLICATE_STREAM_ORIGIN", origins))
    };
    assert_eq!(ask(&service.streams).code, Some(0));
    let two = format!("https://streams.example.com, {}", service.streams);
    assert_eq!(ask(&two).code, Some(0));
    assert_eq!(ask(" ").code, Some(5));
    assert_eq!(ask("https://streams.example.com").code, Some(5));
    let malformed = ask("nonsense");
    assert_eq!(malformed.code, Some(2));
    let error = malformed.error();
    assert!(error.contains("REPLICATE_STREAM_ORIGIN"), "{error}");
}

#[test]
fn verbose_prints_the_prediction() {
    let flags: [&[&str]; 3] = [&[], &["--no-stream"], &["--fault", "failed"]];
    for flags in flags {
        let run = replicate(&[&["-v"], flags].concat());
        let line = run
            .stderr
            .lines()
            .find(|line| line.starts_with("prediction: "));
        let line = line.unwrap_or_else(|| panic!("{}", run.stderr));
        assert!(line.contains(", at https://replicate.com/p/"), "{line}");
    }
    assert!(!replicate(&[]).stderr.contains("prediction: "));
}

#[test]
fn models_are_listed() {
    let service = Service::start("0");
    let listed = Run::of(&mut service.command(&["models", "-p", "replicate", "--json"]));
    let models: Value = listed.json();
    let is_there = |model: &Value| model["id"] == "openai/gpt-5";
    assert!(models.as_array().unwrap().iter().any(is_there));
}

/// Returns the statuses of the service's predictions, newest first.
#[cfg(unix)]
fn statuses(service: &Service) -> Vec<String> {
    use std::{io::Read as _, io::Write as _, net::TcpStream};
    let rest = service.url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let mut socket = TcpStream::connect(authority).unwrap();
    let head = format!("GET /{path}/predictions HTTP/1.1\r\nHost: {authority}\r\n");
    let rest = "Authorization: Bearer any\r\nConnection: close\r\n\r\n";
    socket.write_all((head + rest).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let list: Value = serde_json::from_str(body).unwrap();
    let list = list["results"].as_array().unwrap();
    let status = |prediction: &Value| prediction["status"].as_str().unwrap().to_owned();
    list.iter().map(status).collect()
}

#[cfg(unix)]
#[test]
fn an_abandoned_prediction_is_canceled() {
    use std::io::Read as _;
    let service = Service::start("20");
    let args = ["chat", "-p", "replicate", "Hi", "--stream-origin"];
    let args = [&args[..], &[&service.streams]].concat();
    let first_word = || {
        let mut child = service.command(&args).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 4]).unwrap();
        (child, stdout)
    };

    let (child, stdout) = first_word();
    crate::unix::interrupt(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    drop(stdout);
    assert_eq!(statuses(&service), ["canceled"]);

    for (name, code) in [("TERM", 143), ("HUP", 129)] {
        let service = Service::start("20");
        let args = ["chat", "-p", "replicate", "Hi", "--stream-origin"];
        let args = [&args[..], &[&service.streams]].concat();
        let mut child = service.command(&args).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 4]).unwrap();
        crate::unix::signal(&child, name);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(code));
        assert_eq!(statuses(&service), ["canceled"], "{name}");
    }

    // Interrupted before any output was read.
    let mut command = service.command(&args);
    let child = command.spawn().unwrap();
    while statuses(&service).len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    crate::unix::interrupt(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert_eq!(statuses(&service), ["canceled", "canceled"]);

    // Closed output, as with `| head`.
    let (child, stdout) = first_word();
    drop(stdout);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(141));
    assert_eq!(statuses(&service), ["canceled"; 3]);
}
