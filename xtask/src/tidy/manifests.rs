//! Checks of the manifests, which are simple enough to read line by line.

use crate::{
    run::{Result, read, root},
    workspace::Package,
};

pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    let crates = root().join("crates");
    let mut broken = unsorted("Cargo.toml", &read(root().join("Cargo.toml"))?);
    for package in packages {
        let name = &package.name;
        let text = read(package.folder.join("Cargo.toml"))?;
        broken.extend(faults(name, &text));
        broken.extend(unsorted(name, &text));
        if !package.folder.starts_with(&crates) {
            continue;
        }
        let folder = package.folder.file_name().unwrap_or_default();
        if folder != name.strip_prefix("inferstream-").unwrap_or(name) {
            broken.push(format!("{name}: its folder is called {}", folder.display()));
        }
        if !package.folder.join("README.md").is_file() {
            broken.push(format!("{name}: no README.md"));
        }
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let copy = read(package.folder.join(licence)).unwrap_or_default();
            if copy != read(root().join(licence))? {
                broken.push(format!("{name}: {licence} is not a copy of the root's"));
            }
        }
        broken.extend(undescribed(name, &text));
    }
    Ok(broken)
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let takes_lints =
        entries(text).any(|(table, line)| table == "lints" && line == "workspace = true");
    if !takes_lints {
        faults.push(format!("{name}: no `[lints] workspace = true`"));
    }
    for (table, line) in entries(text).filter(|(table, _)| table.contains("dependencies")) {
        let takes_version =
            line.contains(".workspace = true") || line.contains("{ workspace = true");
        if !table.ends_with("dependencies") {
            faults.push(format!("{name}: [{table}]: write it as one line"));
        } else if line.contains('=') && !takes_version {
            faults.push(format!(
                "{name}: `{line}`: versions belong in the workspace's manifest"
            ));
        }
    }
    faults
}

/// The metadata that a published crate states for itself.
fn undescribed(name: &str, text: &str) -> Vec<String> {
    let is_stated = |key: &str| {
        let start = format!("{key} = ");
        entries(text).any(|(table, line)| table == "package" && line.starts_with(&start))
    };
    ["categories", "description", "keywords"]
        .into_iter()
        .filter(|key| !is_stated(key))
        .map(|key| format!("{name}: no `{key}` of its own"))
        .collect()
}

/// Dependencies are sorted, with those of this workspace first.
fn unsorted(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut last = ("", (false, ""));
    for (table, line) in entries(text).filter(|(table, _)| table.ends_with("dependencies")) {
        let Some((key, _)) = line.split_once([' ', '.', '=']) else {
            continue;
        };
        if !line.contains('=') {
            continue;
        }
        let order = (!key.starts_with("inferstream"), key);
        if table == last.0 && order < last.1 {
            faults.push(format!("{name}: [{table}]: {key} is not sorted"));
        }
        last = (table, order);
    }
    faults
}

/// Returns the lines of a manifest with their tables, without comments and blank lines.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut table = "";
    text.lines().map(str::trim).filter_map(move |line| {
        if let Some(header) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            table = header;
            return None;
        }
        (!line.is_empty() && !line.starts_with('#')).then_some((table, line))
    })
}

#[cfg(test)]
mod tests {
    use super::{faults, undescribed, unsorted};

    const LINTS: &str = "[lints]\nworkspace = true\n";

    #[track_caller]
    fn check(text: &str, count: usize) {
        let faults = faults("a", text);
        assert_eq!(faults.len(), count, "{faults:?}");
    }

    #[test]
    fn lints_come_from_the_workspace() {
        check(LINTS, 0);
        check("[lints.rust]\nmissing_docs = \"allow\"\n", 1);
    }

    #[test]
    fn versions_come_from_the_workspace() {
        check(
            &format!("{LINTS}[dependencies]\n# Why.\nbytes.workspace = true\n"),
            0,
        );
        check(
            &format!(
                "{LINTS}[dependencies]\nhyper = {{ workspace = true, features = [\"client\"] }}\n"
            ),
            0,
        );
        check(&format!("{LINTS}[dependencies]\nbytes = \"1\"\n"), 1);
        check(
            &format!("{LINTS}[dev-dependencies]\nbytes = {{ version = \"1\" }}\n"),
            1,
        );
        check(
            &format!("{LINTS}[dependencies.bytes]\nversion = \"1\"\n"),
            1,
        );
    }

    #[test]
    fn a_crate_describes_itself() {
        let text = "[package]\ndescription = \"A\"\nkeywords = []\ncategories.workspace = true\n";
        assert_eq!(undescribed("a", text).len(), 1);
    }

    #[test]
    fn dependencies_are_sorted_and_ours_come_first() {
        let sorted = "[dependencies]\ninferstream-core.workspace = true\nbytes.workspace = true\n";
        let late = "[dependencies]\nbytes.workspace = true\ninferstream-core.workspace = true\n";
        assert!(unsorted("a", sorted).is_empty());
        assert_eq!(unsorted("a", late).len(), 1);
    }
}
