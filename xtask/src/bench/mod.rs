//! Benchmarks against other crates, in `tests/bench`, which is a separate workspace.

mod batch;
mod footprint;

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{
    Outcome, Result, cargo, output, read, root, run, shown, stdout, succeeds, target, words,
};

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

/// The benchmark from the socket to the event, which counts the instructions of all candidates.
const END_TO_END: &str = "end-to-end";

const USAGE: &str = "which benchmark? usage: cargo xtask bench \
    (decode | end-to-end | events | requests) [--check | --update], or batch, footprint, gateway or memory";

/// Runs a benchmark: it prints tables, `--check` compares instruction counts with the committed ones,
/// and `--update` rewrites those.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["batch"] => return batch::job(),
        ["footprint"] => return footprint::job(),
        ["gateway", ref options @ ..] => return gateway(options),
        ["memory"] => {
            run(&mut Command::new(build("memory")?))?;
            return Ok(Outcome::Done);
        }
        [END_TO_END] => return end_to_end(),
        [END_TO_END, "--check"] => return check(END_TO_END),
        [END_TO_END, "--update"] => return update(END_TO_END),
        _ => {}
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

/// Compares our gateway with the installed ones of other projects.
fn gateway(options: &[&str]) -> Result<Outcome> {
    if !Path::new("/proc/self/schedstat").exists() {
        return Ok(Outcome::Skipped(
            "no `/proc/self/schedstat` here".to_owned(),
        ));
    }
    run(&mut cargo(words(
        "build --quiet --release --locked -p inferstream-cli --bin inferstream",
    )))?;
    let ours = format!("inferstream{}", env::consts::EXE_SUFFIX);
    let program = build_of("bench-gateway", "gateway")?;
    let peers = program.ancestors().nth(2).ok_or("no target folder")?;
    run(Command::new(&program)
        .arg("run")
        .arg(target().join("release").join(ours))
        .arg(peers.join("peers"))
        .args(options))?;
    Ok(Outcome::Done)
}

fn tables(times: &str, allocations: &str) -> Result<Outcome> {
    run(&mut Command::new(build(times)?))?;
    run(&mut Command::new(build(allocations)?))?;
    Ok(Outcome::Done)
}

fn end_to_end() -> Result<Outcome> {
    let program = build(END_TO_END)?;
    run(&mut Command::new(&program))?;
    if missing().is_some() {
        return Ok(Outcome::Done);
    }
    let candidates = stdout(Command::new(&program).arg("candidates"))?;
    let mut table = "| instructions per event |".to_owned();
    for candidate in candidates.lines() {
        write!(table, " `{candidate}` |")?;
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(candidates.lines().count()));
    for workload in workloads(&program)? {
        write!(table, "\n| {} |", workload.1)?;
        for candidate in candidates.lines() {
            let count = per_frame(&program, &workload, candidate)?;
            write!(table, " {count} |")?;
        }
    }
    table.push('\n');
    io::stdout().write_all(table.as_bytes())?;
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
    let count = |workload: (u64, String)| {
        let count = per_frame(&program, &workload, "inferstream")?;
        Ok((workload.1, count))
    };
    workloads(&program)?.into_iter().map(count).collect()
}

/// Returns the workloads of a program, with the number of frames of each.
fn workloads(program: &PathBuf) -> Result<Vec<(u64, String)>> {
    let list = stdout(Command::new(program).arg("list"))?;
    let lines = list.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(frames, workload)| Ok((frames.parse()?, workload.to_owned())))
        .collect()
}

/// Returns the instructions of a candidate per frame.
fn per_frame(
    program: &PathBuf,
    (frames, workload): &(u64, String),
    candidate: &str,
) -> Result<u64> {
    // The difference of two runs excludes the start-up.
    let once = instructions(program, workload, candidate, 1)?;
    let more = instructions(program, workload, candidate, 6)?;
    Ok((more - once) / 5 / frames)
}

fn instructions(program: &PathBuf, workload: &str, candidate: &str, passes: u32) -> Result<u64> {
    let mut command = Command::new("valgrind");
    command
        .args(words("--tool=callgrind --callgrind-out-file=/dev/null"))
        .arg(program)
        .args(["pass", workload, candidate, &passes.to_string()]);
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

/// Builds a program of the benchmarks' main package and returns its path.
fn build(name: &str) -> Result<PathBuf> {
    build_of("bench", name)
}

/// Builds a program of a package of the benchmark workspace and returns its path.
fn build_of(package: &str, name: &str) -> Result<PathBuf> {
    let folder = root().join("tests/bench");
    run(cargo(words("build --quiet --release --locked --bin"))
        .args([name, "--package", package])
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
