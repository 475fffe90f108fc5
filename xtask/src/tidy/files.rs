//! Checks of each Rust file: its first line, its length, and no functions in `lib.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    run::{Result, read, root},
    workspace::Package,
};

/// The maximum number of lines without an exception.
const MAX_LINES: usize = 500;

/// The maximum number of lines of a test file.
const MAX_TEST_LINES: usize = 1000;

/// Longer files, each with its reason.
const LONG: &[(&str, &str)] = &[];

pub(crate) fn check(_: &[Package]) -> Result<Vec<String>> {
    let root = root();
    let mut broken = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        for path in files_below(&root.join(folder), &["rs"])? {
            let name = path
                .strip_prefix(&root)
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('\\', "/");
            broken.extend(faults(&name, &read(&path)?));
        }
    }
    Ok(broken)
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_top = matches!(file, "lib.rs" | "main.rs");
    let lines = text.lines().count();
    let has_reason = LONG.iter().any(|(long, _)| *long == name);
    let mut faults = Vec::new();
    if !is_top && !text.starts_with("//! ") {
        faults.push(format!("{name}: does not open with a `//!` line"));
    }
    if file == "lib.rs" {
        let logic = text.lines().position(is_function);
        faults.extend(logic.map(|at| format!("{name}:{}: a function in lib.rs", at + 1)));
    }
    let is_test = name.starts_with("tests/") || name.contains("/tests/");
    let most = if is_test { MAX_TEST_LINES } else { MAX_LINES };
    if most < lines && !has_reason {
        faults.push(format!(
            "{name}: {lines} lines, but at most {most} are allowed without a reason in tidy/files.rs"
        ));
    }
    faults
}

fn is_function(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//") && (line.starts_with("fn ") || line.contains(" fn "))
}

/// Returns the files with these extensions below a folder, except for build output and hidden folders.
pub(crate) fn files_below(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                files.extend(files_below(&path, extensions)?);
            }
        } else if path
            .extension()
            .is_some_and(|found| extensions.iter().any(|extension| found == *extension))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, MAX_TEST_LINES, faults};

    #[track_caller]
    fn check(name: &str, text: &str, count: usize) {
        let faults = faults(name, text);
        assert_eq!(faults.len(), count, "{faults:?}");
    }

    #[test]
    fn a_file_starts_with_a_doc_comment() {
        check("crates/core/src/text.rs", "//! A decoder of text.\n", 0);
        check("crates/core/src/text.rs", "use std::fmt;\n", 1);
        check(
            "crates/core/src/lib.rs",
            "#![doc = include_str!(\"../README.md\")]\n",
            0,
        );
    }

    #[test]
    fn lib_rs_has_no_logic() {
        check(
            "crates/core/src/lib.rs",
            "// A word on a fn here.\nmod text;\n",
            0,
        );
        check("crates/core/src/lib.rs", "pub fn text() {}\n", 1);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let lines = |count: usize| "//! Long.\n".repeat(count);
        check("crates/core/src/long.rs", &lines(MAX_LINES), 0);
        check("crates/core/src/long.rs", &lines(MAX_LINES + 1), 1);
        check("tests/it/long.rs", &lines(MAX_TEST_LINES), 0);
        check("tests/it/long.rs", &lines(MAX_TEST_LINES + 1), 1);
    }
}
