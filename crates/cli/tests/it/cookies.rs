//! The Cerebras key obtained with cookies from a browser.

use std::fs;

use tempfile::TempDir;

use crate::{Run, command, run};

const FILE: &str = "127.0.0.1\tFALSE\t/\tTRUE\t0\t__Secure-session-token\tc4nary-0f-the-file\n";

/// Creates a file of cookies; returns it with its path.
fn file(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cookies.txt");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[track_caller]
fn check(file_text: &str, args: &[&str], code: i32, message: &str) {
    let (_folder, path) = file(file_text);
    let args = [&["chat", "Hi", "-v", "--cookies", &path], args].concat();
    let run = run(&args);
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    assert!(run.stderr.contains(message), "{}", run.stderr);
    assert!(!run.stderr.contains("c4nary"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
}

#[test]
fn cookies_are_exchanged_for_a_key() {
    for text in [FILE, r#"{"a":"c4nary-0f-the-file"}"#, "a=b; c=d"] {
        let (_folder, path) = file(text);
        for args in [&["chat", "Hi", "--tps", "0"][..], &["models"]] {
            let run = run(&[args, &["--simulate", "--cookies", &path]].concat());
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            assert!(!run.stdout.is_empty());
        }
    }
}

#[test]
fn a_key_rejected_twice_is_the_error() {
    let args = ["--simulate", "--fault", "401", "--fault", "401"];
    check(FILE, &args, 3, "cerebras returned 401");
}

#[test]
fn unusable_cookies_are_errors() {
    let simulate = &["--simulate"][..];
    check("", simulate, 2, "cookies.txt: no cookie found");
    check(
        "[{\"name\":\"c4nary",
        simulate,
        2,
        "invalid JSON of cookies at line 1",
    );
    let other = "evilcerebras.ai\tTRUE\t/\tTRUE\t0\ta\tc4nary-0f-the-file\n";
    check(other, &[], 2, "no cookie for inference.cerebras.ai");
    // The simulator does not accept a real session.
    let own = ".cerebras.ai\tTRUE\t/\tTRUE\t0\ta\tc4nary-0f-the-file\n";
    check(own, simulate, 2, "no cookie for 127.0.0.1");
    let old = "inference.cerebras.ai\tFALSE\t/\tTRUE\t1\ta\tc4nary-0f-the-file\n";
    check(
        old,
        &[],
        3,
        "the cookies have expired: sign in at https://inference.cerebras.ai",
    );
    check(
        FILE,
        &["-p", "replicate"],
        2,
        "invalid flag `--cookies` for replicate: it belongs to cerebras",
    );
    check(FILE, &["--key-file", "x"], 2, "cannot be used with");
    // Cookies given instead of a file name.
    let given = run(&["chat", "Hi", "-v", "--cookies", "token=c4nary-0f-the-file"]);
    assert_eq!(given.code, Some(2));
    let message = "no such file: if this is the text of the cookies, save it to a file";
    assert!(given.error().contains(message), "{}", given.stderr);
    assert!(!given.stderr.contains("c4nary"), "{}", given.stderr);
    let missing = run(&["chat", "Hi", "--cookies", "no/such/file"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.error().contains("no/such/file"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_key_in_the_environment_takes_precedence_with_a_warning() {
    let (_folder, path) = file(FILE);
    let args = [
        "chat",
        "Hi",
        "--attempts",
        "1",
        "--base-url",
        "http://127.0.0.1:1",
        "--cookies",
        &path,
    ];
    let run = Run::of(command(&args).env("CEREBRAS_API_KEY", "csk-own"));
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    let warning = "CEREBRAS_API_KEY is set: ignoring `--cookies`";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
}
