//! A Python environment below the target folder.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{Result, run, succeeds, target};

/// A Python interpreter with the required packages.
pub(crate) struct Python(PathBuf);

impl Python {
    pub(crate) fn command(&self) -> Command {
        Command::new(&self.0)
    }
}

/// Returns the environment that the variable names, or creates one and installs the packages.
///
/// Returns `None` without Python 3.
pub(crate) fn environment(name: &str, variable: &str, packages: &[&str]) -> Result<Option<Python>> {
    if let Some(folder) = env::var_os(variable) {
        return Ok(Some(interpreter(Path::new(&folder))));
    }
    let Some(system) = ["python3", "python"]
        .into_iter()
        .find(|name| is_python3(name))
    else {
        return Ok(None);
    };
    let folder = target().join(name).join("venv");
    let python = interpreter(&folder);
    if !python.0.is_file() {
        run(Command::new(system).args(["-m", "venv"]).arg(&folder))?;
    }
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(python.command().args(install).args(packages))?;
    Ok(Some(python))
}

fn is_python3(name: &str) -> bool {
    succeeds(Command::new(name).args([
        "-c",
        "import sys, venv; sys.exit(sys.version_info < (3, 9))",
    ]))
}

fn interpreter(folder: &Path) -> Python {
    Python(if cfg!(windows) {
        folder.join("Scripts/python.exe")
    } else {
        folder.join("bin/python")
    })
}
