//! Invalid settings, and services that cannot be reached.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use crate::{Run, Server, command, run, simulated};

const SECRET: &str = "csk-very-secret";

#[track_caller]
fn check(args: &[&str], code: i32, message: &str) {
    let args = [&["chat", "Hi", "--attempts", "1"], args].concat();
    let run = Run::of(command(&args).env("CEREBRAS_API_KEY", SECRET));
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    assert!(run.error().contains(message), "{}", run.error());
    assert_eq!(run.stdout, "");
    let verbose =
        Run::of(command(&[&args, &["-v", "--json"][..]].concat()).env("CEREBRAS_API_KEY", SECRET));
    assert_eq!(verbose.code, Some(code));
    for output in [run.stderr, verbose.stderr, verbose.stdout] {
        assert!(
            !output.contains(SECRET) && !output.contains("hunter2"),
            "{output}"
        );
    }
}

/// Returns a port without a listener.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_missing_key_is_an_error() {
    let run = run(&["chat", "Hi"]);
    assert_eq!(run.code, Some(3));
    assert!(run.error().contains("CEREBRAS_API_KEY"));
    assert!(run.error().contains("https://cloud.cerebras.ai"));
}

#[test]
fn an_invalid_key_is_an_error() {
    for (key, code) in [
        ("csk-very\nsecret", 2),
        ("csk-vérysecret", 2),
        ("", 3),
        (" \n", 3),
    ] {
        let run = Run::of(command(&["chat", "Hi", "-v"]).env("CEREBRAS_API_KEY", key));
        assert_eq!(run.code, Some(code), "{key:?}: {}", run.stderr);
        assert!(!run.error().is_empty());
        assert!(!run.stderr.contains("secret"), "{}", run.stderr);
    }
}

