//! The `batch` command, killed and continued.
//!
//! `INFERSTREAM_BATCH_KILLS` sets the number of kills per service; `cargo xtask batch-kills` sets it
//! to 200.

use std::{collections::HashMap, process::Command, thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    Run,
    batch::{Files, lines},
    batch_service::Service,
    command,
    unix::interrupt,
};

const ROWS: usize = 60;

/// What the runs left behind.
struct Kills {
    files: Files,
    /// The rows that were under way at a kill.
    under_way: usize,
    /// Those of them whose response had no id yet.
    unnamed: usize,
    /// The summary of the last run.
    summary: Value,
}

/// Kills runs of a batch at random times, and lets the last one end.
fn kill(service: &[&str], envs: &[(&str, &str)], rows: usize, kills: usize) -> Kills {
    let files = Files::new(rows);
    let args = files
        .args(&[service, &["--max-in-flight", "8", "--json"]].concat())
        .join("\n");
    let start = || -> Command {
        let args: Vec<&str> = args.split('\n').collect();
        let mut command = command(&args);
        command.envs(envs.iter().copied());
        command
    };
    let (mut under_way, mut unnamed) = (0, 0);
    // A linear congruential generator: the times are random, and the same in each run.
    let mut seed = 20_261_130_u64;
    for _ in 0..kills {
        let mut child = start().spawn().unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        sleep(Duration::from_millis(20 + (seed >> 33) % 400));
        // It may have ended.
        let _ = child.kill();
        let run = Run::from(child.wait_with_output().unwrap());
        assert!(matches!(run.code, None | Some(0)), "{}", run.stderr);
        let (all, names) = live(&files);
        under_way += all;
        unnamed += all - names;
    }
    let last = Run::of(&mut start());
    assert_eq!(last.code, Some(0), "{}", last.stderr);
    assert_eq!(files.ids(), (0..rows).collect::<Vec<_>>());
    assert!(!files.path("out.jsonl.under-way").exists());
    Kills {
        summary: last.json(),
        files,
        under_way,
        unnamed,
    }
}

/// Returns the number of rows under way, and how many of them have an id.
fn live(files: &Files) -> (usize, usize) {
    let results = files.results();
    let done = |id: &Value| results.iter().any(|line| line["custom_id"] == *id);
    let mut live = HashMap::new();
    for line in lines(&files.path("out.jsonl.under-way")) {
        let id = line["custom_id"].clone();
        if line["over"] == true || done(&id) {
            live.remove(&id);
        } else {
            live.insert(id, line["id"].is_string());
        }
    }
    (
        live.len(),
        live.values().filter(|is_named| **is_named).count(),
    )
}

fn kills() -> usize {
    let kills = std::env::var("INFERSTREAM_BATCH_KILLS");
    kills.map_or(6, |kills| kills.parse().unwrap())
}

/// More kills need more rows to hit.
fn rows() -> usize {
    ROWS + 8 * kills()
}

#[test]
fn a_killed_batch_of_chats_repeats_only_what_was_under_way() {
    let service = Service::start(200.0);
    let url = service.compatible_url();
    let args = ["-p", "openai-compat", "-m", "any", "--base-url", url];
    let killed = kill(&args, &[], rows(), kills());
    let chats = service.requests().len();
    eprintln!(
        "{} rows, {chats} requests, {} under way at {} kills",
        rows(),
        killed.under_way,
        kills()
    );
    assert!(rows() <= chats && chats <= rows() + killed.under_way);
    assert!(killed.under_way <= 9 * kills());
    drop(killed.files);
}

#[test]
fn a_killed_batch_of_predictions_makes_each_once() {
    let service = Service::start(200.0);
    let origin = format!("http://{}", service.stream_authority());
    let url = service.replicate_url();
    let args = [
        "-p",
        "replicate",
        "--base-url",
        url,
        "--stream-origin",
        &origin,
    ];
    let envs = [("REPLICATE_API_TOKEN", "simulated")];
    let killed = kill(&args, &envs, rows(), kills());
    let creates = service.counts().creates;
    eprintln!(
        "{} rows, {creates} predictions, {} under way at {} kills, {} of them without an id",
        rows(),
        killed.under_way,
        kills(),
        killed.unnamed
    );
    // What was created without a known id is the reported window.
    assert!(rows() <= creates && creates <= rows() + killed.unnamed);
    assert!(killed.summary["maybe_paid_twice"].as_u64().is_some());
}

#[test]
fn ctrl_c_waits_for_the_responses_under_way() {
    let service = Service::start(40.0);
    let files = Files::new(200);
    let url = service.compatible_url();
    let args = files.args(&["-p", "openai-compat", "-m", "any", "--base-url", url]);
    let child = command(&args).spawn().unwrap();
    while files.results().is_empty() {
        sleep(Duration::from_millis(10));
    }
    interrupt(&child);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    assert!(
        run.stderr.contains("waiting for the responses under way"),
        "{}",
        run.stderr
    );
    // Every request has its response.
    let chats = service.requests().len();
    assert_eq!(files.results().len(), chats);
    assert!(chats < 200);
    assert!(!files.path("out.jsonl.under-way").exists());
}

#[test]
fn a_second_run_on_one_output_is_refused() {
    let service = Service::start(5.0);
    let files = Files::new(20);
    let url = service.compatible_url();
    let args = files.args(&["-p", "openai-compat", "-m", "any", "--base-url", url]);
    let mut first = command(&args).spawn().unwrap();
    while service.requests().is_empty() {
        sleep(Duration::from_millis(10));
    }
    let second = Run::of(&mut command(&args));
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.code, Some(2), "{}", second.stderr);
    assert!(
        second.error().ends_with("another run uses it"),
        "{}",
        second.stderr
    );
}
