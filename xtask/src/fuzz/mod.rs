//! The fuzz targets in `tests/fuzz`, built with the coverage instrumentation that libFuzzer needs.

mod seeds;
mod totals;

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::run::{Outcome, Result, cargo, read, root, run, shown, stdout, succeeds, words};

/// The duration of the smoke test of each target.
const SMOKE_SECONDS: u32 = 2;

/// The default duration of each target.
const SECONDS: u32 = 600;

/// The flags of cargo-fuzz, except for the address sanitizer, which needs a nightly compiler and
/// halves the speed. They are stable, so any toolchain builds the targets.
const FLAGS: &str = "\
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Cdebug-assertions \
    -Ccodegen-units=1 \
    --cfg fuzzing";

const USAGE: &str = "usage: cargo xtask fuzz [TARGET] [SECONDS] [--record]";

/// Fuzzes every target for a few seconds.
pub(crate) fn smoke(_: &[String]) -> Result<Outcome> {
    fuzz(&targets()?, SMOKE_SECONDS, false)
}

/// Fuzzes one target, or all in turn; `--record` adds their executions to the committed totals.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let (flags, plain): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .map(String::as_str)
        .partition(|argument| argument.starts_with('-'));
    let is_recorded = match flags[..] {
        [] => false,
        ["--record"] => true,
        _ => return Err(USAGE.into()),
    };
    let all = targets()?;
    let (target, seconds) = match plain[..] {
        [] => (None, SECONDS),
        [one] => match one.parse() {
            Ok(seconds) => (None, seconds),
            Err(_) => (Some(one), SECONDS),
        },
        [target, seconds] => (Some(target), seconds.parse().map_err(|_| USAGE)?),
        _ => return Err(USAGE.into()),
    };
    match target {
        None => fuzz(&all, seconds, is_recorded),
        Some(target) if all.iter().any(|known| known == target) => {
            fuzz(&[target.to_owned()], seconds, is_recorded)
        }
        Some(target) => Err(format!(
            "unknown target `{target}`: expected one of {}",
            all.join(", ")
        )
        .into()),
    }
}

fn fuzz(targets: &[String], seconds: u32, is_recorded: bool) -> Result<Outcome> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !succeeds(Command::new(&compiler).arg("--version")) {
        return Ok(Outcome::Skipped(
            "a C++ compiler, which builds libFuzzer, is missing".to_owned(),
        ));
    }
    let programs = build(targets)?;
    let mut failed = Vec::new();
    for target in targets {
        let done = run_one(&programs.join(target), target, seconds)?;
        eprintln!("xtask: {target}: {} executions", done.executions);
        if is_recorded {
            totals::record(target, done.executions)?;
        }
        if !done.is_success {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        return Ok(Outcome::Done);
    }
    Err(format!(
        "a finding in {}: the input is in tests/fuzz/artifacts; tests/fuzz/README.md says what to do",
        failed.join(", ")
    )
    .into())
}

/// Returns the names of the targets, in the order of the manifest.
fn targets() -> Result<Vec<String>> {
    let manifest = read(folder().join("Cargo.toml"))?;
    let bins = manifest.split("[[bin]]").skip(1);
    let names = bins.filter_map(|bin| bin.split('"').nth(1));
    Ok(names.map(str::to_owned).collect())
}

/// Builds targets, and returns the folder of their programs.
fn build(targets: &[String]) -> Result<PathBuf> {
    let version = stdout(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or("rustc -vV names no host")?;
    let target = folder().join("target");
    // With `--target`, build scripts and macros are not instrumented.
    let mut command = cargo(words("build --release --locked --target"));
    command.arg(host).arg("--target-dir").arg(&target);
    for name in targets {
        command.args(["--bin", name]);
    }
    command
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // A separate workspace.
        .current_dir(folder());
    run(&mut command)?;
    Ok(target.join(host).join("release"))
}

/// What libFuzzer reports at the end of a run.
struct Run {
    executions: u64,
    is_success: bool,
}

/// Runs a target, with its progress shown.
fn run_one(program: &Path, target: &str, seconds: u32) -> Result<Run> {
    let corpus = folder().join("corpus").join(target);
    let artifacts = folder().join("artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder)?;
    }
    // libFuzzer takes the end of the path as the start of a file's name.
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    let mut command = Command::new(program);
    // New inputs are written to the first folder.
    command
        .arg(corpus)
        .args(seeds::folders(target)?)
        .arg(prefix)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", seeds::max_length(target)))
        .args(words("-print_final_stats=1 -timeout=20 -rss_limit_mb=2048"))
        .current_dir(folder())
        .stderr(Stdio::piped());
    let words = folder().join("dictionaries").join(format!("{target}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    eprintln!("$ {}", shown(&command));
    let mut child = command.spawn()?;
    let output = child.stderr.take().ok_or("the output is not piped")?;
    let mut executions = 0;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            executions = count.trim().parse()?;
        }
        if is_shown(&line) {
            eprintln!("{line}");
        }
    }
    let is_success = child.wait()?.success();
    Ok(Run {
        executions,
        is_success,
    })
}

/// Returns true unless a line is about a new input, about the dictionary that libFuzzer proposes, or
/// about the sanitizer that is not used.
fn is_shown(line: &str) -> bool {
    let is_number = line.starts_with('#') && !line.contains("pulse") && !line.contains("DONE");
    let hidden = [
        "\"",
        "INFO:",
        "\tNEW_FUNC",
        "WARNING: Failed to find function",
    ];
    !is_number && !hidden.iter().any(|start| line.starts_with(start))
}

fn folder() -> PathBuf {
    root().join("tests/fuzz")
}

#[cfg(test)]
mod tests {
    use super::{folder, is_shown, read, targets};

    #[test]
    fn each_target_has_a_file_and_a_line_in_the_readme() {
        let readme = read(folder().join("README.md")).unwrap();
        let names = targets().unwrap();
        assert!(!names.is_empty());
        for name in &names {
            let file = folder().join(format!("fuzz_targets/{name}.rs"));
            assert!(file.is_file(), "{name}");
            assert!(readme.contains(&format!("| `{name}` |")), "{name}");
        }
        let files = std::fs::read_dir(folder().join("fuzz_targets")).unwrap();
        assert_eq!(files.count(), names.len());
    }

    #[test]
    fn the_progress_is_shown_without_each_new_input() {
        assert!(is_shown("#1048576\tpulse  cov: 2087 ft: 5 corp: 3/5b"));
        assert!(is_shown("thread '<unnamed>' panicked at a.rs:1:1:"));
        assert!(!is_shown("#4\tNEW    cov: 20 ft: 5 corp: 3/5b"));
        assert!(!is_shown("\"\\000\\001\" # Uses: 4"));
    }
}
