//! What reaches a terminal of what a service sent, and what reaches a pipe.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::{ask, command, serve, serve_stream};

/// Commands to a terminal: to clear it, to set its title, by a C1 control, to overwrite a line, to
/// reorder one, and to delete.
const COMMANDS: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}b\u{9b}31mc\rd\u{202e}e\u{7f}f\r\ng\n";

/// Runs the program with this descriptor of its (1 or 2) at a terminal; returns what came there.
fn at_terminal(descriptor: u8, url: &str, args: &[&str]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let program_side = File::options()
        .write(true)
        .read(true)
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let service = [
        "-p",
        "openai-compat",
        "-m",
        "m",
        "--attempts",
        "1",
        "--base-url",
        url,
    ];
    let mut command: Command = command(&[&["chat", "Hi"], &service[..], args].concat());
    command
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if descriptor == 1 {
        command.stdout(program_side);
    } else {
        command.stderr(program_side);
    }
    let mut child = command.spawn().unwrap();
    // The descriptor that it holds would keep the terminal open.
    drop(command);
    let mut shown = Vec::new();
    // Linux reports the end as an error.
    let _ = File::from(terminal).read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap()
}

/// Checks that there is nothing that a terminal obeys but the ends of lines.
#[track_caller]
fn check_harmless(shown: &str) {
    let shown = shown.replace("\r\n", "\n");
    let obeyed = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
    assert!(!shown.contains(obeyed), "{shown:?}");
    assert!(
        shown.contains("\\u{1b}[2J") && shown.contains("\\u{9b}31m"),
        "{shown:?}"
    );
}

/// The commands in fragments of one character, under a member of the delta.
fn serve_commands(member: &str) -> String {
    let fragments: Vec<_> = COMMANDS
        .chars()
        .map(|char| json!({member: char.to_string()}))
        .collect();
    serve_stream(&fragments, "stop")
}

#[test]
fn a_terminal_obeys_nothing_of_a_response() {
    let whole = serve_stream(&[json!({"content": COMMANDS})], "stop");
    let text = at_terminal(1, &whole, &[]);
    check_harmless(&text);
    assert!(
        text.contains("c\\rd") && text.ends_with("f\r\ng\r\n"),
        "{text:?}"
    );
    assert_eq!(at_terminal(1, &serve_commands("content"), &[]), text);
}

#[test]
fn a_terminal_obeys_nothing_of_reasoning() {
    for flags in [&[][..], &["--reasoning"]] {
        let shown = at_terminal(2, &serve_commands("reasoning"), flags);
        check_harmless(&shown);
    }
}

#[test]
fn a_terminal_obeys_nothing_of_an_error_or_a_tool_call() {
    let body = json!({"error": {"message": COMMANDS, "code": COMMANDS}}).to_string();
    let url = serve(400, "application/json", &body);
    let shown = at_terminal(2, &url, &["-v"]).replace("\r\n", "\n");
    let obeyed = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
    assert!(
        shown.contains("error: ") && !shown.contains(obeyed),
        "{shown:?}"
    );

    let function = json!({"name": COMMANDS, "arguments": "{}"});
    let call =
        json!({"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": function}]});
    check_harmless(&at_terminal(2, &serve_stream(&[call], "tool_calls"), &[]));
}

#[test]
fn a_pipe_carries_a_response_as_it_is() {
    let run = ask(&serve_commands("content"), &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), COMMANDS));
    let run = ask(&serve_commands("reasoning"), &["--reasoning"]);
    assert!(run.stderr.contains(COMMANDS), "{:?}", run.stderr);
}

#[test]
fn json_carries_a_response_in_escapes() {
    let url = serve_commands("content");
    let run = ask(&url, &["--json"]);
    assert_eq!(run.json()["text"], COMMANDS);
    let lines = ask(&url, &["--jsonl"]);
    let text = lines.lines();
    let text = text.iter().filter_map(|line| line["text"].as_str());
    assert_eq!(text.collect::<String>(), COMMANDS);
    for form in ["--json", "--jsonl"] {
        let shown = at_terminal(1, &url, &[form]).replace("\r\n", "\n");
        let obeyed = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
        assert!(!shown.contains(obeyed), "{shown:?}");
        for escape in ["\\u001b", "\\u009b", "\\u007f", "\\u202e"] {
            assert!(shown.contains(escape), "{escape}: {shown:?}");
        }
    }
}
