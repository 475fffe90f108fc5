//! Cloudflare on the command line.

use crate::{Run, Server, command, run, simulated};

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

fn cloudflare(args: &[&str]) -> Run {
    simulated(&[&["-p", "cloudflare"], args].concat())
}

#[test]
fn a_response_has_token_counts() {
    for model in ["llama-3.3-70b", "llama-2-7b", "@cf/qwen/qwq-32b"] {
        let run = cloudflare(&["--json", "-m", model, "--max-tokens", "5"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let answer = run.json();
        assert_eq!(answer["finish_reason"], "length", "{model}");
        assert_eq!(answer["usage"]["output_tokens"], 5, "{model}");
    }
}

#[test]
fn requests_can_use_a_gateway() {
    let run = cloudflare(&["--gateway", "mine", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.json()["finish_reason"], "stop");
}

/// Checks the exit code and the error message of a fault.
#[track_caller]
fn check(fault: &str, code: i32, message: &str) {
    let run = cloudflare(&["--fault", fault, "--attempts", "1"]);
    assert_eq!(run.code, Some(code), "{fault}: {}", run.stderr);
    assert!(run.error().contains(message), "{fault}: {}", run.error());
}

#[test]
fn faults_have_their_exit_codes() {
    check("quota", 4, "daily free allocation");
    check("429", 4, "try again");
    check("context", 1, "context window");
    check("plan", 3, "Workers Free plan");
    check("challenge", 3, "with a browser challenge");
    check("html", 1, "with an HTML page");
    check("notsuccess", 1, "Upstream service unavailable");
    check("nofinish", 6, "is incomplete");
    check("cut", 6, "lost");
}

#[test]
fn a_missing_account_or_token_is_an_error() {
    let asked = run(&["chat", "-p", "cloudflare", "Hi"]);
    assert_eq!(asked.code, Some(2));
    assert!(asked.error().contains("CLOUDFLARE_ACCOUNT_ID"));
    let asked = run(&["chat", "-p", "cloudflare", "--account", ACCOUNT, "Hi"]);
    assert_eq!(asked.code, Some(3));
    assert!(asked.error().contains("CLOUDFLARE_API_TOKEN"));
    let asked = run(&["chat", "-p", "cloudflare", "--account", "a/b", "Hi"]);
    assert_eq!(asked.code, Some(2));
}

#[test]
fn models_are_listed() {
    let server = Server::start(&[]);
    let url = server.url.replace("/v1", "/client/v4");
    let mut command = command(&["models", "-p", "cloudflare", "--account", ACCOUNT]);
    command
        .env("CLOUDFLARE_API_TOKEN", "any")
        .env("CLOUDFLARE_BASE_URL", url);
    let listed = Run::of(&mut command);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(listed.stdout.lines().any(|line| line == "@cf/qwen/qwq-32b"));
}

#[test]
fn the_playground_needs_no_token() {
    let run = cloudflare(&["--playground", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.json()["finish_reason"], "stop");
    let run = cloudflare(&["--playground", "--fault", "challenge"]);
    assert_eq!(run.code, Some(3));
    assert!(run.error().contains("browser"));
    let run = cloudflare(&["--playground", "--fault", "truncate"]);
    assert_eq!(run.code, Some(6));
}

#[test]
fn the_playground_agent_works_over_a_websocket() {
    let agent = |flags: &[&str]| cloudflare(&[&["--playground", "--agent"], flags].concat());
    let run = agent(&["--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.json()["finish_reason"], "stop");
    let whole = agent(&[]).stdout;
    for (fault, code) in [("cut", 0), ("restart", 0), ("evicted", 6), ("error", 1)] {
        let run = agent(&["--fault", fault]);
        assert_eq!(run.code, Some(code), "{fault}: {}", run.stderr);
        assert_eq!(run.stdout == whole, code == 0, "{fault}");
    }
    let run = cloudflare(&["--agent"]);
    assert_eq!(run.code, Some(2));
}

#[test]
fn a_session_is_stored_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth_Cloudflare.json");
    let file = path.to_str().unwrap();
    let run = cloudflare(&["--playground", "--session-file", file]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("__cf_bm"));
    for more in [&[][..], &["--no-stream"]] {
        std::fs::write(&path, "{").unwrap();
        let run = cloudflare(&[&["--playground", "--session-file", file], more].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stderr.contains("warning: "), "{}", run.stderr);
    }
}
