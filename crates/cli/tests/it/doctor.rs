//! The checks of `doctor`, against the simulator with and without faults.

use std::{fs, net::TcpListener};

use tempfile::tempdir;

use crate::{Run, Server, command, run, serve};

const KEY: &str = "csk-Very-secret-key";

/// Runs `doctor` with a configuration file and variables. No output contains the key.
#[track_caller]
fn doctor(config: &str, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let folder = tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, config).unwrap();
    let mut command = command(&["doctor", "--config", file.to_str().unwrap()]);
    let run = Run::of(command.args(args).envs(variables.iter().copied()));
    for output in [&run.stdout, &run.stderr] {
        assert!(
            !output.contains(KEY) && !output.contains("hunter2"),
            "{output}"
        );
    }
    run
}

/// Checks the exit code, the marks of lines that contain texts, and that each failure has a remedy.
#[track_caller]
fn check(run: &Run, code: i32, lines: &[(&str, &str)]) {
    assert_eq!(run.code, Some(code), "{}{}", run.stdout, run.stderr);
    for (mark, text) in lines {
        let found = run.stdout.lines().find(|line| line.contains(text));
        let found = found.unwrap_or_else(|| panic!("no line with `{text}`: {}", run.stdout));
        assert!(found.starts_with(mark), "{found}");
    }
    let count = |start| {
        run.stdout
            .lines()
            .filter(|line| line.starts_with(start))
            .count()
    };
    assert_eq!(count("FAIL"), count("      remedy: "), "{}", run.stdout);
    assert_eq!(count("FAIL") == 0, code == 0, "{}", run.stdout);
}

fn table(url: &str) -> String {
    format!(
        "[providers.sim]\nkind = \"openai-compat\"\nbase_url = \"{url}\"\napi_key = \"env:SIM\"\n"
    )
}

#[test]
fn a_simulated_service_is_healthy() {
    for provider in ["cerebras", "cloudflare", "groq", "ollama", "replicate"] {
        let run = run(&["doctor", "--simulate", "-p", provider]);
        let network = format!("{provider} network: https://127.0.0.1");
        let service = format!("{provider} service: lists ");
        check(
            &run,
            0,
            &[
                ("ok", &network),
                ("ok", &service),
                ("ok", "TLS succeeded; first byte"),
            ],
        );
    }
}

