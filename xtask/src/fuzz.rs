//! The fuzz targets in `tests/fuzz`, which need a nightly compiler.

use std::process::Command;

use crate::run::{Outcome, Result, root, run, stdout, succeeds, words};

/// The duration of the smoke test of each target.
const SMOKE_SECONDS: &str = "10";

/// Fuzzes every target for a few seconds.
pub(crate) fn smoke(_: &[String]) -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let targets = stdout(&mut fuzz(&["list"]))?;
    for target in words(&targets) {
        run(fuzz(&["run", target, "--"]).arg(format!("-max_total_time={SMOKE_SECONDS}")))?;
    }
    Ok(Outcome::Done)
}

/// Fuzzes one target, for an hour by default.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    if let Some(missing) = missing() {
        return Ok(Outcome::Skipped(missing));
    }
    let (target, rest) = arguments
        .split_first()
        .ok_or("missing target: usage: cargo xtask fuzz TARGET [SECONDS]")?;
    let seconds = rest.first().map_or("3600", String::as_str);
    run(fuzz(&["run", target, "--"]).arg(format!("-max_total_time={seconds}")))?;
    Ok(Outcome::Done)
}

fn missing() -> Option<String> {
    if !root().join("tests/fuzz/Cargo.toml").is_file() {
        return Some("tests/fuzz is missing".to_owned());
    }
    (!succeeds(&mut fuzz(&["--version"])))
        .then(|| "nightly Rust with cargo-fuzz is missing".to_owned())
}

fn fuzz(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(words("run nightly cargo fuzz"));
    // The folder is a separate workspace, so that nightly does not affect this one.
    command.current_dir(root().join("tests/fuzz"));
    match arguments {
        [job @ ("list" | "run"), rest @ ..] => command.args([job, "--fuzz-dir", "."]).args(rest),
        _ => command.args(arguments),
    };
    command
}
