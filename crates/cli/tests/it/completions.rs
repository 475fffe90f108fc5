//! Completion scripts, manual pages and the length of help.

use std::fs;

use crate::{command, run};

#[test]
fn completion_scripts_list_flags_and_models() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = run(&["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
        // The scripts for the other two shells complete no values.
        let values = ["gpt-oss-120b", "replicate/", "truncate"];
        let has_values = !["elvish", "powershell"].contains(&shell);
        let texts = if has_values { &values[..] } else { &[] };
        for text in texts.iter().chain(&["session"]) {
            assert!(run.stdout.contains(text), "{shell}: {text}");
        }
    }
    assert_eq!(run(&["completions", "nosuch"]).code, Some(2));
    // The program accepts other models than those that the scripts complete.
    let unknown = run(&[
        "chat",
        "Hi",
        "-m",
        "new",
        "--base-url",
        "http://127.0.0.1:1",
    ]);
    assert_ne!(unknown.code, Some(2), "{}", unknown.stderr);
}

#[cfg(unix)]
#[test]
fn bash_completes_models() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    let complete = r#". "$0"; COMP_WORDS=(inferstream chat -m gpt-o); COMP_CWORD=3
        _inferstream inferstream gpt-o -m; echo "${COMPREPLY[@]}""#;
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", complete])
        .arg(&script)
        .output();
    // Not every system has bash.
    if let Ok(output) = output {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("gpt-oss-120b"), "{text}");
    }
}

#[test]
fn manual_pages_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    let written = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let page = fs::read_to_string(pages.join("inferstream-chat.1")).unwrap();
    assert!(page.contains(r"\-\-session") && page.contains("Exit codes:"));
    // Short help hides this flag.
    assert!(page.contains("Do not read standard input"), "{page}");
    assert!(pages.join("inferstream.1").is_file());
}

#[test]
fn short_help_fits_on_a_screen() {
    for (args, lines) in [(&["-h"][..], 24), (&["chat", "-h"], 45)] {
        let run = crate::Run::of(command(args).env("COLUMNS", "100"));
        assert!(run.stdout.lines().count() <= lines, "{}", run.stdout);
        let is_short = |line: &str| line.chars().count() <= 100;
        assert!(run.stdout.lines().all(is_short), "{}", run.stdout);
    }
    let chat = run(&["chat", "-h"]).stdout;
    for heading in [
        "Message",
        "Output",
        "Sampling",
        "Service",
        "Connection",
        "Simulation",
    ] {
        assert!(chat.contains(&format!("\n{heading}:\n")), "{heading}");
    }
    let long = run(&["chat", "--help"]).stdout;
    assert!(long.contains("--idle-timeout") && long.contains("--no-history"));
}
