//! The `batch` command: files, a worker's streams, and exit codes.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

#[cfg(unix)]
use crate::command;
use crate::{Run, run, run_with, serve};

/// A folder with an input of rows and an output.
pub(crate) struct Files {
    folder: TempDir,
    input: String,
    output: String,
}

impl Files {
    pub(crate) fn new(rows: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let files = Self {
            input: path("in.jsonl"),
            output: path("out.jsonl"),
            folder,
        };
        files.set_input(&input(rows));
        files
    }

    fn set_input(&self, text: &str) {
        fs::write(&self.input, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the arguments of a run.
    pub(crate) fn args<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [&["batch", &self.input, "-o", &self.output], args].concat()
    }

    /// Runs the batch against the simulator at unlimited speed.
    fn simulated(&self, args: &[&str]) -> Run {
        run(&[&self.args(&["--simulate", "--tps", "0"])[..], args].concat())
    }

    /// Returns the results of the output.
    pub(crate) fn results(&self) -> Vec<Value> {
        lines(Path::new(&self.output))
    }

    /// Returns the sorted ids of the output.
    pub(crate) fn ids(&self) -> Vec<usize> {
        let id = |line: Value| line["custom_id"].as_str().unwrap().parse().unwrap();
        let mut ids: Vec<usize> = self.results().into_iter().map(id).collect();
        ids.sort_unstable();
        ids
    }
}

fn input(rows: usize) -> String {
    let mut text = String::new();
    for number in 0..rows {
        writeln!(
            text,
            r#"{{"custom_id":"{number}","prompt":"Count to {number}","max_tokens":20}}"#
        )
        .unwrap();
    }
    text
}

/// Returns the complete lines of a file as JSON; without a torn last line.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let ended = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    ended
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const COMPATIBLE: [&str; 4] = ["-p", "openai-compat", "-m", "any"];

#[test]
fn the_example_runs_without_a_key_and_continues() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/prompts.jsonl");
    let files = Files::new(0);
    let args = [
        "batch",
        "--simulate",
        "--tps",
        "0",
        example,
        "-o",
        &files.output,
    ];
    let first = run(&args);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(first.stdout, "");
    assert!(
        first.stderr.contains("8 complete, 0 failed; 8 requests"),
        "{}",
        first.stderr
    );
    let results = files.results();
    assert_eq!(results.len(), 8);
    assert!(
        results
            .iter()
            .all(|line| line["response"]["status_code"] == 200)
    );
    let again = run(&[&args[..], &["--json"]].concat());
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let summary = again.json();
    assert_eq!(
        (&summary["requests"], &summary["complete_before"]),
        (&0.into(), &8.into())
    );
    assert_eq!(files.results(), results);
}

