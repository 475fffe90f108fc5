//! Tests of the engines that run many `inferstream batch`. Not part of CI: they download packages.

use std::{path::Path, process::Command};

use crate::{
    python,
    run::{Outcome, Result, build_program, root, run, succeeds},
};

/// An engine: its name, its script in `tests/fleet`, and its packages.
type Engine = (&'static str, &'static str, &'static [&'static str]);

// The versions that `docs/fleet.md` describes.
const ENGINES: &[Engine] = &[
    ("dask", "dask_bag.py", &["dask[bag]==2025.9.1"]),
    ("k8s", "k8s.py", &["kubernetes-validate==1.37.0"]),
    ("ray", "ray_data.py", &["ray[data]==2.60.0"]),
    ("spark", "spark.py", &["pyspark==4.0.1"]),
];

const USAGE: &str = "usage: cargo xtask fleet [dask | k8s | ray | spark]";

pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let name = match arguments {
        [] => None,
        [name] if ENGINES.iter().any(|(engine, ..)| engine == name) => Some(name.as_str()),
        _ => return Err(USAGE.into()),
    };
    let program = build_program()?;
    let mut skipped = Vec::new();
    for (engine, script, packages) in ENGINES {
        if name.is_some_and(|name| name != *engine) {
            continue;
        }
        match test(script, packages, &program)? {
            Outcome::Done => {}
            Outcome::Skipped(reason) => skipped.push(format!("{engine}: {reason}")),
        }
    }
    if skipped.is_empty() {
        Ok(Outcome::Done)
    } else {
        Ok(Outcome::Skipped(skipped.join("; ")))
    }
}

fn test(script: &str, packages: &[&str], program: &Path) -> Result<Outcome> {
    if script == "spark.py" && !succeeds(Command::new("java").arg("-version")) {
        return Ok(Outcome::Skipped("no Java here".to_owned()));
    }
    // An engine that does not install here is no failure of ours.
    let python = match python::environment("fleet", "INFERSTREAM_FLEET_VENV", packages) {
        Ok(Some(python)) => python,
        Ok(None) => return Ok(Outcome::Skipped("no Python 3 here".to_owned())),
        Err(error) => return Ok(Outcome::Skipped(error.to_string())),
    };
    let mut command = python.command();
    command.arg(root().join("tests/fleet").join(script));
    // Do not use a proxy for loopback.
    run(command.arg(program).env("NO_PROXY", "127.0.0.1"))?;
    Ok(Outcome::Done)
}
