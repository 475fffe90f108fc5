//! Faults of the service: exit codes, messages and JSON errors.

use serde_json::{Value, json};

use crate::{run, simulated};

/// Checks the exit code and the error of a fault, in all output formats.
#[track_caller]
fn check(fault: &str, flags: &[&str], code: i32, kind: &str, message: &str) -> Value {
    let flags = [&["--fault", fault, "--attempts", "1"], flags].concat();
    let plain = simulated(&flags);
    assert_eq!(plain.code, Some(code), "{}", plain.stderr);
    assert!(plain.error().contains(message), "{}", plain.error());
    assert!(plain.stdout.is_empty() || plain.stdout.ends_with('\n'));

    let lines = simulated(&[&["--jsonl"], &flags[..]].concat());
    assert_eq!(lines.code, Some(code));
    let error = lines.lines().pop().unwrap();
    assert_eq!(
        (&error["type"], &error["kind"]),
        (&json!("error"), &json!(kind))
    );
    assert!(error["message"].as_str().unwrap().contains(message));

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
fn statuses_have_their_exit_codes() {
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
fn the_retry_after_of_the_service_is_printed() {
    let run = simulated(&["--fault", "429:7", "--attempts", "1", "--jsonl"]);
    assert!(run.error().ends_with("(try again in 7 s)"));
    assert_eq!(run.lines().pop().unwrap()["retry_after"], 7.0);
}

#[test]
fn a_temporary_fault_is_retried() {
    let run = simulated(&["--fault", "503", "-v"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("attempts: 2"));
}

#[test]
fn each_retry_is_printed_with_its_delay() {
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
fn a_cut_response_is_truncated() {
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
fn an_invalid_response_is_a_protocol_error() {
    check("badjson", &[], 1, "protocol", "JSON");
    check("error", &[], 1, "provider", "reported an error");
}

#[test]
fn a_connection_closed_before_the_response_is_disconnected() {
    check("close", &[], 5, "disconnected", "lost");
}

#[test]
fn silence_ends_at_the_timeout() {
    let error = check("stall", &["--idle-timeout", "0.2"], 5, "timeout", "200ms");
    assert_eq!(error["phase"], "idle");
    let flags = ["--first-event-timeout", "0.2"];
    assert_eq!(check("silence", &flags, 5, "timeout", "")["phase"], "head");
    let flags = ["--timeout", "0.4"];
    assert_eq!(check("stall", &flags, 5, "timeout", "")["phase"], "total");
}

#[test]
fn verbose_prints_the_causes() {
    let run = |flags: &[&str]| simulated(&[&["--fault", "cut"], flags].concat()).stderr;
    assert!(!run(&[]).contains("caused by:"));
    assert!(run(&["-v"]).contains("\ncaused by: "));
}

#[test]
fn usage_is_printed_for_partial_responses() {
    let run = simulated(&["--fault", "cut", "-u"]);
    assert!(
        run.stderr
            .contains("\nusage: token counts not reported, first token after ")
    );
    let run = simulated(&["--fault", "500", "--attempts", "1", "-u"]);
    assert!(!run.stderr.contains("usage:"));
}

#[test]
fn the_list_describes_every_fault_in_one_line() {
    let list = run(&["simulate", "--list-faults"]);
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    let names = list.stdout.lines().map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        assert_eq!(columns.len(), 4, "{line}");
        assert!(columns.iter().all(|column| !column.is_empty()), "{line}");
        columns[0]
    });
    let names: Vec<_> = names.collect();
    assert!(
        names.contains(&"cut-in-chunk") && names.contains(&"lost"),
        "{names:?}"
    );
}
