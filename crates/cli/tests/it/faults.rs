//! What goes wrong at the service.

use serde_json::{Value, json};

use crate::simulated;

/// Checks the exit code and the error of a fault, in all forms.
#[track_caller]
fn check(fault: &str, flags: &[&str], code: i32, kind: &str, says: &str) -> Value {
    let flags = [&["--fault", fault, "--attempts", "1"], flags].concat();
    let plain = simulated(&flags);
    assert_eq!(plain.code, Some(code), "{}", plain.stderr);
    assert!(plain.error().contains(says), "{}", plain.error());
    assert!(plain.stdout.is_empty() || plain.stdout.ends_with('\n'));

    let lines = simulated(&[&["--jsonl"], &flags[..]].concat());
    assert_eq!(lines.code, Some(code));
    let error = lines.lines().pop().unwrap();
    assert_eq!(
        (&error["type"], &error["kind"]),
        (&json!("error"), &json!(kind))
    );
    assert!(error["message"].as_str().unwrap().contains(says));

    let object = simulated(&[&["--json"], &flags[..]].concat());
    assert_eq!(object.code, Some(code));
    let object = object.json();
    assert_eq!(object["error"]["kind"], kind);
    assert_eq!(object["error"]["status"], error["status"]);
    assert_eq!(object["text"], plain.stdout.trim_end_matches('\n'));
    error
}

#[track_caller]
fn check_status(fault: &str, code: i32, kind: &str, status: u16) {
    let error = check(fault, &[], code, kind, &status.to_string());
    assert_eq!(error["status"], status);
}

#[test]
fn statuses() {
    check_status("400", 1, "invalid_request", 400);
    check_status("401", 3, "auth", 401);
    check_status("402", 4, "quota", 402);
    check_status("403", 3, "permission", 403);
    check_status("404", 1, "not_found", 404);
    check_status("429", 4, "rate_limited", 429);
    check_status("500", 1, "server", 500);
    check_status("503", 1, "overloaded", 503);
}

#[test]
fn the_wait_that_the_service_asks_for_is_told() {
    let run = simulated(&["--fault", "429:7", "--attempts", "1", "--jsonl"]);
    assert!(run.error().ends_with("(try again in 7 s)"));
    assert_eq!(run.lines().pop().unwrap()["retry_after"], 7.0);
}

#[test]
fn a_fault_that_passes_is_outlasted() {
    let run = simulated(&["--fault", "503", "-v"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("attempts: 2"));
}

#[test]
fn a_wait_between_attempts_is_announced() {
    for form in [&[][..], &["--json"], &["--jsonl"]] {
        let run = simulated(&[&["--fault", "429:1", "--fault", "503"], form].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let waits = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("retrying in "));
        let waits: Vec<&str> = waits.collect();
        assert_eq!(waits.len(), 2, "{}", run.stderr);
        assert!(waits[0].starts_with("retrying in 1 s: ") && waits[0].contains("429"));
        assert!(
            waits[1].contains(" s: ") && waits[1].contains("503"),
            "{}",
            waits[1]
        );
    }
    let once = simulated(&["--fault", "429:1", "--attempts", "1"]);
    assert!(!once.stderr.contains("retrying"), "{}", once.stderr);
}

#[test]
fn answers_that_break_off() {
    for fault in ["cut", "truncate"] {
        let error = check(fault, &[], 6, "truncated", "");
        assert_eq!(error["status"], Value::Null);
        let partial = simulated(&["--fault", fault]).stdout;
        let whole = simulated(&[]).stdout;
        let text = partial.strip_suffix('\n').unwrap();
        assert!(!text.is_empty() && text.len() < whole.len() && whole.starts_with(text));
    }
}

#[test]
fn answers_that_make_no_sense() {
    check("badjson", &[], 1, "protocol", "JSON");
    check("error", &[], 1, "provider", "reported an error");
}

#[test]
fn a_connection_that_is_closed_before_the_answer() {
    check("close", &[], 5, "disconnected", "lost");
}

#[test]
fn silence_ends_by_its_limit() {
    let error = check("stall", &["--idle-timeout", "0.2"], 5, "timeout", "200ms");
    assert_eq!(error["phase"], "idle");
    let flags = ["--first-event-timeout", "0.2"];
    assert_eq!(check("silence", &flags, 5, "timeout", "")["phase"], "head");
    let flags = ["--timeout", "0.4"];
    assert_eq!(check("stall", &flags, 5, "timeout", "")["phase"], "total");
}

#[test]
fn causes_are_told_when_asked_for() {
    let run = |flags: &[&str]| simulated(&[&["--fault", "cut"], flags].concat()).stderr;
    assert!(!run(&[]).contains("caused by:"));
    assert!(run(&["-v"]).contains("\ncaused by: "));
}

#[test]
fn usage_is_told_of_what_came() {
    let run = simulated(&["--fault", "cut", "-u"]);
    assert!(
        run.stderr
            .contains("\nusage: tokens not told, first token after ")
    );
    let run = simulated(&["--fault", "500", "--attempts", "1", "-u"]);
    assert!(!run.stderr.contains("usage:"));
}
