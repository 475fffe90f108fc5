//! Waiting for standard input, and ignoring it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
};

use crate::{Run, command};

/// Starts the program with standard input kept open.
fn start(args: &[&str]) -> Child {
    let args = [&["chat", "--simulate", "--tps", "0", "Hi"], args].concat();
    command(&args).stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn waiting_for_standard_input_prints_a_message() {
    let mut child = start(&[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"some, but not all\n").unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(
        line.contains("standard input") && line.contains("--no-stdin"),
        "{line}"
    );
    drop(stdin);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(0));
    assert!(!run.stdout.is_empty());
}

#[test]
fn no_stdin_ignores_standard_input() {
    for flag in ["-n", "--no-stdin"] {
        let mut child = start(&[flag]);
        // The pipe stays open until the program has ended.
        let stdin = child.stdin.take();
        let run = Run::from(child.wait_with_output().unwrap());
        drop(stdin);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(!run.stderr.contains("standard input"), "{}", run.stderr);
    }
}
