//! Import cycles between the files of a crate.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    run::{Result, read, root},
    workspace::Package,
};

/// A crate and the largest allowed cycle of files; crates that are not listed are not checked.
///
/// A cycle between files that share one set of types is harmless; one between a server and each of
/// its services is not.
const LARGEST: &[(&str, usize)] = &[("cloudflare", 1), ("replicate", 1), ("simulator", 1)];

/// The files of a crate by module path, which is empty for `lib.rs` and `main.rs`.
type Files = BTreeMap<Vec<String>, String>;

pub(crate) fn check(_: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (name, largest) in LARGEST {
        let mut files = Files::new();
        let source = root().join("crates").join(name).join("src");
        collect(&source, &mut Vec::new(), &mut files)?;
        broken.extend(faults(name, *largest, &files));
    }
    Ok(broken)
}

/// Adds the files below a folder, without tests and comments.
fn collect(folder: &Path, module: &mut Vec<String>, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if path.is_dir() {
            module.push(stem.to_owned());
            collect(&path, module, files)?;
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut name = module.clone();
            if !matches!(stem, "lib" | "main" | "mod") {
                name.push(stem.to_owned());
            }
            files.insert(name, code(&read(&path)?));
        }
    }
    Ok(())
}

fn code(text: &str) -> String {
    // Tests come last in a file, and `super` is the file itself there.
    let end = text.find("#[cfg(test)]\nmod tests {");
    let text = &text[..end.unwrap_or(text.len())];
    let lines = text.lines();
    lines
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

fn faults(name: &str, largest: usize, files: &Files) -> Vec<String> {
    let imports: BTreeMap<_, _> = files
        .iter()
        .map(|(module, text)| (module, imports(module, text, files)))
        .collect();
    let mut reachable: BTreeMap<&Vec<String>, Vec<&Vec<String>>> = BTreeMap::new();
    for start in files.keys() {
        let mut found = Vec::new();
        let mut next = vec![start];
        while let Some(module) = next.pop() {
            for import in &imports[module] {
                if !found.contains(import) {
                    found.push(import);
                    next.push(import);
                }
            }
        }
        reachable.insert(start, found);
    }
    let mut faults = Vec::new();
    let mut seen: Vec<&Vec<String>> = Vec::new();
    for (start, found) in &reachable {
        // Two files are in the same cycle if each reaches the other.
        let circle = files.keys();
        let circle =
            circle.filter(|other| found.contains(other) && reachable[other].contains(start));
        let circle: Vec<_> = circle.collect();
        if largest < circle.len() && !seen.contains(start) {
            let names: Vec<_> = circle.iter().map(|module| shown(module)).collect();
            faults.push(format!(
                "{name}: {} files import each other, more than {largest}: {}",
                circle.len(),
                names.join(", ")
            ));
            seen.extend(circle);
        }
    }
    faults
}

fn shown(module: &[String]) -> String {
    match module {
        [] => "lib".to_owned(),
        module => module.join("::"),
    }
}

/// Returns the files that a file refers to by a path.
fn imports<'a>(module: &[String], text: &str, files: &'a Files) -> Vec<&'a Vec<String>> {
    let mut found: Vec<&Vec<String>> = Vec::new();
    let mut add = |path: Vec<String>| {
        // The longest prefix of the path that is a file; the rest is an item in it.
        let ends = (0..=path.len()).rev();
        let file = ends.map(|end| files.get_key_value(&path[..end]));
        if let Some((file, _)) = file.flatten().next()
            && **file != *module
            && !found.contains(&file)
        {
            found.push(file);
        }
    };
    for (at, word) in words(text) {
        let base = match word {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            // A child module can be named without `self`.
            child if files.contains_key(&[module, &[child.to_owned()]].concat()) => {
                [module, &[child.to_owned()]].concat()
            }
            _ => continue,
        };
        let rest = &text[at + word.len()..];
        if rest.starts_with("::") && !text[..at].ends_with("::") {
            let mut paths = Vec::new();
            tree(&rest[2..], &base, &mut paths);
            paths.into_iter().for_each(&mut add);
        }
    }
    found
}

/// Returns each word with its position.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        at += text[at..].find(is_part)?;
        let start = at;
        at += text[at..].find(|c| !is_part(c)).unwrap_or(text.len() - at);
        Some((start, &text[start..at]))
    })
}

/// Parses one path, or each path of a list in braces, and returns the rest.
fn tree<'a>(text: &'a str, base: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => rest = tree(rest, base, paths),
            }
        }
    }
    let Some((0, word)) = words(text).next() else {
        // A glob, or something that is not a path.
        paths.push(base.to_vec());
        return text.get(1..).unwrap_or_default();
    };
    let rest = &text[word.len()..];
    let path = match word {
        "self" => base.to_vec(),
        "super" => base[..base.len().saturating_sub(1)].to_vec(),
        word => [base, &[word.to_owned()]].concat(),
    };
    if let Some(rest) = rest.strip_prefix("::") {
        return tree(rest, &path, paths);
    }
    paths.push(path);
    match rest.strip_prefix(" as ") {
        Some(alias) => alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::{Files, code, faults};

    #[track_caller]
    fn check(files: &[(&str, &str)], largest: usize, expected: &[&str]) {
        let files: Files = files
            .iter()
            .map(|(module, text)| {
                let names = module.split("::").filter(|name| !name.is_empty());
                (names.map(str::to_owned).collect(), code(text))
            })
            .collect();
        assert_eq!(faults("a", largest, &files), expected);
    }

    #[test]
    fn a_chain_of_imports_is_not_a_circle() {
        check(
            &[
                ("", "mod b;\nmod c;\npub use crate::b::B;\n"),
                ("b", "use crate::c::{self, C};\n"),
                ("c", "use std::fmt;\n"),
            ],
            1,
            &[],
        );
    }

    #[test]
    fn files_that_import_each_other_are_a_circle() {
        let expected = "a: 2 files import each other, more than 1: b, c::d";
        for (first, second) in [
            ("use crate::c::d::D;", "use crate::b::B;"),
            (
                "use crate::{x::X, c::{y, d::{D, E}}};",
                "use super::super::b;",
            ),
            ("fn f() { crate::c::d::g() }", "use crate::b as other;"),
            ("use crate::c::d::*;", "use crate::{c::y as z, b};"),
        ] {
            let files = [("b", first), ("c", "mod d;"), ("c::d", second)];
            check(&files, 1, &[expected]);
            check(&files, 2, &[]);
        }
    }

    #[test]
    fn a_parent_that_calls_its_child_imports_it() {
        check(
            &[
                ("b", "mod c;\nfn f() { c::g() }\n"),
                ("b::c", "use super::h;\n"),
            ],
            1,
            &["a: 2 files import each other, more than 1: b, b::c"],
        );
        // Declaring a module does not import it.
        check(&[("b", "mod c;\n"), ("b::c", "use super::h;\n")], 1, &[]);
    }

    #[test]
    fn tests_and_comments_are_not_imports() {
        check(
            &[
                ("b", "use crate::c::C;\n"),
                (
                    "c",
                    "/// See [`B`](crate::b::B).\n#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n",
                ),
            ],
            1,
            &[],
        );
    }
}
