//! Environment variables; each case runs in its own process.

use std::{env, process::Command};

use inferstream_cloudflare::{CloudflareBuilder, Endpoint};
use serde_json::{Value, json};

use super::{ACCOUNT, requests::wire};
use crate::support::block_on;

const CHILD: &str = "INFERSTREAM_TEST_CLOUDFLARE";
const MARK: &str = "cloudflare says ";

/// Prints the request of a client created from environment variables; does nothing unless the
/// parent process asks for it.
#[test]
fn child_prints_what_it_sends() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    println!("\n{MARK}{}", tell());
}

fn tell() -> Value {
    let builder = match CloudflareBuilder::from_env() {
        Ok(builder) => builder,
        Err(error) => return json!({ "error": error.kind().as_str(), "line": error.to_string() }),
    };
    let has_account = builder.has_account();
    let wire = wire();
    let built = builder
        .endpoint(Endpoint::OpenAi)
        .transport(wire.clone())
        .build();
    let sent = built.and_then(|client| block_on(&wire.clock, client.stream("hi")));
    if let Err(error) = sent {
        let line = error.to_string();
        return json!({ "error": error.kind().as_str(), "line": line, "account": has_account });
    }
    let request = wire.request();
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    json!({
        "url": request.uri().to_string(),
        "authorization": header("authorization"),
        "email": header("x-auth-email"),
        "key": header("x-auth-key"),
    })
}

/// Runs a child process with these variables and returns its request.
#[track_caller]
fn ask(variables: &[(&str, &str)]) -> Value {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([
        "--exact",
        "cloudflare::environment::child_prints_what_it_sends",
        "--nocapture",
    ]);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("CLOUDFLARE_") {
            command.env_remove(name);
        }
    }
    command.env(CHILD, "1").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(MARK));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap()
}

const ID: (&str, &str) = ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT);

#[test]
fn a_token_is_a_bearer() {
    let found = ask(&[ID, ("CLOUDFLARE_API_TOKEN", " tok ")]);
    let url =
        format!("https://api.cloudflare.com/client/v4/accounts/{ACCOUNT}/ai/v1/chat/completions");
    assert_eq!(found["url"], url);
    assert_eq!(found["authorization"], "Bearer tok");
    assert_eq!(
        (&found["email"], &found["key"]),
        (&json!(null), &json!(null))
    );
}

#[test]
fn the_email_and_key_are_used_without_a_token() {
    let pair = [
        ID,
        ("CLOUDFLARE_EMAIL", "a@b.test"),
        ("CLOUDFLARE_API_KEY", "old"),
    ];
    let found = ask(&pair);
    assert_eq!(found["authorization"], json!(null));
    assert_eq!(found["email"], "a@b.test");
    assert_eq!(found["key"], "old");
    let found = ask(&[&pair[..], &[("CLOUDFLARE_API_TOKEN", "tok")]].concat());
    assert_eq!(found["authorization"], "Bearer tok");
    assert_eq!(found["key"], json!(null));
    let found = ask(&[ID, ("CLOUDFLARE_API_KEY", "alone")]);
    assert_eq!(found["authorization"], "Bearer alone");
}

#[track_caller]
fn check_names(found: &Value, variable: &str) {
    let line = found["line"].as_str().unwrap();
    assert!(line.contains(variable), "{found}");
}

#[test]
fn errors_name_what_is_missing() {
    let found = ask(&[ID]);
    assert_eq!(found["error"], "auth");
    check_names(&found, "CLOUDFLARE_API_TOKEN");
    let found = ask(&[ID, ("CLOUDFLARE_API_TOKEN", "  ")]);
    assert_eq!(found["error"], "auth", "white space is not a token");
    let found = ask(&[("CLOUDFLARE_API_TOKEN", "tok")]);
    assert_eq!(
        (&found["error"], &found["account"]),
        (&json!("config"), &json!(false))
    );
    check_names(&found, "CLOUDFLARE_ACCOUNT_ID");
    // An email address without its key is incomplete.
    let found = ask(&[ID, ("CLOUDFLARE_EMAIL", "a@b.test")]);
    assert_eq!(found["error"], "auth");
}

#[test]
fn errors_name_what_is_invalid() {
    let token = ("CLOUDFLARE_API_TOKEN", "tok");
    let found = ask(&[token, ("CLOUDFLARE_ACCOUNT_ID", "../x")]);
    assert_eq!(found["error"], "config");
    check_names(&found, "CLOUDFLARE_ACCOUNT_ID");
    let found = ask(&[ID, token, ("CLOUDFLARE_BASE_URL", "none")]);
    assert_eq!(found["error"], "config");
    check_names(&found, "CLOUDFLARE_BASE_URL");
    let found = ask(&[ID, ("CLOUDFLARE_API_TOKEN", "s3c\nret")]);
    assert_eq!(found["error"], "config");
    let line = found["line"].as_str().unwrap();
    assert!(
        line.contains("CLOUDFLARE_API_TOKEN") && !line.contains("s3c"),
        "{found}"
    );
}

#[test]
fn another_base_url_may_be_set() {
    let found = ask(&[
        ID,
        ("CLOUDFLARE_API_TOKEN", "t"),
        ("CLOUDFLARE_BASE_URL", "https://else.test/v9/"),
    ]);
    let url = format!("https://else.test/v9/accounts/{ACCOUNT}/ai/v1/chat/completions");
    assert_eq!(found["url"], url);
}
