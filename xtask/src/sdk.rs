//! A comparison of official clients with ours, on simulated services. Not part of CI: it downloads
//! packages.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    python,
    run::{Outcome, Result, build_program, root, run, succeeds, target},
};

// The versions that the tables in `tests/sdk` describe; newer ones may behave differently.
const PYTHON: [&str; 7] = [
    "cerebras_cloud_sdk==1.91.0",
    "cloudflare==5.9.0",
    "langchain-openai==1.7.4",
    "litellm==1.110.2",
    "llm==0.36",
    "openai==3.52.0",
    "replicate==1.0.7",
];
const NPM: [&str; 6] = [
    "@ai-sdk/cerebras@3.0.59",
    "@ai-sdk/openai-compatible@3.0.92",
    "ai@7.0.173",
    "openai@7.55.0",
    "replicate@1.4.0",
    "workers-ai-provider@4.0.0",
];

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let Some(python) = python::environment("sdk", "INFERSTREAM_SDK_VENV", &PYTHON)? else {
        return Ok(Outcome::Skipped("no Python 3 here".to_owned()));
    };
    let folder = npm()?;
    if folder.is_none() {
        eprintln!("SKIPPED: the clients from npm, because npm is missing");
    }
    let program = build_program()?;
    for name in [
        "check_chat.py",
        "check_cloudflare.py",
        "check_gateway.py",
        "check_replicate.py",
    ] {
        let mut script = python.command();
        script.arg(root().join("tests/sdk").join(name));
        script.arg(&program).args(&folder);
        // Do not use a proxy for loopback.
        run(script.env("NO_PROXY", "127.0.0.1"))?;
    }
    Ok(Outcome::Done)
}

/// Installs the npm clients below the target folder. Returns their path, or `None` without npm.
fn npm() -> Result<Option<PathBuf>> {
    if !succeeds(Command::new("npm").arg("--version")) {
        return Ok(None);
    }
    let folder = target().join("sdk/npm");
    fs::create_dir_all(&folder)?;
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-fund", "--no-audit"]);
    install.args(NPM);
    run(install.current_dir(&folder))?;
    Ok(Some(folder))
}
