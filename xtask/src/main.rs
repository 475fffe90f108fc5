//! The jobs of the house: `cargo xtask <job>`.

use std::{env, fmt::Write as _, process::ExitCode, time::Instant};

mod python;
mod run;
mod workspace;

mod api;
mod bench;
mod footprint;
mod fuzz;
mod gates;
mod outside;
mod real_server;
mod sdk;
mod tidy;

use crate::run::{Outcome, Result};

/// One job: its name, what it does, and the function that does it.
struct Job {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Outcome>,
}

const JOBS: &[Job] = &[
    job("ci", "every gate that is cheap, in order", ci),
    job("fmt", "the code is formatted", gates::fmt),
    job(
        "tidy",
        "arrows, names, manifests and files keep our rules",
        tidy::job,
    ),
    job("lint", "clippy finds nothing", gates::lint),
    job("test", "every test, with every feature", gates::test),
    job(
        "docs",
        "the documentation builds without a warning",
        gates::docs,
    ),
    job(
        "features",
        "each library builds with each feature alone",
        gates::features,
    ),
    job(
        "api",
        "each library has the public API of its snapshot; `api --update` writes them",
        api::job,
    ),
    job(
        "footprint",
        "the crates that a user builds are few",
        footprint::job,
    ),
    job(
        "outside",
        "the README's program runs outside this workspace",
        outside::job,
    ),
    job(
        "msrv",
        "the libraries build with the oldest Rust we promise",
        gates::msrv,
    ),
    job(
        "deny",
        "licences, sources, duplicates; advisories by `deny --fetch`",
        gates::deny,
    ),
    job(
        "fuzz-smoke",
        "each fuzz target for a few seconds",
        fuzz::smoke,
    ),
    job(
        "fuzz",
        "one fuzz target for long: fuzz TARGET [SECONDS]",
        fuzz::job,
    ),
    job(
        "bench",
        "our speed beside that of other crates: bench decode [--check | --update]",
        bench::job,
    ),
    job(
        "sdk",
        "official clients read what our client reads",
        sdk::job,
    ),
    job(
        "real-server",
        "our program against a real inference server",
        real_server::job,
    ),
];

const fn job(
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Outcome>,
) -> Job {
    Job { name, about, run }
}

/// What `ci` runs, cheapest first; the tests are not here, for their output is the one to read last.
const GATES: &[&str] = &[
    "fmt",
    "tidy",
    "lint",
    "docs",
    "features",
    "api",
    "footprint",
    "outside",
    "msrv",
    "deny",
    "fuzz-smoke",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        list();
        return ExitCode::from(2);
    };
    let Some(job) = find(name) else {
        eprintln!("xtask: no job named `{name}`");
        list();
        return ExitCode::from(2);
    };
    match (job.run)(rest) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Skipped(reason)) => {
            eprintln!("xtask: {name} SKIPPED: {reason}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {name} FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

fn find(name: &str) -> Option<&'static Job> {
    JOBS.iter().find(|job| job.name == name)
}

fn list() {
    eprintln!("usage: cargo xtask <job>\n");
    for job in JOBS {
        eprintln!("  {:<12} {}", job.name, job.about);
    }
}

/// Runs every gate, also after one has failed, and says at the end how each went.
fn ci(_: &[String]) -> Result<Outcome> {
    let mut report = String::new();
    let mut failed = Vec::new();
    for name in GATES {
        let job = find(name).ok_or_else(|| format!("no job named `{name}`"))?;
        eprintln!("\nxtask: ── {name}: {}", job.about);
        let start = Instant::now();
        let outcome = match (job.run)(&[]) {
            Ok(Outcome::Done) => "passed".to_owned(),
            Ok(Outcome::Skipped(reason)) => format!("SKIPPED: {reason}"),
            Err(error) => {
                failed.push(*name);
                format!("FAILED: {error}")
            }
        };
        let seconds = start.elapsed().as_secs();
        eprintln!("xtask: {name} {outcome}");
        writeln!(report, "  {name:<12} {seconds:>4} s  {outcome}")?;
    }
    eprintln!("\nxtask: gates\n{report}");
    if failed.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(format!("{} failed", failed.join(", ")).into())
    }
}

#[cfg(test)]
mod tests {
    use super::{GATES, JOBS, find};

    #[test]
    fn every_gate_is_a_job() {
        for gate in GATES {
            assert!(find(gate).is_some(), "{gate}");
        }
    }

    #[test]
    fn no_two_jobs_have_one_name() {
        for (at, job) in JOBS.iter().enumerate() {
            assert!(
                JOBS[at + 1..].iter().all(|other| other.name != job.name),
                "{}",
                job.name
            );
        }
    }
}
