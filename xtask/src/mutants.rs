//! Mutation testing with cargo-mutants: changes the code and checks that a test fails.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::run::{Outcome, Result, cargo, read, shown, succeeds, target, words};

/// A part of the code, and the tests that must notice its mutants.
struct Area {
    name: &'static str,
    packages: &'static str,
    files: &'static str,
    /// Filters of the names of tests in `tests/it`. The unit tests of the packages always run.
    tests: &'static str,
}

const AREAS: &[Area] = &[
    Area {
        name: "decoder",
        packages: "inferstream-core",
        files: "crates/core/src/sse/*.rs",
        tests: "sse::",
    },
    Area {
        name: "stream",
        packages: "inferstream-core",
        files: "crates/core/src/stream/*.rs crates/core/src/stream/read/*.rs",
        tests: "stream:: more:: closing:: clock:: held:: ends:: chat::bodies chat::ends chat::meta \
                tracing::events",
    },
    Area {
        name: "retry",
        packages: "inferstream-core inferstream-client",
        files: "crates/core/src/retry.rs crates/core/src/budget.rs crates/client/src/budgets.rs",
        tests: "retry::",
    },
    Area {
        name: "resume",
        packages: "inferstream-replicate",
        files: "crates/replicate/src/resume.rs crates/replicate/src/decode.rs",
        tests: "replicate::",
    },
    Area {
        name: "chunks",
        packages: "inferstream-openai-compat",
        files: "crates/openai-compat/src/choice.rs crates/openai-compat/src/decode.rs \
                crates/openai-compat/src/finish_reason.rs crates/openai-compat/src/known.rs \
                crates/openai-compat/src/metadata.rs crates/openai-compat/src/template.rs \
                crates/openai-compat/src/text.rs crates/openai-compat/src/tool_calls.rs",
        tests: "chat:: compatible:: ends::",
    },
    Area {
        name: "send",
        packages: "inferstream-client",
        files: "crates/client/src/call.rs",
        tests: "retry:: chat::errors chat::ends chat::meta chat::secrets requests::calls",
    },
];

/// Tests that take more than a second in a debug build. Faster tests of the same code remain.
const SLOW: &[&str] = &[
    "at_any_byte",
    "endless",
    "of_a_minute",
    "the_end_of_an_outage",
    "one_large_line",
    "properties::",
    "the_data_before_the_start_of_a_call",
    "the_split_of_a_recorded",
    "line_ends_and_a_byte_order_mark",
];

/// Runs cargo-mutants for one area, or for all; other arguments are passed to it.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    if !succeeds(&mut cargo(["mutants", "--version"])) {
        let missing = "cargo-mutants is missing: cargo install --locked cargo-mutants@27.1.0";
        return Ok(Outcome::Skipped(missing.to_owned()));
    }
    let (areas, options) = match arguments.split_first() {
        Some((name, options)) if !name.starts_with('-') => {
            let area = AREAS.iter().filter(|area| area.name == name);
            (area.collect::<Vec<_>>(), options)
        }
        _ => (AREAS.iter().collect(), arguments),
    };
    if areas.is_empty() {
        let names: Vec<_> = AREAS.iter().map(|area| area.name).collect();
        return Err(format!("unknown area: expected one of {}", names.join(", ")).into());
    }
    let mut rows = String::from("| area | mutants | caught | missed | timeouts | unviable |\n");
    rows += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    let mut is_caught = true;
    for area in areas {
        is_caught &= run(area, options)?;
        rows += &row(area)?;
    }
    eprintln!("\n{rows}");
    if is_caught {
        Ok(Outcome::Done)
    } else {
        Err("a mutant was missed or a test did not end".into())
    }
}

/// Tests the mutants of an area, and returns false if some were not caught.
fn run(area: &Area, options: &[String]) -> Result<bool> {
    fs::create_dir_all(output(area))?;
    let mut command = command(area, options);
    eprintln!("$ {}", shown(&command));
    match command.status()?.code() {
        Some(0) => Ok(true),
        // Mutants that were missed, and tests that did not end.
        Some(2 | 3) => Ok(false),
        _ => Err(format!("cargo-mutants failed in the area {}", area.name).into()),
    }
}

fn command(area: &Area, options: &[String]) -> Command {
    let mut command = cargo(words("mutants --all-features --test-package tests"));
    for package in words(area.packages) {
        command.args(["--package", package, "--test-package", package]);
    }
    for file in words(area.files) {
        command.args(["--file", file]);
    }
    command.arg("--output").arg(output(area)).args(options);
    command.args(words("-- --lib --test it -- tests::"));
    command.args(words(area.tests));
    for test in SLOW {
        command.args(["--skip", test]);
    }
    // Debug information takes much of the time of a build.
    command.env("CARGO_PROFILE_TEST_DEBUG", "0");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    command
}

fn output(area: &Area) -> PathBuf {
    target().join("mutants").join(area.name)
}

/// Returns the row of the table with the tool's counts.
fn row(area: &Area) -> Result<String> {
    let outcomes = read(output(area).join("mutants.out/outcomes.json"))?;
    let outcomes: Value = serde_json::from_str(&outcomes)?;
    let counts = ["total_mutants", "caught", "missed", "timeout", "unviable"];
    let counts = counts.map(|name| outcomes[name].to_string());
    Ok(format!("| {} | {} |\n", area.name, counts.join(" | ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::AREAS;
    use crate::run::{root, words};

    #[test]
    fn every_file_of_an_area_exists() {
        for file in AREAS.iter().flat_map(|area| words(area.files)) {
            let file = file.strip_suffix("*.rs").unwrap_or(file);
            assert!(root().join(Path::new(file)).exists(), "{file}");
        }
    }
}
