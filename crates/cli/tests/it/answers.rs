//! The output of `chat`, in all formats.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::{Value, json};

use crate::{Server, command, run, run_with, simulated};

fn texts(lines: &[Value], kind: &str) -> String {
    lines
        .iter()
        .filter(|line| line["type"] == kind)
        .map(|line| line["text"].as_str().unwrap())
        .collect()
}

#[test]
fn all_formats_contain_the_same_text() {
    let plain = simulated(&[]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert!(plain.stderr.starts_with("SIMULATED: "));
    let text = plain.stdout.strip_suffix('\n').unwrap();
    assert!(!text.is_empty());

    assert_eq!(simulated(&["--no-stream"]).stdout, plain.stdout);
    for flags in [&["--json"][..], &["--json", "--no-stream"]] {
        let object = simulated(flags).json();
        assert_eq!(object["text"], text);
        assert_eq!(object["error"], Value::Null);
    }
    let lines = simulated(&["--jsonl"]).lines();
    assert_eq!(texts(&lines, "text"), text);
    let whole = simulated(&["--jsonl", "--no-stream"]).lines();
    assert_eq!(texts(&whole, "text"), text);
    assert_eq!(texts(&whole, "reasoning"), texts(&lines, "reasoning"));
    assert_eq!(whole.last(), lines.last());
}

#[test]
fn another_seed_gives_another_response() {
    let one = simulated(&["--sim-seed", "1"]).stdout;
    assert_eq!(one, simulated(&["--sim-seed", "1"]).stdout);
    assert_ne!(one, simulated(&["--sim-seed", "2"]).stdout);
}

#[test]
fn jsonl_ends_with_usage_timing_and_finish() {
    let lines = simulated(&["--jsonl"]).lines();
    let mut kinds: Vec<&str> = lines
        .iter()
        .map(|line| line["type"].as_str().unwrap())
        .collect();
    kinds.dedup();
    assert_eq!(kinds, ["reasoning", "text", "usage", "timing", "finish"]);
    let usage = lines.iter().find(|line| line["type"] == "usage").unwrap();
    assert!(usage["input_tokens"].is_u64() && usage["output_tokens"].is_u64());
    assert_eq!(
        lines.last(),
        Some(&json!({"type": "finish", "reason": "stop"}))
    );
}

#[test]
fn a_json_object_has_all_members_in_order() {
    let run = simulated(&["--json"]);
    let keys = [
        "text",
        "reasoning",
        "tool_calls",
        "finish_reason",
        "usage",
        "timing",
        "model",
        "id",
        "error",
    ];
    let places: Vec<usize> = keys
        .iter()
        .map(|key| run.stdout.find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(places.is_sorted());
    let object = run.json();
    assert_eq!(object["finish_reason"], "stop");
    assert_eq!(object["model"], "gpt-oss-120b");
}

#[test]
fn a_tool_call_is_printed_once_when_complete() {
    let flags = [
        "-o",
        r#"tools=[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]"#,
        "-o",
        "tool_choice=required",
    ];
    let lines = simulated(&[&["--jsonl"], &flags[..]].concat()).lines();
    let is_call = |line: &&Value| line["type"].as_str().unwrap().starts_with("tool_call");
    let calls: Vec<&Value> = lines.iter().filter(is_call).collect();
    assert_eq!(calls.len(), 1);
    let call = calls[0];
    assert_eq!(call["type"], "tool_call");
    assert_eq!(
        (&call["index"], &call["name"]),
        (&json!(0), &json!("weather"))
    );
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string());
    assert_eq!(lines.last().unwrap()["reason"], "tool_calls");

    let plain = simulated(&flags);
    assert_eq!(plain.stdout, "");
    assert!(plain.stderr.contains("tool call: weather({"));
}

#[test]
fn reasoning_is_printed_to_standard_error_on_request() {
    let reasoning = simulated(&["--json"]).json()["reasoning"].clone();
    let reasoning = reasoning.as_str().unwrap();
    assert!(!simulated(&[]).stderr.contains(reasoning));
    assert!(!simulated(&["-R"]).stderr.contains(reasoning));
    let shown = simulated(&["--reasoning"]);
    assert!(shown.stderr.contains(&format!("{reasoning}\n")));
    assert_eq!(shown.stdout, simulated(&[]).stdout);
}

#[test]
fn usage_is_one_line_on_standard_error() {
    let last = |stderr: &str| stderr.lines().last().unwrap().to_owned();
    let line = last(&simulated(&["-u"]).stderr);
    assert!(line.starts_with("usage: 5 input tokens, "), "{line}");
    assert!(line.contains("first token after") && line.ends_with(" tokens/s"));
    let line = last(&simulated(&["-u", "--no-stream"]).stderr);
    assert!(
        line.ends_with(" tokens/s") && !line.contains("first token"),
        "{line}"
    );
}

#[test]
fn an_unknown_speed_is_not_printed() {
    // Other services report no times, and a response without a stream has no first event.
    let run = simulated(&["-p", "cloudflare", "-u", "--no-stream"]);
    let line = run.stderr.lines().last().unwrap();
    assert!(line.starts_with("usage: "), "{line}");
    assert!(line.ends_with(" output tokens"), "{line}");
}

#[test]
fn verbose_prints_status_and_rate_limits() {
    for flags in [&["-v"][..], &["-v", "--no-stream"]] {
        let run = simulated(flags);
        assert!(run.stderr.contains("status 200 after"), "{}", run.stderr);
        assert!(run.stderr.contains("rate limit "));
    }
}

#[test]
fn standard_input_precedes_the_arguments() {
    let flags = ["chat", "--simulate", "--tps", "0", "--json"];
    let ask = |input: &str, arguments: &[&str]| {
        let run = run_with(&[&flags, arguments].concat(), input.as_bytes());
        (run.code, run.stdout)
    };
    let (code, both) = ask("the first\n", &["and", "the last"]);
    assert_eq!(code, Some(0));
    assert_eq!(ask("", &["the first\n\nand the last"]).1, both);
    assert_eq!(ask("the first\n\nand the last", &[]).1, both);
    assert_ne!(ask("", &["and the last"]).1, both);
}

#[test]
fn a_missing_prompt_is_a_usage_error() {
    let run = run(&["chat", "--simulate"]);
    assert_eq!(run.code, Some(2));
    assert!(run.error().contains("missing prompt"));
}

#[test]
fn settings_reach_the_request() {
    let run = simulated(&[
        "--max-tokens",
        "18",
        "--json",
        "-s",
        "Be brief.",
        "--seed",
        "1",
    ]);
    assert_eq!(run.json()["finish_reason"], "length");
    assert_eq!(simulated(&["--stop", "simulator", "--json"]).code, Some(0));
    let run = simulated(&["-o", "no_such_member={\"a\":1}"]);
    assert_eq!(run.code, Some(1));
    assert!(run.error().contains("no_such_member"));
}

#[test]
fn a_model_may_name_its_provider() {
    for model in ["tiny", "cerebras/tiny"] {
        assert_eq!(simulated(&["-m", model, "--json"]).json()["model"], "tiny");
    }
    // The service rejects a model with another prefix, which is part of the model's name.
    assert_eq!(simulated(&["-m", "elsewhere/tiny"]).code, Some(1));
}

#[test]
fn models_are_listed() {
    let plain = run(&["models", "--simulate"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    assert!(plain.stdout.lines().any(|line| line == "gpt-oss-120b"));
    let json = run(&["models", "--simulate", "--json"]).json();
    let ids = json.as_array().unwrap().iter();
    let ids: Vec<&str> = ids.map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, plain.stdout.lines().collect::<Vec<_>>());

    let server = Server::start(&[]);
    let mut command = command(&["models"]);
    command.env("CEREBRAS_BASE_URL", &server.url);
    assert_eq!(
        crate::Run::of(command.env("CEREBRAS_API_KEY", "any")).stdout,
        plain.stdout
    );
}

#[test]
fn help_lists_exit_codes_and_environment_variables() {
    for args in [&["--help"][..], &["chat", "--help"], &["models", "--help"]] {
        let run = run(args);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains("Exit codes:\n  0 "));
        assert!(run.stdout.contains("CEREBRAS_BASE_URL"));
    }
    assert!(run(&["--version"]).stdout.starts_with("inferstream "));
    assert_eq!(run(&["chat", "--no-such-flag"]).code, Some(2));
    assert_eq!(run(&[]).code, Some(2));
}

/// Runs the program against a service that sends these bytes of an event stream and closes the
/// connection.
fn run_against(stream: &'static [u8], flags: &[&str]) -> crate::Run {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        // The request body is one JSON object, so its closing brace ends the request.
        while !request.ends_with(b"}") {
            let mut read = [0; 4096];
            let length = socket.read(&mut read).unwrap();
            request.extend_from_slice(&read[..length]);
        }
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(stream).unwrap();
    });
    let run = run(&[&["chat", "Hi", "--base-url", &url], flags].concat());
    server.join().unwrap();
    run
}

#[test]
fn replaced_bytes_and_truncation_are_warnings() {
    let cut = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\xFFb\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prom";
    for flags in [&[][..], &["--json"], &["--jsonl"], &["--no-stream"]] {
        let run = run_against(cut, flags);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains("a\u{fffd}b"), "{}", run.stdout);
        let warnings = [
            "warning: the response was cut off inside an event after its finish reason: token \
             counts or other details are missing",
            "warning: the response had invalid UTF-8, replaced by U+FFFD in 1 place",
        ];
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines, warnings, "{flags:?}");
    }
}
