//! The benchmark of `inferstream batch`: CPU time per row, rows per second, and a resume.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::run::{Outcome, Result, cargo, read, run, shown, start_simulator, target, words, write};

/// The rows that are sent, and the rows that are complete when a run continues.
const ROWS: usize = 20_000;
const DONE: usize = 1_000_000;

/// The bars.
const CPU_PER_ROW: f64 = 60.0;
const ROWS_PER_SECOND: f64 = 4_000.0;
const RESUME: (f64, u64) = (2.0, 64);

/// What a run took.
struct Cost {
    wall: Duration,
    cpu: Duration,
    /// The peak of the resident memory, in MiB.
    memory: u64,
}

pub(super) fn job() -> Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::Skipped(
            "CPU time and memory are read from /proc".to_owned(),
        ));
    }
    run(&mut cargo(words(
        "build --quiet --locked --release -p inferstream-cli",
    )))?;
    let program = target().join("release/inferstream");
    let folder = target().join("bench-batch");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (simulator, url) = start_simulator(&program, "--tps 0")?;
    let url = url.replace("/v1", "/compatible/v1");
    let input = folder.join("in.jsonl");
    let output = folder.join("out.jsonl");
    write(&input, &rows(ROWS))?;
    let sent = measure(&mut batch(&program, &input, &output, &url))?;
    #[allow(clippy::cast_precision_loss)]
    let count = ROWS as f64;
    let cpu = sent.cpu.as_secs_f64() * 1e6 / count;
    let rate = count / sent.wall.as_secs_f64();
    eprintln!("| measure | figure | bar |\n|---|---|---|");
    eprintln!("| CPU time per row | {cpu:.0} µs | {CPU_PER_ROW} µs |");
    eprintln!("| rows per second, {ROWS} rows | {rate:.0} | {ROWS_PER_SECOND} |");
    eprintln!("| peak memory, {ROWS} rows | {} MiB | |", sent.memory);

    // Rows with the same request have the same hash.
    let text = read(&output)?;
    let line = text.lines().next().ok_or("the output is empty")?;
    let id = line
        .split("\"custom_id\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let id = format!("\"custom_id\":\"{}\"", id.ok_or("the output has no id")?);
    let mut done = String::new();
    for number in 0..DONE {
        let own = format!("\"custom_id\":\"{number}\"");
        done += &line.replacen(&id, &own, 1);
        done.push('\n');
    }
    let size = done.len() >> 20;
    write(&input, &rows(DONE))?;
    write(&output, &done)?;
    let resumed = measure(&mut batch(&program, &input, &output, &url))?;
    drop(simulator);
    let seconds = resumed.wall.as_secs_f64();
    eprintln!(
        "| resume, {DONE} rows done, {size} MiB | {seconds:.1} s | {} s |",
        RESUME.0
    );
    eprintln!(
        "| peak memory of it | {} MiB | {} MiB |",
        resumed.memory, RESUME.1
    );
    fs::remove_dir_all(&folder)?;
    let is_over = CPU_PER_ROW < cpu
        || rate < ROWS_PER_SECOND
        || RESUME.0 < seconds
        || RESUME.1 < resumed.memory;
    if is_over {
        eprintln!("\nA figure misses its bar; figures of a busy machine do.");
    }
    Ok(Outcome::Done)
}

fn rows(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            r#"{{"custom_id":"{number}","prompt":"Why is the sky blue?","max_tokens":16}}"#
        );
    }
    text
}

fn batch(program: &Path, input: &Path, output: &PathBuf, url: &str) -> Command {
    let mut command = Command::new(program);
    command
        .arg("batch")
        .arg(input)
        .arg("-o")
        .arg(output)
        .args(words("-p openai-compat -m any --no-proxy --base-url"))
        .arg(url)
        .env("XDG_CONFIG_HOME", env::temp_dir().join("nowhere"))
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
fn measure(command: &mut Command) -> Result<Cost> {
    let (begun, cpu) = (Instant::now(), children()?);
    let mut child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let exit = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| words(peak).next()?.parse::<u64>().ok());
            memory = peak.map_or(memory, |kib| kib >> 10);
        }
        match child.try_wait()? {
            None => sleep(Duration::from_millis(5)),
            Some(exit) => break exit,
        }
    };
    if !exit.success() {
        return Err(format!("{} failed: {exit}", shown(command)).into());
    }
    Ok(Cost {
        wall: begun.elapsed(),
        cpu: children()?.saturating_sub(cpu),
        memory,
    })
}

/// Returns the CPU time of the children that have ended.
fn children() -> Result<Duration> {
    let stat = read("/proc/self/stat")?;
    // The name of the program may contain spaces; 14 fields follow it before these two.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = words(fields)
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // The kernel reports hundredths of a second to programs.
    Ok(Duration::from_millis(10 * ticks))
}