#[test]
fn a_key_file_takes_precedence() {
    let server = Server::start(&["--api-key", "right"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let ask = |key: &[u8]| {
        fs::write(&path, key).unwrap();
        let args = ["chat", "Hi", "--base-url", &server.url, "--key-file"];
        let args = [&args[..], &[path.to_str().unwrap()]].concat();
        Run::of(command(&args).env("CEREBRAS_API_KEY", "wrong"))
    };
    assert_eq!(ask(b"right\n").code, Some(0));
    let refused = ask(b"secret\n");
    assert_eq!(refused.code, Some(3));
    assert!(!refused.stderr.contains("secret"));
    for unusable in [&b"two\nsecrets\n"[..], b"\xff\xfe", b"", b" \n"] {
        let run = ask(unusable);
        assert_eq!(run.code, Some(2));
        let file = format!("error: {}: ", path.display());
        assert!(run.error().starts_with(&file), "{}", run.error());
        assert!(!run.stderr.contains("secrets"));
    }
    check(&["--key-file", "no/such/file"], 2, "no/such/file");
}

#[test]
fn a_local_service_needs_no_key() {
    // The simulator accepts everything except a missing key, as the service does.
    let server = Server::start(&[]);
    let run = run(&["chat", "Hi", "--base-url", &server.url]);
    assert_eq!(run.code, Some(3));
    assert!(run.error().contains("401"), "{}", run.error());
}

#[test]
fn an_error_about_a_setting_names_the_flag() {
    let origin = ["-p", "replicate", "--stream-origin", "nonsense"];
    for (args, setting, flag) in [
        (&["--proxy", "nonsense:"][..], "proxy", "--proxy"),
        (&["--base-url", "nonsense"], "base_url", "--base-url"),
        (&["-p", "cablyai"], "api_key", "--key-file"),
        (&["-p", "cloudflare"], "account_id", "--account"),
        (
            &["-p", "replicate", "--seed", "1", "--simulate", "-m", "a"],
            "model",
            "--model",
        ),
        (&origin, "stream_origin", "--stream-origin"),
        (
            &["-p", "replicate", "--simulate", "--stop", ""],
            "stop",
            "--stop",
        ),
    ] {
        let run = run(&[&["chat", "Hi", "--json"], args].concat());
        let hint = format!("hint: the flag for `{setting}` is `{flag}`");
        assert!(
            run.stderr.lines().any(|line| line == hint),
            "{}",
            run.stderr
        );
        let object: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(object["error"]["setting"], setting);
    }
}

#[test]
fn a_missing_setting_is_reported_with_its_flag() {
    for args in [
        &["chat", "Hi", "-p", "openai-compat"][..],
        &["chat", "Hi", "-m", "openai-compat/x"],
        &["models", "-p", "openai-compat"],
    ] {
        let run = Run::of(command(args).env("OPENAI_COMPAT_BASE_URL", " "));
        assert_eq!(run.code, Some(2));
        assert!(
            run.error().contains("set OPENAI_COMPAT_BASE_URL"),
            "{}",
            run.error()
        );
        assert!(run.stderr.contains("is `--base-url`"), "{}", run.stderr);
    }
    for provider in ["openai-compat", "cablyai"] {
        let run = run(&["chat", "Hi", "--simulate", "-p", provider]);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains("is `--model`"), "{}", run.stderr);
    }
}

#[test]
fn a_base_url_with_an_endpoint_path_is_an_error() {
    let url = "http://127.0.0.1:9/v1/chat/completions";
    for provider in ["cablyai", "cerebras", "openai-compat"] {
        let args = ["-p", provider, "-m", "x", "--base-url", url];
        check(&args, 2, "invalid base URL: it ends in `/chat/completions`");
    }
}

#[test]
fn invalid_base_urls_are_errors() {
    for url in [
        "nonsense",
        "",
        "ftp://x/",
        "http://",
        "http://a b/",
        "127.0.0.1:9",
        "https://:x/",
    ] {
        check(&["--base-url", url], 2, "base URL");
    }
    check(
        &["--base-url", "http://me:hunter2@127.0.0.1:9/v1"],
        2,
        "user name",
    );
}

#[test]
fn a_closed_port_is_a_connection_failure() {
    let url = format!("http://127.0.0.1:{}/v1", closed_port());
    check(&["--base-url", &url], 5, "refused the connection");
    let models = run(&["models", "--base-url", &url, "--attempts", "1"]);
    assert_eq!((models.code, models.stdout.as_str()), (Some(5), ""));
}

#[test]
fn a_wrong_url_scheme_is_explained() {
    let clear = Server::start(&[]);
    let url = clear.url.replace("http:", "https:");
    check(&["--base-url", &url], 5, "does not use TLS");

    let tls = Server::start(&["--tls"]);
    let url = tls.url.replace("https:", "http:");
    check(&["--base-url", &url], 5, "uses TLS");
    check(&["--base-url", &tls.url], 5, "certificate_pem");
    let untrusted = run(&["chat", "Hi", "--base-url", &tls.url]);
    assert!(untrusted.stderr.contains("is `--cacert`"));
}

#[test]
fn certificates_are_checked_and_can_be_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, rubbish, broken) = (path("cert.pem"), path("rubbish"), path("broken.pem"));
    let server = Server::start(&["--tls", "--cert-file", &cert]);
    let args = ["chat", "Hi", "--base-url", &server.url, "--cacert", &cert];
    let run = Run::of(command(&args).env("CEREBRAS_API_KEY", SECRET));
    assert_eq!(run.code, Some(0), "{}", run.stderr);

    fs::write(&rubbish, "rubbish").unwrap();
    check(&["--cacert", &rubbish], 2, &rubbish);
    fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    check(&["--cacert", &broken], 2, &broken);
    check(&["--cacert", "no/such/file"], 2, "no/such/file");
}

#[test]
fn proxies_are_used_and_named_in_errors() {
    // The server is not a proxy, so it rejects the request.
    let server = Server::start(&[]);
    let refusing = server.url.trim_end_matches("/v1");
    let target = format!("https://127.0.0.1:{}/v1", closed_port());
    check(
        &["--base-url", &target, "--proxy", refusing],
        5,
        "the proxy",
    );
    let secret = refusing.replace("//", "//me:hunter2@");
    check(&["--base-url", &target, "--proxy", &secret], 5, "the proxy");

    let closed = format!("http://127.0.0.1:{}", closed_port());
    check(&["--base-url", &target, "--proxy", &closed], 5, "the proxy");
    check(&["--proxy", "nonsense:"], 2, "invalid proxy URL");

    let ask = |flags: &[&str]| {
        let args = [&["chat", "Hi", "--base-url", &server.url], flags].concat();
        let mut command = command(&args);
        command
            .env("CEREBRAS_API_KEY", SECRET)
            .env("http_proxy", &closed);
        Run::of(&mut command).code
    };
    let args = ["chat", "Hi", "--base-url", &server.url];
    let malformed = Run::of(command(&args).env("http_proxy", "::nonsense"));
    assert_eq!(malformed.code, Some(2));
    assert!(malformed.error().contains("http_proxy"));
    assert!(malformed.stderr.contains("is `--no-proxy`"));
    assert_eq!(ask(&["--attempts", "1"]), Some(5));
    assert_eq!(ask(&["--no-proxy"]), Some(0));
}

