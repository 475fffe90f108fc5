//! The manual pages of the program.

use std::process::Command;

use crate::run::{Outcome, Result, build_program, run, target};

/// Writes the manual pages to `man` in the folder for build output.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask man".into());
    }
    let folder = target().join("man");
    run(Command::new(build_program()?).arg("man").arg(&folder))?;
    eprintln!("the manual pages are in {}", folder.display());
    Ok(Outcome::Done)
}
