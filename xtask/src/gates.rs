//! Jobs that consist of one or a few cargo commands.

use std::{env, path::PathBuf, process::Command};

use crate::{
    run::{Outcome, Result, cargo, run, stdout, succeeds, words},
    workspace::{self, Package},
};

pub(crate) fn fmt(_: &[String]) -> Result<Outcome> {
    run(&mut cargo(words("fmt --all --check")))?;
    Ok(Outcome::Done)
}

pub(crate) fn lint(_: &[String]) -> Result<Outcome> {
    run(&mut cargo(words(
        "clippy --workspace --all-targets --all-features --locked -- -D warnings",
    )))?;
    Ok(Outcome::Done)
}

pub(crate) fn test(arguments: &[String]) -> Result<Outcome> {
    run(cargo(words("test --workspace --all-features --locked")).args(arguments))?;
    Ok(Outcome::Done)
}

pub(crate) fn docs(_: &[String]) -> Result<Outcome> {
    run(
        cargo(words("doc --workspace --no-deps --all-features --locked"))
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    Ok(Outcome::Done)
}

/// Checks every library without features and with each feature alone.
///
/// Uses clippy instead of `check`, because its `-D warnings` applies to one package only, so
/// dependencies are not rebuilt.
pub(crate) fn features(_: &[String]) -> Result<Outcome> {
    for package in workspace::packages()?
        .iter()
        .filter(|package| package.is_library())
    {
        check(package, "")?;
        for feature in &package.features {
            check(package, feature)?;
        }
    }
    Ok(Outcome::Done)
}

fn check(package: &Package, feature: &str) -> Result<()> {
    let name = &package.name;
    let line = format!("clippy --quiet --lib --locked -p {name} --no-default-features");
    let features = (!feature.is_empty()).then(|| format!("--features={feature}"));
    run(cargo(words(&line))
        .args(features)
        .args(["--", "-D", "warnings"]))
}

pub(crate) fn msrv(_: &[String]) -> Result<Outcome> {
    let packages = workspace::packages()?;
    let core = packages
        .iter()
        .find(|package| package.name == "inferstream-core")
        .ok_or("no inferstream-core")?;
    let version = core
        .rust_version
        .as_deref()
        .ok_or("inferstream-core states no rust-version")?;
    let toolchains = stdout(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let Some(toolchain) = words(&toolchains).find(|name| name.starts_with(version)) else {
        return Ok(Outcome::Skipped(format!("Rust {version} is missing")));
    };
    for package in packages.iter().filter(|package| package.is_library()) {
        // The simulator and the program require a newer compiler, as stated in their manifests.
        if package.rust_version.as_deref() != Some(version) {
            continue;
        }
        // Uses rustup, because the running `cargo` belongs to another toolchain.
        let mut command = Command::new("rustup");
        command
            .args(["run", toolchain])
            .args(words("cargo check --lib --locked --all-features -p"));
        run(command.arg(&package.name).current_dir(crate::run::root()))?;
    }
    Ok(Outcome::Done)
}

/// Checks `deny.toml`. Advisories are checked only if their database is available or `--fetch`
/// downloads it.
pub(crate) fn deny(arguments: &[String]) -> Result<Outcome> {
    if !succeeds(&mut cargo(["deny", "--version"])) {
        return Ok(Outcome::Skipped("cargo-deny is missing".to_owned()));
    }
    if arguments.iter().any(|argument| argument == "--fetch") {
        run(&mut cargo(words("deny --locked check")))?;
        return Ok(Outcome::Done);
    }
    if advisories().is_some_and(|folder| folder.is_dir()) {
        run(&mut cargo(words("deny --locked check --disable-fetch")))?;
        return Ok(Outcome::Done);
    }
    run(&mut cargo(words(
        "deny --locked check bans licenses sources",
    )))?;
    Ok(Outcome::Skipped(
        "the advisory database is missing; bans, licences and sources passed".to_owned(),
    ))
}

/// Returns the folder of cargo-deny's advisory database.
fn advisories() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    let folder = home.join("advisory-dbs");
    folder.is_dir().then_some(folder)
}
