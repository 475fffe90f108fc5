//! Checks before a release: the packages, and the compatibility with the last one.

use crate::{
    run::{Outcome, Result, cargo, output, run, stdout, succeeds, words},
    workspace::{self, Package},
};

/// The files that each package must contain.
const FILES: &[&str] = &["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Creates the package of each published crate and builds it; `--no-verify` skips the build.
pub(crate) fn package(arguments: &[String]) -> Result<Outcome> {
    let verify = match arguments {
        [] => true,
        [flag] if flag == "--no-verify" => false,
        _ => return Err("usage: cargo xtask package [--no-verify]".into()),
    };
    let packages = workspace::packages()?;
    let published = || packages.iter().filter(|package| package.is_published);
    let mut missing = Vec::new();
    for Package { name, .. } in published() {
        let line = format!("package --list --locked --allow-dirty -p {name}");
        let files = stdout(&mut cargo(words(&line)))?;
        missing.extend(absent(&files).map(|file| format!("{name}: no {file}")));
    }
    if !missing.is_empty() {
        return Err(missing.join("\n").into());
    }
    // All at once, because they depend on each other and are not published yet.
    let mut command = cargo(words("package --locked --allow-dirty"));
    for Package { name, .. } in published() {
        command.args(["-p", name]);
    }
    if !verify {
        command.arg("--no-verify");
    }
    run(&mut command)?;
    Ok(Outcome::Done)
}

/// Returns the required files that a list of files lacks.
fn absent(files: &str) -> impl Iterator<Item = &'static str> {
    let files: Vec<&str> = files.lines().collect();
    FILES
        .iter()
        .copied()
        .filter(move |file| !files.contains(file))
}

/// Checks that the public API is compatible with that of the last release.
pub(crate) fn semver(_: &[String]) -> Result<Outcome> {
    if !succeeds(&mut cargo(words("semver-checks --version"))) {
        let reason =
            "cargo-semver-checks is missing: run cargo install --locked cargo-semver-checks";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let mut git = std::process::Command::new("git");
    git.args(words("describe --tags --abbrev=0 --match v*"))
        .current_dir(crate::run::root());
    let tag = output(&mut git)?;
    if !tag.status.success() {
        let reason = "there is no tag of a release to compare with";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let tag = String::from_utf8_lossy(&tag.stdout);
    let mut command = cargo(words("semver-checks --baseline-rev"));
    command.arg(tag.trim());
    let packages = workspace::packages()?;
    for package in packages.iter().filter(|package| package.is_library()) {
        command.args(["-p", &package.name]);
    }
    run(&mut command)?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::absent;

    #[test]
    fn a_package_without_a_licence_is_incomplete() {
        let files = "Cargo.toml\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert_eq!(absent(files).collect::<Vec<_>>(), ["LICENSE-APACHE"]);
    }
}
