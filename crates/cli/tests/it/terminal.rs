//! Control characters from services: escaped on terminals, unchanged in pipes.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::{ask, ask_args, command, serve, serve_stream};

/// Terminal control sequences: clear the screen, set the title, a C1 control, overwrite a line,
/// reorder one, and delete.
const SEQUENCES: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}b\u{9b}31mc\rd\u{202e}e\u{7f}f\r\ng\n";

/// Runs the program with descriptor 1 or 2 connected to a terminal; returns the terminal's output.
fn at_terminal(descriptor: u8, url: &str, args: &[&str]) -> String {
    show_at_terminal(descriptor, &ask_args(url, args))
}

/// As [`at_terminal`], with all arguments.
fn show_at_terminal(descriptor: u8, args: &[&str]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let program_side = File::options()
        .write(true)
        .read(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let mut command: Command = command(args);
    command
        .env("REPLICATE_API_TOKEN", "r8_abcdefgh")
        .env("CLOUDFLARE_API_TOKEN", "abcdefgh")
        .env("CEREBRAS_API_KEY", "csk-abcdefgh")
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if descriptor == 1 {
        command.stdout(program_side);
    } else {
        command.stderr(program_side);
    }
    let mut child = command.spawn().unwrap();
    // An open descriptor would keep the terminal open.
    drop(command);
    let mut shown = Vec::new();
    // Linux reports the end as an error.
    let _ = File::from(terminal).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

/// Checks that the output contains no control characters except line breaks.
#[track_caller]
fn check_escaped(shown: &str) {
    let shown = shown.replace("\r\n", "\n");
    let control = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
    assert!(!shown.contains(control), "{shown:?}");
    assert!(
        shown.contains("\\u{1b}[2J") && shown.contains("\\u{9b}31m"),
        "{shown:?}"
    );
}

/// Checks that the output has no character that controls a terminal.
#[track_caller]
fn check_clean(shown: &str, place: &str) {
    let mut shown = shown.replace("\r\n", "\n");
    // The spinner, which the program draws itself: one character between carriage returns.
    while let Some((before, rest)) = shown.split_once('\r') {
        let mut chars = rest.chars();
        chars.next();
        let Some(after) = chars.as_str().strip_prefix('\r') else {
            break;
        };
        shown = format!("{before}{after}");
    }
    let control = |char: char| {
        char.is_control() && char != '\n'
            || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!shown.contains(control), "{place}: {shown:?}");
}

/// Serves the sequences one character at a time, in a member of the delta.
fn serve_sequences(member: &str) -> String {
    let fragments: Vec<_> = SEQUENCES
        .chars()
        .map(|char| json!({member: char.to_string()}))
        .collect();
    serve_stream(&fragments, "stop")
}

#[test]
fn control_characters_in_a_response_are_escaped() {
    let whole = serve_stream(&[json!({"content": SEQUENCES})], "stop");
    let text = at_terminal(1, &whole, &[]);
    check_escaped(&text);
    assert!(
        text.contains("c\\rd") && text.ends_with("f\r\ng\r\n"),
        "{text:?}"
    );
    assert_eq!(at_terminal(1, &serve_sequences("content"), &[]), text);
}

#[test]
fn control_characters_in_reasoning_are_escaped() {
    for flags in [&[][..], &["--reasoning"]] {
        let shown = at_terminal(2, &serve_sequences("reasoning"), flags);
        check_escaped(&shown);
    }
}

#[test]
fn control_characters_in_errors_and_tool_calls_are_escaped() {
    let body = json!({"error": {"message": SEQUENCES, "code": SEQUENCES}}).to_string();
    let url = serve(400, "application/json", &body);
    let shown = at_terminal(2, &url, &["-v"]).replace("\r\n", "\n");
    let control = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
    assert!(
        shown.contains("error: ") && !shown.contains(control),
        "{shown:?}"
    );

    let function = json!({"name": SEQUENCES, "arguments": "{}"});
    let call =
        json!({"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]});
    check_escaped(&at_terminal(2, &serve_stream(&[call], "tool_calls"), &[]));
}

#[test]
fn a_pipe_gets_the_response_unchanged() {
    let run = ask(&serve_sequences("content"), &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), SEQUENCES));
    let run = ask(&serve_sequences("reasoning"), &["--reasoning"]);
    assert!(run.stderr.contains(SEQUENCES), "{:?}", run.stderr);
}

#[test]
fn json_output_escapes_control_characters() {
    let url = serve_sequences("content");
    let run = ask(&url, &["--json"]);
    assert_eq!(run.json()["text"], SEQUENCES);
    let lines = ask(&url, &["--jsonl"]);
    let text = lines.lines();
    let text = text.iter().filter_map(|line| line["text"].as_str());
    assert_eq!(text.collect::<String>(), SEQUENCES);
    for form in ["--json", "--jsonl"] {
        let shown = at_terminal(1, &url, &[form]).replace("\r\n", "\n");
        let control = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
        assert!(!shown.contains(control), "{shown:?}");
        for escape in ["\\u001b", "\\u009b", "\\u007f", "\\u202e"] {
            assert!(shown.contains(escape), "{escape}: {shown:?}");
        }
    }
}

/// Errors with the sequences, in the formats of services.
fn errors() -> [Value; 5] {
    [
        json!({"error": {"message": SEQUENCES, "type": SEQUENCES, "code": SEQUENCES, "param": SEQUENCES}}),
        json!({"error": SEQUENCES}),
        json!({"message": SEQUENCES}),
        json!({"detail": SEQUENCES, "title": SEQUENCES}),
        json!({"success": false, "errors": [{"code": 7, "message": SEQUENCES}]}),
    ]
}

/// Streams with the sequences wherever a service can put text, each with its name.
fn streams() -> Vec<(&'static str, String)> {
    let stream = |body: &str| serve(200, "text/event-stream", body);
    let chunk = |change: fn(&mut Value)| {
        let mut chunk = json!({
            "id": "c1", "object": "chat.completion.chunk", "model": "m",
            "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]
        });
        change(&mut chunk);
        let last = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        stream(&format!(
            "data: {chunk}\n\ndata: {last}\n\ndata: [DONE]\n\n"
        ))
    };
    let quoted = json!(SEQUENCES);
    let error = &errors()[0];
    vec![
        (
            "finish reason",
            chunk(|chunk| {
                chunk["choices"][0]["finish_reason"] = json!(SEQUENCES);
            }),
        ),
        ("response id", chunk(|chunk| chunk["id"] = json!(SEQUENCES))),
        ("model", chunk(|chunk| chunk["model"] = json!(SEQUENCES))),
        (
            "unknown member",
            chunk(|chunk| {
                chunk["choices"][0]["delta"][SEQUENCES] = json!("a");
            }),
        ),
        ("error in a stream", stream(&format!("data: {error}\n\n"))),
        (
            "error event",
            stream(&format!("event: error\ndata: {quoted}\n\n")),
        ),
        (
            "invalid JSON",
            stream(&format!("data: {{\"choices\": {quoted}, \u{1b}[2J\n\n")),
        ),
    ]
}

/// Documents with the sequences wherever a service can put text, each with its name.
fn documents() -> Vec<(&'static str, String)> {
    let json = |status, value: &Value| serve(status, "application/json", &value.to_string());
    // A header's value cannot contain the other sequences.
    let with_headers = "application/json\r\nx-request-id: a\u{9b}31m\tb\r\n\
        x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\u{9b}\r\n\
        retry-after: \u{9b}31m";
    let call = json!({"id": SEQUENCES, "type": "function",
        "function": {"name": SEQUENCES, "arguments": json!(SEQUENCES).to_string()}});
    let whole = json!({
        "id": SEQUENCES, "model": SEQUENCES, "system_fingerprint": SEQUENCES,
        "choices": [{"index": 0, "finish_reason": SEQUENCES, "message": {
            "role": SEQUENCES, "content": SEQUENCES, "reasoning": SEQUENCES, "tool_calls": [call]
        }}]
    });
    let prediction = |status: &str| {
        json!({
            "id": SEQUENCES, "model": SEQUENCES, "version": SEQUENCES, "status": status,
            "output": [SEQUENCES], "error": SEQUENCES, "logs": SEQUENCES, "input": {},
            "urls": {"get": SEQUENCES, "cancel": SEQUENCES, "stream": SEQUENCES, "web": SEQUENCES}
        })
    };
    let models = json!({"data": [{"id": SEQUENCES}, {"id": "m", "owned_by": SEQUENCES}],
        "result": [{"id": SEQUENCES, "name": SEQUENCES, "description": SEQUENCES}]});
    let page = format!("https://h.test/{SEQUENCES}");
    let named = json!({"id": "p1", "status": "succeeded", "output": "a", "model": SEQUENCES,
        "urls": {"get": "https://h.test/\u{9b}", "web": page}});
    let error = &errors()[0];
    let mut places = vec![
        ("complete response", json(200, &whole)),
        ("headers", serve(429, with_headers, &error.to_string())),
        (
            "headers of a response",
            serve(200, with_headers, &whole.to_string()),
        ),
        ("content type", serve(200, "text/\u{9b}31m", SEQUENCES)),
        (
            "page",
            serve(503, "text/html", &format!("<title>{SEQUENCES}</title>")),
        ),
        ("text", serve(500, "text/plain", SEQUENCES)),
        (
            "redirect",
            serve(302, "text/plain\r\nlocation: https://h.test/\u{9b}31m", ""),
        ),
        ("prediction", json(201, &prediction("succeeded"))),
        ("failed prediction", json(201, &prediction("failed"))),
        ("page of a prediction", json(201, &named)),
        ("list of models", json(200, &models)),
        ("retried error", json(503, error)),
    ];
    places.extend(errors().iter().map(|error| ("error", json(401, error))));
    places
}

#[test]
fn no_text_of_a_service_controls_a_terminal() {
    // How often the harmless part of the text was shown.
    let mut count = 0;
    for (place, url) in streams().into_iter().chain(documents()) {
        // A second attempt comes after half a second.
        let attempts = if place == "retried error" { "2" } else { "1" };
        let chat = [
            "chat",
            "Hi",
            "-v",
            "--usage",
            "--attempts",
            attempts,
            "-m",
            "m",
        ];
        let commands: [&[&str]; 7] = [
            &["-p", "openai-compat"],
            &["-p", "openai-compat", "--no-stream", "--reasoning"],
            &["-p", "cerebras"],
            &[
                "-p",
                "cloudflare",
                "--account",
                "0123456789abcdef0123456789abcdef",
            ],
            &["-p", "cloudflare", "--playground"],
            &["-p", "replicate"],
            &["-p", "openai-compat", "--jsonl"],
        ];
        for (at, command) in commands.into_iter().enumerate() {
            let args = [&chat[..], command, &["--base-url", &url]].concat();
            // The first two print the response's text and JSON; for the others, errors are enough.
            for descriptor in [1, 2] {
                if at < 2 || descriptor == 2 {
                    let shown = show_at_terminal(descriptor, &args);
                    check_clean(&shown, &format!("{place}, {command:?}, {descriptor}"));
                    count += usize::from(shown.contains("[2J"));
                }
            }
        }
        if !["error", "headers", "list of models", "page"].contains(&place) {
            continue;
        }
        for flags in [&["-p", "openai-compat"][..], &["-p", "cerebras", "--json"]] {
            for descriptor in [1, 2] {
                let args = [&["models"], flags, &["--base-url", &url]].concat();
                let shown = show_at_terminal(descriptor, &args);
                check_clean(&shown, &format!("{place}, models, {descriptor}"));
                count += usize::from(shown.contains("[2J"));
            }
        }
    }
    assert!(40 < count, "only {count} outputs showed a text");
}

#[test]
fn the_users_own_arguments_do_not_control_the_terminal() {
    let body = json!({"error": {"message": "no such model"}}).to_string();
    let url = serve(404, "application/json", &body);
    for args in [
        &["-m", SEQUENCES][..],
        &["--stop", SEQUENCES],
        &["--option", &format!("{SEQUENCES}=1")],
        &["--key-file", SEQUENCES],
        &["--proxy", SEQUENCES],
        &["--base-url", &format!("https://{SEQUENCES}")],
    ] {
        let base = [
            "chat",
            "Hi",
            "-p",
            "openai-compat",
            "-v",
            "--base-url",
            &url,
        ];
        let base = if args[0] == "--base-url" {
            &base[..5]
        } else {
            &base[..]
        };
        let shown = show_at_terminal(2, &[base, args].concat());
        check_clean(&shown, args[0]);
    }
}
