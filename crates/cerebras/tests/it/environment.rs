//! Tests of clients that are set up by environment variables, each in its own process.

use std::{env, process::Command};

use inferstream_cerebras::Cerebras;

const CHILD: &str = "INFERSTREAM_TEST_CEREBRAS";
const MARK: &str = "cerebras says ";

/// Prints whether a client can be created. Does nothing unless another test started it.
#[test]
fn child_prints_whether_a_client_was_created() {
    if env::var_os(CHILD).is_some() {
        let told = Cerebras::from_env().map_or_else(|error| error.kind().as_str(), |_| "yes");
        println!("\n{MARK}{told}");
    }
}

#[track_caller]
fn check(url: Option<&str>, key: Option<&str>, expected: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    let child = "environment::child_prints_whether_a_client_was_created";
    command.args(["--exact", child, "--nocapture"]);
    for (name, value) in [("CEREBRAS_BASE_URL", url), ("CEREBRAS_API_KEY", key)] {
        match value {
            None => command.env_remove(name),
            Some(value) => command.env(name, value),
        };
    }
    let output = command.env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = text.lines().find_map(|line| line.strip_prefix(MARK));
    assert_eq!(told, Some(expected), "{url:?} {key:?}");
}

#[test]
fn a_key_is_required_only_at_the_services_host() {
    check(None, Some("k"), "yes");
    check(None, None, "auth");
    check(None, Some(" "), "auth");
    check(Some("https://api.cerebras.ai"), None, "auth");
    check(Some("http://127.0.0.1:1"), Some("k"), "yes");
    check(Some("http://127.0.0.1:1"), None, "yes");
    check(Some("none"), None, "config");
    check(None, Some("a b"), "config");
}