#[test]
fn a_fault_of_the_connection_is_found_in_its_phase() {
    for (fault, phase) in [
        ("certificate-expired", "groq TLS: "),
        ("certificate-host", "groq TLS: "),
        ("certificate-unknown", "groq TLS: "),
        ("handshake-silence", "groq TLS: "),
        ("plain-http", "groq TLS: "),
        ("tls-alert", "groq TLS: "),
    ] {
        let args = [
            "doctor",
            "--simulate",
            "-p",
            "groq",
            "--connect-timeout",
            "0.5",
            "--fault",
            fault,
        ];
        check(&run(&args), 1, &[("FAIL", phase)]);
    }
    let refused = run(&["doctor", "--simulate", "--fault", "truncate"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .error()
            .contains("expected a fault of the connection"),
        "{}",
        refused.error()
    );
}

#[test]
fn a_certificate_must_be_trusted() {
    let folder = tempdir().unwrap();
    let pem = folder.path().join("ca.pem");
    let pem = pem.to_str().unwrap();
    let server = Server::start(&["--tls", "--cert-file", pem, "--api-key", KEY]);
    let config = table(&server.url);
    let untrusted = doctor(&config, &[], &[("SIM", KEY)]);
    check(
        &untrusted,
        1,
        &[
            ("FAIL", "sim TLS: "),
            ("      remedy", "trust its certificate with `--cacert FILE`"),
        ],
    );
    let trusted = doctor(&config, &["--cacert", pem], &[("SIM", KEY)]);
    check(
        &trusted,
        0,
        &[
            ("ok", "sim key: from the environment variable SIM"),
            ("ok", "sim network: https://127.0.0.1"),
            ("ok", "sim service: lists "),
            ("ok", pem),
        ],
    );
}

#[test]
fn a_wrong_or_missing_key_is_told_from_a_dead_service() {
    let server = Server::start(&["--api-key", KEY]);
    let config = table(&server.url);
    let wrong = doctor(&config, &[], &[("SIM", "another-secret")]);
    check(
        &wrong,
        1,
        &[
            ("ok", "sim network: "),
            ("FAIL", "sim service: "),
            ("      remedy", "check the key"),
        ],
    );
    assert!(!wrong.stdout.contains("another-secret"));
    let missing = doctor(&config, &[], &[]);
    check(&missing, 1, &[("FAIL", "sim key: ")]);

    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dead = doctor(&table(&format!("http://{dead}/v1")), &[], &[("SIM", KEY)]);
    check(
        &dead,
        1,
        &[
            ("ok", "sim key: "),
            ("FAIL", "sim connection: "),
            ("      remedy", "start it"),
        ],
    );
}

#[test]
fn the_network_is_checked_without_a_key() {
    let server = Server::start(&["--api-key", KEY]);
    let variables = [("CEREBRAS_BASE_URL", server.url.as_str())];
    // The simulator is at another host than Cerebras, so no key is required, and none is sent.
    let run = Run::of(command(&["doctor"]).envs(variables));
    assert!(
        run.stdout
            .contains("ok    cerebras network: http://127.0.0.1"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_is_not_a_model_list_is_reported() {
    let variables = [("SIM", KEY)];
    let page = serve(200, "text/html", "<!DOCTYPE html><title>Hi</title>");
    check(
        &doctor(&table(&page), &[], &variables),
        1,
        &[("ok", "sim network: "), ("FAIL", "sim service: ")],
    );
    let broken = serve(500, "application/json", "{}");
    check(
        &doctor(&table(&broken), &[], &variables),
        1,
        &[("FAIL", "sim service: ")],
    );
    // A service may have no model list, or limit requests.
    let none = serve(404, "application/json", "{}");
    check(
        &doctor(&table(&none), &[], &variables),
        0,
        &[("note", "sim service: ")],
    );
    let limited = serve(429, "application/json", "{}");
    check(
        &doctor(&table(&limited), &[], &variables),
        0,
        &[("note", "sim service: ")],
    );
}

#[test]
fn offline_nothing_is_sent() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    dead.set_nonblocking(true).unwrap();
    let config = table(&format!("http://{}/v1", dead.local_addr().unwrap()));
    let found = doctor(&config, &["--offline"], &[("SIM", KEY)]);
    check(
        &found,
        0,
        &[("ok", "sim key: from the environment variable SIM")],
    );
    assert!(!found.stdout.contains("network"), "{}", found.stdout);
    assert!(dead.accept().is_err());
    check(
        &doctor(&config, &["--offline"], &[]),
        1,
        &[("FAIL", "sim key: ")],
    );
}

#[test]
fn what_is_configured_is_checked() {
    let keys = [("GROQ_API_KEY", KEY), ("HF_TOKEN", KEY)];
    let found = doctor("", &["--offline"], &keys);
    check(
        &found,
        0,
        &[
            ("note", "default model: none"),
            ("ok", "groq key: from the environment variable GROQ_API_KEY"),
            (
                "ok",
                "huggingface key: from the environment variable HF_TOKEN",
            ),
        ],
    );
    assert!(!found.stdout.contains("cerebras key"), "{}", found.stdout);
    let found = doctor("default = \"xai/x\"", &["--offline"], &keys);
    check(
        &found,
        1,
        &[
            ("ok", "default model: xai/x"),
            ("FAIL", "xai key: missing"),
            ("ok", "groq key"),
        ],
    );
    let found = doctor("", &["--offline"], &[]);
    check(
        &found,
        1,
        &[
            ("FAIL", "cerebras key: missing"),
            ("      remedy", "set CEREBRAS_API_KEY"),
        ],
    );
    let found = doctor("", &["--offline", "-p", "ollama"], &[]);
    check(
        &found,
        0,
        &[("ok", "ollama key: none, and none is required")],
    );
}

#[test]
fn a_proxy_is_shown_without_its_password() {
    let proxy = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://me:hunter2@{proxy}");
    let shown = format!("http://{proxy}");
    let args = ["--offline", "-p", "ollama"];
    let found = doctor(
        "",
        &args,
        &[("HTTPS_PROXY", &url), ("NO_PROXY", "example.com")],
    );
    check(
        &found,
        0,
        &[(
            "ok",
            &format!("proxy: HTTPS_PROXY={shown} NO_PROXY=example.com"),
        )],
    );
    let found = doctor("", &[&args[..], &["--proxy", &url]].concat(), &[]);
    check(
        &found,
        0,
        &[("ok", &format!("proxy: {shown}, by `--proxy`"))],
    );
    let found = doctor(
        "",
        &["-p", "groq"],
        &[("HTTPS_PROXY", &url), ("GROQ_API_KEY", KEY)],
    );
    check(&found, 1, &[("FAIL", "groq proxy: ")]);
    let broken = doctor("", &args, &[("HTTPS_PROXY", "ftp://me:hunter2@h")]);
    check(
        &broken,
        1,
        &[("FAIL", "connection settings: invalid proxy URL")],
    );
}
