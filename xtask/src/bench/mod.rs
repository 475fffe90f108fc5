//! Benchmarks against other crates, in `tests/bench`, which is a separate workspace.

mod footprint;

use std::{env, fmt::Write as _, fs, path::PathBuf, process::Command};

use crate::run::{Outcome, Result, cargo, output, read, root, run, shown, stdout, succeeds, words};

/// Our instructions per frame, event or message by workload, as last measured.
const COMMITTED: &str = "tests/bench/instructions.tsv";

/// How much a figure may exceed the committed one, in percent.
const TOLERANCE: u64 = 5;

/// The benchmarks that have workloads: each measures times with one program, and allocations or memory
/// with another.
const PROGRAMS: &[(&str, &str)] = &[
    ("decode", "allocations"),
    ("events", "event_allocations"),
    ("requests", "request_memory"),
];

const USAGE: &str = "which benchmark? usage: \
    cargo xtask bench (decode | events | requests) [--check | --update], or footprint";

/// Runs a benchmark: it prints tables, `--check` compares instruction counts with the committed ones,
/// and `--update` rewrites those.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["footprint"] = arguments[..] {
        return footprint::job();
    }
    let known = |name: &&str| PROGRAMS.iter().find(|(program, _)| program == name);
    let Some((name, memory)) = arguments.first().and_then(known) else {
        return Err(USAGE.into());
    };
    match arguments[1..] {
        [] => tables(name, memory),
        ["--check"] => check(name),
        ["--update"] => update(name),
        _ => Err(USAGE.into()),
    }
}

fn tables(times: &str, allocations: &str) -> Result<Outcome> {
    run(&mut Command::new(build(times)?))?;
    run(&mut Command::new(build(allocations)?))?;
    Ok(Outcome::Done)
}

fn check(name: &str) -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let committed = read(root().join(COMMITTED))?;
    let mut over = Vec::new();
    for (workload, count) in measure(name)? {
        let limit = limit(&committed, &workload).ok_or_else(|| {
            format!("{COMMITTED} lacks `{workload}`: run `bench {name} --update`")
        })?;
        eprintln!("{count:>8} instructions of {limit} allowed: {workload}");
        if limit < count {
            over.push(format!("{workload}: {count} instructions, {limit} allowed"));
        }
    }
    if over.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(over.join("\n").into())
    }
}

fn update(name: &str) -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let mut text = format!(
        "# Instructions per frame or message, by callgrind; {}.\n",
        stdout(Command::new("rustc").arg("--version"))?.trim()
    );
    let measured = measure(name)?;
    // The lines of the other benchmarks stay.
    for line in read(root().join(COMMITTED))?.lines() {
        let is_new = |workload| measured.iter().any(|(name, _)| name == workload);
        if line.split_once('\t').is_some_and(|(_, name)| !is_new(name)) {
            writeln!(text, "{line}")?;
        }
    }
    for (workload, count) in measured {
        writeln!(text, "{count}\t{workload}")?;
    }
    fs::write(root().join(COMMITTED), text)?;
    Ok(Outcome::Done)
}

/// Returns the maximum number of instructions for a workload.
fn limit(committed: &str, workload: &str) -> Option<u64> {
    let mut lines = committed.lines().filter_map(|line| line.split_once('\t'));
    let (count, _) = lines.find(|(_, name)| *name == workload)?;
    Some(count.parse::<u64>().ok()? * (100 + TOLERANCE) / 100)
}

/// Returns our instructions per frame, event or message, for each workload of a program.
fn measure(name: &str) -> Result<Vec<(String, u64)>> {
    let program = build(name)?;
    let list = stdout(Command::new(&program).arg("list"))?;
    let workloads = list.lines().filter_map(|line| line.split_once('\t'));
    workloads
        .map(|(frames, workload)| {
            let frames: u64 = frames.parse()?;
            // The difference of two runs excludes the start-up.
            let once = instructions(&program, workload, 1)?;
            let more = instructions(&program, workload, 6)?;
            Ok((workload.to_owned(), (more - once) / 5 / frames))
        })
        .collect()
}

fn instructions(program: &PathBuf, workload: &str, passes: u32) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(words("--tool=callgrind --callgrind-out-file=/dev/null"))
        .arg(program)
        .args(["pass", workload, "inferstream", &passes.to_string()]);
    let output = output(&mut command)?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = report
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("{} counted nothing:\n{report}", shown(&command)).into())
}

fn missing() -> Option<String> {
    (!succeeds(Command::new("valgrind").arg("--version"))).then(|| "no valgrind here".to_owned())
}

/// Builds a program of the benchmark workspace and returns its path.
fn build(name: &str) -> Result<PathBuf> {
    let folder = root().join("tests/bench");
    run(cargo(words("build --quiet --release --locked --bin"))
        .arg(name)
        .current_dir(&folder))?;
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let program = format!("{name}{}", env::consts::EXE_SUFFIX);
    Ok(folder.join(target).join("release").join(program))
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn a_figure_may_grow_by_a_twentieth() {
        let committed = "# Instructions.\n400\ta\n39\tb, c\n";
        assert_eq!(limit(committed, "a"), Some(420));
        assert_eq!(limit(committed, "b, c"), Some(40));
        assert_eq!(limit(committed, "b"), None);
    }
}