#[test]
fn invalid_flags_are_usage_errors() {
    for flags in [
        &["-p", "nobody"][..],
        &["--idle-timeout", "-1"],
        &["--idle-timeout", "soon"],
        &["--attempts", "0"],
        &["--simulate", "--tps", "nan"],
        &["--sim-seed", "1"],
        &["--simulate", "--fault", "nonsense"],
        &["--simulate", "--base-url", "http://127.0.0.1:9"],
        &["--json", "--jsonl"],
        &["-o", "=1"],
        &["-o", "key"],
    ] {
        let run = run(&[&["chat", "Hi"], flags].concat());
        assert_eq!(run.code, Some(2), "{flags:?}: {}", run.stderr);
        assert!(!run.error().is_empty());
    }
}

#[test]
fn any_compatible_service_works_by_its_url() {
    let server = Server::start(&[]);
    let url = server.url.replace("/v1", "/compatible/v1");
    let ask = |model: &[&str], url: Option<&str>| {
        let mut command = command(&[&["chat", "-p", "openai-compat"], model, &["Hi"]].concat());
        command.env_remove("OPENAI_COMPAT_BASE_URL");
        if let Some(url) = url {
            command.env("OPENAI_COMPAT_BASE_URL", url);
        }
        Run::of(&mut command)
    };
    let run = ask(&["-m", "llama3.2"], Some(&url));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let run = ask(&["-m", "llama3.2"], None);
    assert_eq!(run.code, Some(2));
    assert!(run.error().contains("OPENAI_COMPAT_BASE_URL"));
    let run = ask(&[], Some(&url));
    assert_eq!(run.code, Some(2));
    assert!(run.error().starts_with("error: missing model"));
    assert!(run.stderr.contains("is `--model`"), "{}", run.stderr);
}

#[test]
fn cablyai_requires_a_key() {
    let run = Run::of(
        command(&["chat", "-p", "cablyai", "-m", "deepseek-v3", "Hi"])
            .env_remove("CABLYAI_API_KEY"),
    );
    assert_eq!(run.code, Some(3));
    assert!(run.error().contains("CABLYAI_API_KEY"));
    let run = Run::of(&mut command(&[
        "chat",
        "--simulate",
        "-m",
        "cablyai/deepseek-v3",
        "Hi",
    ]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn an_unsupported_setting_is_an_error_or_omitted() {
    let ask = |flags: &[&str]| {
        let playground = ["-p", "cloudflare", "--playground", "--seed", "7"];
        simulated(&[&playground[..], flags].concat())
    };
    for flags in [&[][..], &["--on-unsupported", "error"]] {
        let run = ask(flags);
        assert_eq!(run.code, Some(2));
        assert!(
            run.stderr.contains("does not support `seed`"),
            "{}",
            run.stderr
        );
        assert_eq!(run.stdout, "");
    }
    let run = ask(&["--on-unsupported", "warn"]);
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("`seed` was dropped"), "{}", run.stderr);
    let run = ask(&["--on-unsupported", "ignore"]);
    assert_eq!(run.code, Some(0));
    assert!(!run.stderr.contains("seed"), "{}", run.stderr);
}

/// Runs the program against a server that rejects its request, and returns the request.
fn sent(args: &[&str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut read = Vec::new();
        // The request body is one JSON object, so its closing brace ends the request.
        while !read.ends_with(b"}") {
            let mut piece = [0; 4096];
            let length = socket.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the request ended early");
            read.extend_from_slice(&piece[..length]);
        }
        let refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        socket.write_all(refusal).unwrap();
        String::from_utf8(read).unwrap()
    });
    let args = [&["chat", "Hi", "--no-proxy", "--base-url", &url], args].concat();
    assert_eq!(run(&args).code, Some(1));
    server.join().unwrap()
}

#[test]
fn behind_gateway_sends_the_format_of_cerebras() {
    let plain = sent(&["--max-tokens", "7"]);
    assert!(plain.contains("\"max_tokens\":7"), "{plain}");
    let gateway = sent(&["--max-tokens", "7", "--behind-gateway"]);
    assert!(gateway.contains("\"max_completion_tokens\":7"), "{gateway}");
}
