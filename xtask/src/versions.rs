//! Checks with other versions: of the compiler, and of the dependencies.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    run::{Outcome, Result, cargo, read, root, run, stdout, target, words, write},
    workspace::{self, Package},
};

/// Builds the libraries with the minimum supported Rust version.
///
/// With `--latest`, builds the facade with it for a program of edition 2021, which has no lock file
/// and whose resolver selects the latest dependencies, whatever Rust version they require.
pub(crate) fn msrv(arguments: &[String]) -> Result<Outcome> {
    let latest = match arguments {
        [] => false,
        [flag] if flag == "--latest" => true,
        _ => return Err("usage: cargo xtask msrv [--latest]".into()),
    };
    let packages = workspace::packages()?;
    let core = find(&packages, "inferstream-core")?;
    let version = core
        .rust_version
        .as_deref()
        .ok_or("inferstream-core states no rust-version")?;
    let toolchains = stdout(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let Some(toolchain) = words(&toolchains).find(|name| name.starts_with(version)) else {
        return Ok(Outcome::Skipped(format!("Rust {version} is missing")));
    };
    // Uses rustup, because the running `cargo` belongs to another toolchain.
    let cargo = |line: &str| {
        let mut command = Command::new("rustup");
        command.args(["run", toolchain, "cargo"]).args(words(line));
        command
    };
    if latest {
        let folder = program(find(&packages, "inferstream")?)?;
        run(cargo("generate-lockfile").current_dir(&folder))?;
        run(cargo("check")
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", target()))?;
        return Ok(Outcome::Done);
    }
    // One command, because the libraries share what it builds.
    let mut command = cargo("check --lib --locked --all-features");
    for package in packages.iter().filter(|package| package.is_library()) {
        // The simulator and the program require a newer compiler, as stated in their manifests.
        if package.rust_version.as_deref() == Some(version) {
            command.args(["-p", &package.name]);
        }
    }
    run(command.current_dir(root()))?;
    Ok(Outcome::Done)
}

fn find<'a>(packages: &'a [Package], name: &str) -> Result<&'a Package> {
    let package = packages.iter().find(|package| package.name == name);
    package.ok_or_else(|| format!("no {name}").into())
}

/// Creates a program of edition 2021 that depends on the facade with all its features.
fn program(facade: &Package) -> Result<PathBuf> {
    let features = &facade.features;
    let folder = target().join("outside").join("outside-latest");
    let manifest = format!(
        "[package]\nname = \"outside-latest\"\nedition = \"2021\"\n\n\
         # Not a member of the workspace above.\n[workspace]\n\n\
         [dependencies]\ninferstream = {{ path = '{}', features = {features:?} }}\n",
        facade.folder.display(),
    );
    write(folder.join("Cargo.toml"), &manifest)?;
    write(folder.join("src/main.rs"), "fn main() {}\n")?;
    let lock = folder.join("Cargo.lock");
    if lock.exists() {
        fs::remove_file(lock)?;
    }
    Ok(folder)
}

/// Builds the libraries with the oldest direct dependencies that their manifests allow.
///
/// Builds a copy of the workspace, because this needs another lock file, and manifests without
/// dependencies of tests, which would raise the versions.
pub(crate) fn minimal(_: &[String]) -> Result<Outcome> {
    let folder = target().join("minimal");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let manifest = read(root().join("Cargo.toml"))?;
    let members = manifest.replace(
        "members = [\"crates/*\", \"tests\", \"tests/soak\", \"xtask\"]",
        "members = [\"crates/*\"]",
    );
    write(folder.join("Cargo.toml"), &members)?;
    let packages = workspace::packages()?;
    for package in packages.iter().filter(|package| package.is_published) {
        let name = package.folder.file_name().unwrap_or_default();
        let copy = folder.join("crates").join(name);
        copy_folder(&package.folder, &copy)?;
        let manifest = read(package.folder.join("Cargo.toml"))?;
        write(copy.join("Cargo.toml"), &without_tests(&manifest))?;
    }
    let in_copy = |line: &str| {
        let mut command = cargo(words(line));
        command
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", target().join("minimal-target"))
            // For an unstable option of cargo.
            .env("RUSTC_BOOTSTRAP", "1");
        command
    };
    run(&mut in_copy("update -Z direct-minimal-versions"))?;
    for package in packages.iter().filter(|package| package.is_library()) {
        run(in_copy("check --lib --all-features -p").arg(&package.name))?;
    }
    Ok(Outcome::Done)
}

/// Removes the dependencies of tests, and the tests and examples with settings of their own.
fn without_tests(manifest: &str) -> String {
    let mut keeps = true;
    let keep = |line: &&str| {
        if line.starts_with('[') {
            let is_test = ["dev-dependencies", "[[test]]", "[[example]]"];
            keeps = !is_test.iter().any(|table| line.contains(table));
        }
        keeps
    };
    let lines = manifest.lines().filter(keep);
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// Copies the sources of a crate.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(&name))?;
        } else if name != "tests" && name != "examples" && name != "target" {
            copy_folder(&entry.path(), &to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::without_tests;

    #[test]
    fn dependencies_of_tests_are_removed() {
        let manifest = "[dependencies]\na = \"1\"\n\n[dev-dependencies]\nb = \"1\"\n\n\
                        [target.'cfg(unix)'.dev-dependencies]\nc = \"1\"\n\n[[test]]\nname = \"d\"\n\n\
                        [lints]\nworkspace = true\n";
        let kept = "[dependencies]\na = \"1\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(without_tests(manifest), kept);
    }
}
