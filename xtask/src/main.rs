//! The jobs of this workspace: `cargo xtask <job>`.

use std::{env, fmt::Write as _, process::ExitCode, time::Instant};

mod python;
mod run;
mod workspace;

mod api;
mod audit;
mod batch_kills;
mod bench;
mod fleet;
mod footprint;
mod fuzz;
mod gates;
mod manual;
mod mutants;
mod netns;
mod outside;
mod page;
mod picture;
mod real_server;
mod release;
mod sdk;
mod soak;
mod tidy;
mod versions;

use crate::run::{Outcome, Result};

/// A job: its name, its description and its function.
struct Job {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<Outcome>,
}

const JOBS: &[Job] = &[
    job("ci", "all inexpensive checks, in order", ci),
    job("fmt", "check the formatting", gates::fmt),
    job(
        "tidy",
        "check dependencies, names, manifests, files and wording",
        tidy::job,
    ),
    job("lint", "run clippy without warnings", gates::lint),
    job("test", "run all tests with all features", gates::test),
    job(
        "docs",
        "build the documentation without warnings",
        gates::docs,
    ),
    job(
        "features",
        "build each library with each feature alone",
        gates::features,
    ),
    job(
        "api",
        "compare public APIs with their snapshots; `api --update` writes them",
        api::job,
    ),
    job(
        "footprint",
        "check the number of crates that a user builds",
        footprint::job,
    ),
    job(
        "dependencies",
        "compare docs/dependencies.md with the lock file; `dependencies --update` writes it",
        audit::job,
    ),
    job(
        "outside",
        "run the README's program outside this workspace",
        outside::job,
    ),
    job(
        "msrv",
        "build the libraries with the minimum supported Rust version; `msrv --latest` has no lock file",
        versions::msrv,
    ),
    job(
        "minimal-versions",
        "build the libraries with the oldest dependencies allowed",
        versions::minimal,
    ),
    job(
        "powerset",
        "build each library with each pair of features",
        gates::powerset,
    ),
    job(
        "wasm",
        "build the libraries without a transport for WebAssembly",
        gates::wasm,
    ),
    job(
        "windows",
        "check everything, with its tests, for Windows",
        gates::windows,
    ),
    job(
        "package",
        "create and build the packages to publish; `package --no-verify` does not build",
        release::package,
    ),
    job(
        "semver",
        "compare public APIs with the last release",
        release::semver,
    ),
    job(
        "picture",
        "draw the terminal of the README; `picture --check` compares",
        picture::job,
    ),
    job(
        "man",
        "write the manual pages of the program to target/man",
        manual::job,
    ),
    job(
        "deny",
        "check licences, sources and duplicates; `deny --fetch` adds advisories",
        gates::deny,
    ),
    job(
        "fuzz-smoke",
        "run each fuzz target for a few seconds",
        fuzz::smoke,
    ),
    job(
        "fuzz",
        "run the fuzz targets, or one: fuzz [TARGET] [SECONDS] [--record]",
        fuzz::job,
    ),
    job(
        "bench",
        "compare our speed and size with other crates: bench (decode | end-to-end | events | requests) [--check | --update], or batch, footprint, gateway or memory",
        bench::job,
    ),
    job(
        "batch-kills",
        "kill and continue `inferstream batch` 200 times per service: batch-kills [COUNT]",
        batch_kills::job,
    ),
    job(
        "soak",
        "read streams with faults and check every byte: soak [--seed N] [--stream N | --streams N | --events N | --seconds N]",
        soak::job,
    ),
    job(
        "rounds",
        "print the gateway's memory over ten rounds of 1,000 streams; needs `ulimit -n 8192`",
        soak::rounds,
    ),
    job(
        "mutants",
        "check that the tests notice changes of the code: mutants [AREA] [options of cargo-mutants]",
        mutants::job,
    ),
    job(
        "netns",
        "run our program on a faulty network, in private network namespaces: netns [SCENARIO]",
        netns::job,
    ),
    job(
        "page",
        "test the gateway's page in Chromium: page [SCENARIO] [--screenshots FOLDER]",
        page::job,
    ),
    job("sdk", "compare official clients with ours", sdk::job),
    job(
        "fleet",
        "test the engines that run many batches: fleet [dask | k8s | ray | spark]",
        fleet::job,
    ),
    job(
        "real-server",
        "test our program against a real inference server",
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

/// The jobs of `ci`, cheapest first. The tests are separate, because their output should come last.
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
        eprintln!("  {:<16} {}", job.name, job.about);
    }
}

/// Runs all checks, even after a failure, and prints a summary.
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
