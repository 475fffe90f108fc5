//! Environment variables; each case runs in its own process.

use std::{env, process::Command};

use http::{HeaderName, HeaderValue};
use inferstream_cablyai::CablyAiBuilder;
use inferstream_cerebras::CerebrasBuilder;
use inferstream_core::{ChatRequest, Provider, Result};
use inferstream_openai_compat::CompatibleBuilder;
use serde_json::{Value, json};

use super::wire;
use crate::support::{Wire, block_on};

const CHILD: &str = "INFERSTREAM_TEST_COMPATIBLE";
const MARK: &str = "it says ";

/// Prints the request of a client created from environment variables; does nothing unless the
/// parent process asks for it.
#[test]
fn child_prints_what_it_sends() {
    if let Ok(name) = env::var(CHILD) {
        let wire = wire();
        let told = client(&name, &wire).and_then(|client| {
            block_on(&wire.clock, client.chat(ChatRequest::new("m").user("Hi")))
        });
        let told = told.map_err(|error| [error.kind().as_str().into(), error.to_string()]);
        println!("\n{MARK}{}", tell(&wire, told.map(drop)));
    }
}

/// Creates the client with a name; a suffix after a space changes its settings.
fn client(name: &str, wire: &Wire) -> Result<Box<dyn Provider>> {
    let (name, change) = name.split_once(' ').unwrap_or((name, ""));
    macro_rules! built {
        ($builder:ident) => {
            built!(from $builder::from_env()?)
        };
        (from $builder:expr) => {{
            let builder = $builder.transport(wire.clone());
            let builder = match change {
                "" => builder,
                "set" => builder.api_key("own").base_url("http://own.test"),
                _ => builder.header(
                    HeaderName::from_static("host"),
                    HeaderValue::from_static("other.test"),
                ),
            };
            Box::new(builder.build()?)
        }};
    }
    Ok(match name {
        "cablyai" => built!(CablyAiBuilder),
        "cerebras" => built!(CerebrasBuilder),
        "groq" => built!(from CompatibleBuilder::preset_from_env(name)?),
        "groq-elsewhere" => {
            built!(from CompatibleBuilder::preset_from_env("groq")?.base_url("http://else.test"))
        }
        _ => built!(CompatibleBuilder),
    })
}

fn tell(wire: &Wire, outcome: std::result::Result<(), [String; 2]>) -> Value {
    if let Err([kind, line]) = outcome {
        return json!({ "error": kind, "line": line, "sent": wire.count() });
    }
    let request = wire.request();
    let key = request.headers().get("authorization");
    json!({
        "url": request.uri().to_string(),
        "authorization": key.map(|key| key.to_str().unwrap().to_owned()),
    })
}

/// The services, and the prefixes of their variables.
const SERVICES: [(&str, &str); 3] = [
    ("cablyai", "CABLYAI"),
    ("cerebras", "CEREBRAS"),
    ("openai-compat", "OPENAI_COMPAT"),
];

/// Runs a child process with this URL and this key, and returns its request.
#[track_caller]
fn ask(name: &str, url: Option<&str>, key: Option<&str>) -> Value {
    let mut command = Command::new(env::current_exe().unwrap());
    let child = "compatible::environment::child_prints_what_it_sends";
    command.args(["--exact", child, "--nocapture"]);
    command.env(CHILD, name).env("OPENAI_API_KEY", "another's");
    match key.filter(|_| name.starts_with("groq")) {
        None => command.env_remove("GROQ_API_KEY"),
        Some(key) => command.env("GROQ_API_KEY", key),
    };
    for (service, prefix) in SERVICES {
        for (suffix, value) in [("BASE_URL", url), ("API_KEY", key)] {
            let variable = format!("{prefix}_{suffix}");
            match value.filter(|_| name.starts_with(service)) {
                None => command.env_remove(variable),
                Some(value) => command.env(variable, value),
            };
        }
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(MARK));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap()
}

#[test]
fn the_url_and_the_key_are_read() {
    for (name, _) in SERVICES {
        let found = ask(name, Some(" http://else.test/ "), Some(" k\n"));
        assert_eq!(found["url"], "http://else.test/v1/chat/completions");
        assert_eq!(found["authorization"], "Bearer k");
        // The key of another service is not used.
        let found = ask(name, Some("http://else.test/x"), None);
        assert_eq!(found["url"], "http://else.test/x/chat/completions");
        assert_eq!(found["authorization"], json!(null));
        // An empty variable counts as missing.
        let found = ask(name, Some("http://else.test"), Some(" "));
        assert_eq!(found["authorization"], json!(null));
    }
}

#[test]
fn the_key_of_a_preset_goes_to_its_host_alone() {
    let url = "https://api.groq.com/openai/v1/chat/completions";
    let found = ask("groq", None, Some("k\n"));
    assert_eq!(found, json!({"url": url, "authorization": "Bearer k"}));
    let found = ask("groq-elsewhere", None, Some("k"));
    assert_eq!(found["url"], "http://else.test/v1/chat/completions");
    assert_eq!(found["authorization"], json!(null));
    let found = ask("groq set", None, Some("k"));
    assert_eq!(found["authorization"], "Bearer own");
    let found = ask("groq", None, Some(" "));
    let line = found["line"].as_str().unwrap();
    assert!(
        line.starts_with("missing key for groq: set GROQ_API_KEY"),
        "{line}"
    );
    let found = ask("groq", None, Some("s3c ret"));
    let line = found["line"].as_str().unwrap();
    assert!(
        line.starts_with("GROQ_API_KEY: ") && !line.contains("s3c"),
        "{line}"
    );
}

#[test]
fn later_settings_take_precedence() {
    for (name, _) in SERVICES {
        let found = ask(&format!("{name} set"), Some("none"), Some("b\nd"));
        assert_eq!(found["url"], "http://own.test/v1/chat/completions");
        assert_eq!(found["authorization"], "Bearer own");
    }
}

#[test]
fn a_missing_variable_has_the_remedy() {
    for (name, prefix) in SERVICES {
        let found = ask(name, Some(" "), Some(""));
        let (kind, variable) = match name {
            "openai-compat" => ("config", format!("{prefix}_BASE_URL")),
            _ => ("auth", format!("{prefix}_API_KEY")),
        };
        assert_eq!((&found["error"], &found["sent"]), (&json!(kind), &json!(0)));
        let line = found["line"].as_str().unwrap();
        assert!(line.contains(&format!("set {variable}")), "{line}");
    }
}

#[test]
fn invalid_values_are_named_but_not_shown() {
    for (name, prefix) in SERVICES {
        let url = Some("https://else.test/v1");
        for (name, url, key, expected) in [
            (name, Some("none"), None, format!("{prefix}_BASE_URL: ")),
            (
                name,
                Some("https://else.test/v1/chat/completions"),
                None,
                format!("{prefix}_BASE_URL: invalid base URL: it ends in `/chat/completions`"),
            ),
            (name, url, Some("s3c ret"), format!("{prefix}_API_KEY: ")),
            // The URL is valid.
            (
                &*format!("{name} header"),
                url,
                None,
                "invalid header `host`".to_owned(),
            ),
        ] {
            let found = ask(name, url, key);
            assert_eq!(found["error"], "config");
            let line = found["line"].as_str().unwrap();
            assert!(
                line.starts_with(&expected) && !line.contains("s3c"),
                "{line}"
            );
        }
    }
}
