//! The `serve` command.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Child,
};

use crate::{Run, command, run, unix::signal};

/// A gateway before the simulator, and its address.
pub(crate) struct Gateway(pub(crate) Option<Child>, pub(crate) String);

impl Gateway {
    fn start(args: &[&str]) -> Self {
        let listen = ["--listen", "127.0.0.1:0"];
        Self::run(&[&["serve", "--simulate", "--tps", "0"], &listen[..], args].concat())
    }

    pub(crate) fn run(args: &[&str]) -> Self {
        let mut command = command(args);
        command.env("TEAM_KEY", "key-of-the-team");
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap();
        let address = address.strip_suffix("/v1").unwrap().to_owned();
        Self(Some(child), address)
    }

    /// Sends a chat request and returns all of the response.
    fn chat(&self, headers: &str, model: &str) -> String {
        let body = format!(
            r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Secret prompt"}}]}}"#
        );
        post(&self.1, headers, &body).unwrap()
    }

    /// Stops the gateway by SIGTERM.
    fn stop(mut self) -> Run {
        let child = self.0.take().unwrap();
        signal(&child, "TERM");
        Run::from(child.wait_with_output().unwrap())
    }
}

/// Sends a chat request and returns all of the response.
pub(crate) fn post(address: &str, headers: &str, body: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        connection,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    Ok(response)
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_newcomer_streams_from_every_provider_without_a_key() {
    let gateway = Gateway::start(&["--alias", "fast=cerebras/gpt-oss-120b,cablyai/any"]);
    for model in [
        "fast",
        "cablyai/any",
        "cerebras/gpt-oss-120b",
        "cloudflare/@cf/meta/llama-3.1-8b-instruct-fp8",
        "openai-compat/any",
        "replicate/meta/meta-llama-3-8b-instruct",
    ] {
        let response = gateway.chat("", model);
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("data: [DONE]\n\n"), "{response}");
    }
    let run = gateway.stop();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("SIMULATED"), "{}", run.stderr);
    let records = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("{\"time\":"));
    let records: Vec<serde_json::Value> = records
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 6, "{}", run.stderr);
    assert!(records.iter().all(|record| record["end"] == "complete"));
    assert!(!run.stderr.contains("Secret prompt"), "{}", run.stderr);
}

#[test]
fn a_truncated_response_has_no_end_marker() {
    let gateway = Gateway::start(&["--fault", "truncate"]);
    let response = gateway.chat("", "cerebras/gpt-oss-120b");
    assert!(response.contains("\"code\":\"truncated\""), "{response}");
    assert!(!response.contains("[DONE]"), "{response}");
}

#[test]
fn keys_are_required_and_read_again_by_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "first-key\n").unwrap();
    let file = format!("other=file:{}", path.display());
    let gateway = Gateway::start(&["--key", "team=env:TEAM_KEY", "--key", &file]);
    let with = |key: &str| {
        let header = format!("authorization: Bearer {key}\r\n");
        gateway.chat(&header, "cerebras/gpt-oss-120b")
    };
    for (key, status) in [
        ("key-of-the-team", "200"),
        ("first-key", "200"),
        ("x", "401"),
    ] {
        assert!(
            with(key).starts_with(&format!("HTTP/1.1 {status} ")),
            "{key}"
        );
    }
    std::fs::write(&path, "second-key\n").unwrap();
    signal(gateway.0.as_ref().unwrap(), "HUP");
    while with("second-key").starts_with("HTTP/1.1 401 ") {}
    assert!(with("first-key").starts_with("HTTP/1.1 401 "));
    let run = gateway.stop();
    for secret in ["key-of-the-team", "first-key", "second-key"] {
        assert!(!run.stderr.contains(secret), "{}", run.stderr);
    }
}

#[test]
fn invalid_settings_are_refused_before_it_listens() {
    for (args, expected) in [
        (
            &["--listen", "0.0.0.0:0"][..],
            "add `--key`, or set `--no-auth`",
        ),
        (&["--alias", "fast=none/x"], "unknown provider `none`"),
        (
            &["--key", "team=env:MISSING_VARIABLE"],
            "expected the environment variable MISSING_VARIABLE",
        ),
    ] {
        let run = run(&[&["serve", "--simulate", "--check"], args].concat());
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.error().contains(expected), "{}", run.stderr);
    }
    let valid = run(&["serve", "--simulate", "--check"]);
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);
    // A key as an argument would be visible to other users.
    let run = run(&["serve", "--key", "team=sk-secret"]);
    assert_eq!(run.code, Some(2));
}

#[test]
fn the_configuration_file_has_providers_aliases_and_keys() {
    let url = crate::serve(
        200,
        "text/event-stream",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Blue.\"},\
         \"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "key-of-the-file").unwrap();
    let path = folder.path().join("config.toml");
    let text = format!(
        "[serve]\nlisten = \"127.0.0.1:0\"\ndrain = 5\n\
         [models]\nfast = \"local/m\"\n\
         [providers.local]\nkind = \"openai-compat\"\nbase_url = \"{url}\"\n\
         [keys.team]\nkey = \"file:key\"\nmodels = [\"fast\"]\n"
    );
    std::fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    let gateway = Gateway::run(&["serve", "--config", path]);
    let response = gateway.chat("x-api-key: key-of-the-file\r\n", "fast");
    assert!(response.contains("Blue."), "{response}");
    assert!(response.contains("data: [DONE]\n\n"), "{response}");
    let response = gateway.chat("x-api-key: key-of-the-file\r\n", "local/m");
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    let response = gateway.chat("", "fast");
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");

    for member in ["[serve]\nlinger = true", "[keys.a]\nkey = \"sk-secret\""] {
        std::fs::write(path, member).unwrap();
        let run = run(&["serve", "--check", "--config", path]);
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.error().contains("line 2"), "{}", run.stderr);
        assert!(!run.stderr.contains("sk-secret"), "{}", run.stderr);
    }
}