#[test]
fn replicate_and_several_providers_are_asked() {
    for service in [
        &["-p", "replicate"][..],
        &COMPATIBLE,
        &["-m", "cloudflare/@cf/meta/llama-3.1-8b-instruct-fp8"],
    ] {
        let files = Files::new(12);
        let run = files.simulated(service);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(files.ids(), (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn rows_that_failed_are_listed_and_asked_again_on_demand() {
    let files = Files::new(3);
    let first = files.simulated(&["--fault", "400"]);
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    assert!(
        first.stderr.contains("2 complete, 1 failed"),
        "{}",
        first.stderr
    );
    assert!(
        first.stderr.contains("most frequent failure: "),
        "{}",
        first.stderr
    );
    let failed_path = files.path("out.failed.jsonl");
    let failed = lines(&failed_path);
    assert_eq!(failed.len(), 1);
    assert!(failed[0]["body"].is_object() && failed[0]["error"]["code"].is_string());
    let kept = files.simulated(&[]);
    assert_eq!(kept.code, Some(1), "{}", kept.stderr);
    assert_eq!(lines(&failed_path), failed);
    let ignored = files.simulated(&["--failed-as-rows"]);
    assert_eq!(ignored.code, Some(0), "{}", ignored.stderr);
    let again = files.simulated(&["--retry-failed"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(files.ids(), [0, 1, 2]);
    assert!(!failed_path.exists());
}

#[test]
fn invalid_input_exits_with_2_before_anything_is_sent() {
    let files = Files::new(2);
    files.set_input(&[&input(2)[..], &input(1)].concat());
    let double = files.simulated(&[]);
    assert_eq!(double.code, Some(2), "{}", double.stderr);
    assert_eq!(
        double.error(),
        "error: invalid `custom_id` `0`: lines 1 and 3 both have it"
    );
    assert_eq!(files.results(), [Value::Null; 0]);

    files.set_input(&input(2));
    assert_eq!(files.simulated(&[]).code, Some(0));
    files.set_input("{\"custom_id\":\"1\",\"prompt\":\"other\"}\n");
    let changed = files.simulated(&[]);
    assert_eq!(changed.code, Some(2), "{}", changed.stderr);
    assert!(
        changed
            .error()
            .starts_with("error: invalid row `1` on line 1: ")
    );

    fs::write(&files.output, "by another program\nand more\n").unwrap();
    let foreign = files.simulated(&[]);
    assert_eq!(foreign.code, Some(2), "{}", foreign.stderr);
    assert!(foreign.error().contains("invalid line 1 of "));

    let missing = run(&[
        "batch",
        "--simulate",
        "/nonexistent/in.jsonl",
        "-o",
        &files.output,
    ]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    for args in [
        &["batch", "-o", "x"][..],
        &["batch", "x", "--part", "3/2"],
        &["batch", "x", "--max-in-flight", "0"],
    ] {
        assert_eq!(run(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_refused_key_and_a_used_up_quota_end_the_batch() {
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    let key = r#"{"error":{"message":"wrong key","code":"invalid_api_key"}}"#;
    for (status, body, code) in [(401, key, 3), (429, quota, 4)] {
        let url = serve(status, "application/json", body);
        let files = Files::new(50);
        let args = files.args(&COMPATIBLE);
        let stopped = run(&[&args[..], &["--base-url", &url]].concat());
        assert_eq!(stopped.code, Some(code), "{}", stopped.stderr);
        stopped.error();
        assert_eq!(lines(&files.path("out.failed.jsonl")), [Value::Null; 0]);
        // The same command continues, and nothing counts as paid.
        let continued = files.simulated(&["--json"]);
        assert_eq!(continued.code, Some(0), "{}", continued.stderr);
        assert_eq!(continued.json()["maybe_paid_twice"], 0);
        assert_eq!(files.ids().len(), 50);
    }
}

#[test]
fn a_worker_reads_and_writes_rows() {
    let args = ["batch", "--simulate", "--tps", "0"];
    let text = format!(
        "{}{{\"custom_id\":\"1\",\"prompt\":\"again\"}}\nnot JSON\n",
        input(3)
    );
    let worker = run_with(&args, text.as_bytes());
    assert_eq!(worker.code, Some(1), "{}", worker.stderr);
    let rows = worker.lines();
    assert_eq!(rows.len(), 5);
    let failed = rows.iter().filter(|row| !row["error"].is_null());
    let failed: Vec<&Value> = failed.map(|row| &row["error"]["code"]).collect();
    assert_eq!(failed, ["invalid_row", "invalid_row"]);
    let worker = run_with(
        &[&args[..], &["--failed-as-rows"]].concat(),
        text.as_bytes(),
    );
    assert_eq!(worker.code, Some(0), "{}", worker.stderr);
    let prompts = run_with(
        &[&args[..], &["--text", "--part", "2/2"]].concat(),
        b"One?\nTwo?\n\nThree?\nFour?",
    );
    assert_eq!(prompts.code, Some(0), "{}", prompts.stderr);
    let ids = prompts
        .lines()
        .iter()
        .map(|row| row["custom_id"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&"line-2".to_owned()) && ids.contains(&"line-5".to_owned()));
}

#[test]
fn an_idempotency_key_is_sent_to_a_compatible_service() {
    let simulator = crate::batch_service::Service::start(0.0);
    let files = Files::new(2);
    let args = files.args(&COMPATIBLE);
    let run = run(&[&args[..], &["--base-url", simulator.compatible_url()]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let keys = simulator
        .requests()
        .into_iter()
        .map(|request| request.headers["idempotency-key"].clone());
    let keys: std::collections::HashSet<_> = keys.collect();
    assert_eq!(keys.len(), 2);
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_one_clear_line_and_nothing_is_lost() {
    use std::process::Stdio;

    let files = Files::new(300);
    let args = files.args(&["--simulate", "--tps", "0"]);
    // A file may have at most 64 blocks.
    let mut limited = std::process::Command::new("sh");
    let program = command(&args);
    for (name, value) in program.get_envs() {
        match value {
            None => limited.env_remove(name),
            Some(value) => limited.env(name, value),
        };
    }
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    limited
        .args(["-c", script])
        .arg(program.get_program())
        .args(program.get_args());
    let full = Run::of(limited.stdin(Stdio::null()));
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    assert!(
        full.error().contains("writing the responses failed"),
        "{}",
        full.stderr
    );
    let kept = files.results().len();
    assert!(0 < kept && kept < 300);
    let continued = files.simulated(&["--json"]);
    assert_eq!(continued.code, Some(0), "{}", continued.stderr);
    assert_eq!(files.ids(), (0..300).collect::<Vec<_>>());
    // Only responses that could not be written are asked again.
    let requests = continued.json()["requests"].as_u64().unwrap();
    assert_eq!(requests, u64::try_from(300 - kept).unwrap());
    let repeated = continued.json()["maybe_paid_twice"].as_u64().unwrap();
    assert!((1..=64).contains(&repeated), "{repeated}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_as_standard_output_is_an_error() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let files = Files::new(3);
    let mut worker = command(&["batch", "--simulate", "--tps", "0", &files.input]);
    let run = Run::of(worker.stdout(full));
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.error().contains("standard output: No space left"),
        "{}",
        run.stderr
    );
}
