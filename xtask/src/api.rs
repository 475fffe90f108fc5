//! Snapshots of the public API of each library, and the comparison with them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    run::{Outcome, Result, cargo, read, root, run, stdout, succeeds, target, words, write},
    workspace::{self, Package},
};

/// The tool that lists a public API, in the version used for the snapshots.
const TOOL: &str = "cargo-public-api 0.52";

pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let update = match arguments {
        [] => false,
        [flag] if flag == "--update" => true,
        _ => return Err("usage: cargo xtask api [--update]".into()),
    };
    if !succeeds(&mut cargo(words("public-api --version"))) {
        let reason =
            format!("{TOOL} is missing: run cargo install --locked cargo-public-api@0.52.0");
        return Ok(Outcome::Skipped(reason));
    }
    let mut changed = Vec::new();
    let packages = workspace::packages()?;
    let packages: Vec<_> = packages
        .iter()
        .filter(|package| package.is_library())
        .collect();
    let descriptions = describe(&packages)?;
    for package in packages {
        let name = &package.name;
        let path = snapshot(name);
        let json = descriptions.join(name.replace('-', "_"));
        let new = list(&json.with_extension("json"))?;
        if update {
            write(&path, &new)?;
            continue;
        }
        let lines = difference(&read(&path).unwrap_or_default(), &new);
        if !lines.is_empty() {
            eprintln!("{name}:\n{}", lines.join("\n"));
            changed.push(name.as_str());
        }
    }
    if changed.is_empty() {
        Ok(Outcome::Done)
    } else {
        let changed = changed.join(", ");
        Err(format!(
            "the public API of {changed} changed: `cargo xtask api --update` updates the snapshot"
        )
        .into())
    }
}

/// Returns the path of a package's snapshot.
fn snapshot(package: &str) -> PathBuf {
    let name = match package.strip_prefix("inferstream-") {
        Some(name) => name,
        None => package,
    };
    root().join("api").join(format!("{name}.txt"))
}

/// Describes the public APIs of packages with all their features, as JSON, and returns its folder.
///
/// One command, because the packages share what it builds.
fn describe(packages: &[&Package]) -> Result<PathBuf> {
    // A separate target folder, because the variable would make cargo rebuild dependencies.
    let target = target().join("api");
    let mut command = cargo(words("doc --quiet --locked --lib --no-deps --all-features"));
    for package in packages {
        command.args(["-p", &package.name]);
    }
    let flags = "-Z unstable-options --output-format json --cap-lints allow";
    run(command
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTDOCFLAGS", flags)
        .env("RUSTC_BOOTSTRAP", "1"))?;
    Ok(target.join("doc"))
}

/// Lists the public API that a JSON description has.
fn list(json: &Path) -> Result<String> {
    // Blanket and auto trait implementations would hide the rest.
    stdout(cargo(words("public-api --color never -ss --rustdoc-json")).arg(json))
}

/// Returns the lines that only one of two listings contains, prefixed with `-` or `+`.
fn difference(old: &str, new: &str) -> Vec<String> {
    let lines = |text| str::lines(text).collect::<BTreeSet<_>>();
    let (before, after) = (lines(old), lines(new));
    let gone = before.difference(&after).map(|line| format!("-{line}"));
    let added = after.difference(&before).map(|line| format!("+{line}"));
    gone.chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn only_lines_that_changed_are_shown() {
        assert_eq!(difference("a\nb\n", "b\nc\n"), ["-a", "+c"]);
        assert_eq!(difference("a\nb\n", "a\nb\n"), [""; 0]);
        assert_eq!(difference("", "a\n"), ["+a"]);
    }
}
