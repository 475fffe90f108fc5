//! Jobs that consist of one or a few cargo commands.

use std::{env, fs, path::PathBuf, process::Command};

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

/// Checks every library with each pair of its features.
pub(crate) fn powerset(_: &[String]) -> Result<Outcome> {
    if !succeeds(&mut cargo(words("hack --version"))) {
        let reason = "cargo-hack is missing: run cargo install --locked cargo-hack";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let mut command = cargo(words(
        "hack check --lib --locked --feature-powerset --depth 2",
    ));
    let packages = workspace::packages()?;
    for package in packages.iter().filter(|package| package.is_library()) {
        command.args(["-p", &package.name]);
    }
    run(&mut command)?;
    Ok(Outcome::Done)
}

/// The target of [`windows`], and the compiler for the C code of its dependencies.
const WINDOWS: (&str, &str) = ("x86_64-pc-windows-gnu", "x86_64-w64-mingw32-gcc");

/// Checks everything, with its tests, for Windows.
pub(crate) fn windows(_: &[String]) -> Result<Outcome> {
    let (target, compiler) = WINDOWS;
    if let Some(reason) = missing_target(target) {
        return Ok(Outcome::Skipped(reason));
    }
    if !succeeds(Command::new(compiler).arg("--version")) {
        return Ok(Outcome::Skipped(format!("{compiler} is missing")));
    }
    let line = format!("check --workspace --all-features --tests --locked --target {target}");
    run(cargo(words(&line)).env("RUSTFLAGS", "-D warnings"))?;
    Ok(Outcome::Done)
}

/// Returns what to do if a target is not installed.
fn missing_target(name: &str) -> Option<String> {
    let targets = stdout(Command::new("rustup").args(words("target list --installed")));
    let is_there = words(&targets.unwrap_or_default()).any(|target| target == name);
    (!is_there).then(|| format!("the target {name} is missing: run rustup target add {name}"))
}

/// The target of [`wasm`].
const WASM: &str = "wasm32-unknown-unknown";

/// Checks the libraries that need no transport for WebAssembly.
pub(crate) fn wasm(_: &[String]) -> Result<Outcome> {
    if let Some(reason) = missing_target(WASM) {
        return Ok(Outcome::Skipped(reason));
    }
    let packages = workspace::packages()?;
    for package in packages.iter().filter(|package| package.is_library()) {
        // These open sockets, or files and threads.
        const NATIVE: [&str; 3] = [
            "inferstream-batch",
            "inferstream-simulator",
            "inferstream-transport",
        ];
        if NATIVE.contains(&package.name.as_str()) {
            continue;
        }
        let line = format!("check --lib --locked --no-default-features --target {WASM} -p");
        run(cargo(words(&line))
            .arg(&package.name)
            .args(portable_features(package)))?;
    }
    Ok(Outcome::Done)
}

/// Returns the features of a library that work without sockets, processes and files.
fn portable_features(package: &Package) -> Option<String> {
    // `playground-agent` and `proptest` need random numbers, for which a program for browsers has
    // to turn on a feature of `getrandom`.
    let native = [
        "aws-lc-rs",
        "browser",
        "default",
        "file",
        "playground-agent",
        "proptest",
        "tower",
        "transport",
    ];
    let features = package.features.iter().map(String::as_str);
    let features: Vec<&str> = features
        .filter(|feature| !native.contains(feature))
        .collect();
    (!features.is_empty()).then(|| format!("--features={}", features.join(",")))
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
    if has_advisories() {
        run(&mut cargo(words("deny --locked --offline check")))?;
        return Ok(Outcome::Done);
    }
    run(&mut cargo(words(
        "deny --locked check bans licenses sources",
    )))?;
    Ok(Outcome::Skipped(
        "the advisory database is missing; bans, licences and sources passed".to_owned(),
    ))
}

/// Returns true if cargo-deny has downloaded an advisory database.
fn has_advisories() -> bool {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folder = home.and_then(|home| fs::read_dir(home.join("advisory-dbs")).ok());
    // A failed download leaves a lock file.
    folder.is_some_and(|folder| folder.flatten().any(|entry| entry.path().is_dir()))
}
