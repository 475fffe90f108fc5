//! The gates that are one or a few cargo commands.

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

/// Checks every library with no feature and with each one alone.
///
/// Clippy instead of `check`: its `-D warnings` is for the one package, so that nothing else is built again.
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
        return Ok(Outcome::Skipped(format!("no Rust {version} here")));
    };
    for package in packages.iter().filter(|package| package.is_library()) {
        // The simulator and the program promise less, and say so in their manifests.
        if package.rust_version.as_deref() != Some(version) {
            continue;
        }
        // Through rustup, for the `cargo` that started us is another toolchain's.
        let mut command = Command::new("rustup");
        command
            .args(["run", toolchain])
            .args(words("cargo check --lib --locked --all-features -p"));
        run(command.arg(&package.name).current_dir(crate::run::root()))?;
    }
    Ok(Outcome::Done)
}

/// Checks `deny.toml`; the advisories only where their data is at hand or `--fetch` gets it.
pub(crate) fn deny(arguments: &[String]) -> Result<Outcome> {
    if !succeeds(&mut cargo(["deny", "--version"])) {
        return Ok(Outcome::Skipped("no cargo-deny here".to_owned()));
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
        "no advisory data here; bans, licences and sources passed".to_owned(),
    ))
}

/// Returns where cargo-deny keeps the advisory data.
fn advisories() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    let folder = home.join("advisory-dbs");
    folder.is_dir().then_some(folder)
}
