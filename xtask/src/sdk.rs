//! The official clients beside ours, at simulated services. By hand: it asks the package indexes.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    python,
    run::{Outcome, Result, build_program, root, run, start_simulator, succeeds, target},
};

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let Some(python) = python::environment(
        "sdk",
        "INFERSTREAM_SDK_VENV",
        &["openai", "cerebras_cloud_sdk", "replicate"],
    )?
    else {
        return Ok(Outcome::Skipped("no Python 3 here".to_owned()));
    };
    let program = build_program()?;
    let script = |name: &str| {
        let mut command = python.command();
        command
            .arg(root().join("tests/sdk").join(name))
            .arg(&program);
        // Proxies are not for loopback.
        command.env("NO_PROXY", "127.0.0.1");
        command
    };
    let (_simulator, url) = start_simulator(&program, "")?;
    run(script("chat.py").arg(url))?;
    let mut replicate = script("replicate.py");
    if let Some(folder) = npm()? {
        replicate.arg(folder);
    } else {
        eprintln!("SKIPPED: npm's client, for there is no npm here");
    }
    run(&mut replicate)?;
    Ok(Outcome::Done)
}

/// Installs npm's client below the target folder; returns where, unless there is no npm.
fn npm() -> Result<Option<PathBuf>> {
    if !succeeds(Command::new("npm").arg("--version")) {
        return Ok(None);
    }
    let folder = target().join("sdk/npm");
    fs::create_dir_all(&folder)?;
    let mut install = Command::new("npm");
    install.args([
        "install",
        "--silent",
        "--no-fund",
        "--no-audit",
        "replicate",
    ]);
    run(install.current_dir(&folder))?;
    Ok(Some(folder))
}
