//! The official Python clients beside ours, at one simulator. By hand: it asks the package index.

use crate::{
    python,
    run::{Outcome, Result, build_program, root, run, start_simulator},
};

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let Some(python) = python::environment(
        "sdk",
        "INFERSTREAM_SDK_VENV",
        &["openai", "cerebras_cloud_sdk"],
    )?
    else {
        return Ok(Outcome::Skipped("no Python 3 here".to_owned()));
    };
    let program = build_program()?;
    let (_simulator, url) = start_simulator(&program, "")?;
    let mut command = python.command();
    command
        .arg(root().join("tests/sdk/check.py"))
        .arg(&program)
        .arg(url);
    // Proxies are not for loopback.
    command.env("NO_PROXY", "127.0.0.1");
    run(&mut command)?;
    Ok(Outcome::Done)
}
