//! Snapshots of the public API of each library, and the comparison with them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{
    run::{Outcome, Result, cargo, read, root, run, stdout, succeeds, target, words, write},
    workspace,
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
    for package in packages.iter().filter(|package| package.is_library()) {
        let name = &package.name;
        let path = snapshot(name);
        let new = list(name)?;
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

/// Lists the public API of a package with all its features.
fn list(package: &str) -> Result<String> {
    // A separate target folder, because the variable would make cargo rebuild dependencies.
    let target = target().join("api");
    let line = format!(
        "rustdoc --quiet --locked --lib --all-features -p {package} -- \
         -Z unstable-options --output-format json --cap-lints allow"
    );
    run(cargo(words(&line))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_BOOTSTRAP", "1"))?;
    let json = target.join("doc").join(package.replace('-', "_"));
    public_api(&json.with_extension("json"))
}

fn public_api(json: &Path) -> Result<String> {
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
