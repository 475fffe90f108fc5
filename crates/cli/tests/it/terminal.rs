//! Control characters from services: escaped on terminals, unchanged in pipes.

use std::{
    ffi::OsStr,
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::{ask, ask_args, command, serve, serve_stream};

/// Terminal control sequences: clear the screen, set the title, a C1 control, overwrite a line,
/// reorder one, and delete.
const SEQUENCES: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}b\u{9b}31mc\rd\u{202e}e\u{7f}f\r\ng\n";

/// Runs the program with descriptor 1 or 2 connected to a terminal; returns the terminal's output.
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
    let mut command: Command = command(&ask_args(url, args));
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
