//! A check of the table of faults, `docs/faults.md`: each fault has one row, and its tests exist.

use std::collections::BTreeMap;

use crate::{
    run::{Result, read, root},
    workspace::Package,
};

const TABLE: &str = "docs/faults.md";

/// The sections of the table, and the number of faults of each.
const SECTIONS: &[(char, u32)] = &[
    ('A', 14),
    ('B', 24),
    ('C', 17),
    ('D', 26),
    ('E', 12),
    ('F', 9),
    ('G', 16),
    ('H', 11),
    ('I', 13),
    ('J', 21),
    ('K', 8),
    ('M', 8),
];

/// The file whose tests are the entries of a macro.
const MACRO: &str = "tests/faults/wire.rs";

pub(crate) fn check(_: &[Package]) -> Result<Vec<String>> {
    let root = root();
    let table = read(root.join(TABLE))?;
    let mut files = BTreeMap::new();
    let mut has_test = |file: &str, name: &str| {
        let text = files
            .entry(file.to_owned())
            .or_insert_with(|| read(root.join(file)).unwrap_or_default());
        is_test(file, text, name)
    };
    let (tested, rows, faults) = faults(&table, &mut has_test);
    eprintln!(
        "     {rows} faults: {tested} with tests, {} without",
        rows - tested
    );
    Ok(faults)
}

/// Returns true if a file contains a function of this name, or an entry of its macro.
fn is_test(file: &str, text: &str, name: &str) -> bool {
    let function = format!("fn {name}(");
    let entry = format!("{name}: ");
    text.contains(&function)
        || file == MACRO
            && text
                .lines()
                .any(|line| line.trim_start().starts_with(&entry))
}

/// Returns the number of rows with a test, the number of rows, and what is wrong.
fn faults(
    table: &str,
    has_test: &mut impl FnMut(&str, &str) -> bool,
) -> (usize, usize, Vec<String>) {
    let mut expected = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |number| format!("{section}{number}")));
    let (mut tested, mut rows, mut faults) = (0, 0, Vec::new());
    for (at, line) in table.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", id, fault, outcome, tests, ""] = cells[..] else {
            if line.starts_with('|') {
                faults.push(format!("{TABLE}:{}: expected 4 cells", at + 1));
            }
            continue;
        };
        if id == "id" || id.starts_with("--") {
            continue;
        }
        rows += 1;
        let place = format!("{TABLE}:{}: {id}", at + 1);
        match expected.next() {
            Some(next) if next == id => {}
            Some(next) => faults.push(format!("{place}: expected the row of {next}")),
            None => faults.push(format!("{place}: expected no further row")),
        }
        if fault.is_empty() || outcome.is_empty() {
            faults.push(format!("{place}: expected a description and an outcome"));
        }
        if let Some(reason) = tests.strip_prefix("no test:") {
            if reason.trim().is_empty() {
                faults.push(format!("{place}: expected a reason"));
            }
            continue;
        }
        tested += 1;
        for test in tests.split(", ") {
            let found = test
                .strip_prefix('`')
                .and_then(|test| test.strip_suffix('`'))
                .and_then(|test| test.split_once("::"))
                .is_some_and(|(file, name)| has_test(file, name));
            if !found {
                faults.push(format!("{place}: there is no test {test}"));
            }
        }
    }
    faults.extend(expected.map(|id| format!("{TABLE}: {id} has no row")));
    (tested, rows, faults)
}

#[cfg(test)]
mod tests {
    use super::{SECTIONS, faults, is_test};

    /// Returns a table with a row for each fault.
    fn table() -> Vec<String> {
        let mut lines = vec!["| id | a | b | c |".to_owned(), "| --- | --- |".to_owned()];
        lines[1] = "| --- | --- | --- | --- |".to_owned();
        for (section, count) in SECTIONS {
            let rows = (1..=*count).map(|number| format!("| {section}{number} | x | y | `f::t` |"));
            lines.extend(rows);
        }
        lines
    }

    /// Returns what is wrong with a table whose only test is `f::t`.
    fn wrong(lines: &[String]) -> Vec<String> {
        faults(&lines.join("\n"), &mut |file, name| {
            file == "f" && name == "t"
        })
        .2
    }

    #[test]
    fn a_complete_table_is_valid() {
        assert_eq!(wrong(&table()), Vec::<String>::new());
        let mut lines = table();
        lines[2] = "| A1 | x | y | no test: it is slow |".to_owned();
        lines[3] = "| A2 | x | y | `f::t`, `f::t` |".to_owned();
        let (tested, rows, found) = faults(&lines.join("\n"), &mut |_, _| true);
        assert_eq!((tested, rows, found.len()), (178, 179, 0));
    }

    #[test]
    fn a_missing_a_repeated_and_an_unknown_row_are_found() {
        let mut lines = table();
        lines.remove(5);
        assert!(!wrong(&lines).is_empty());
        let mut lines = table();
        lines.insert(5, lines[5].clone());
        assert!(!wrong(&lines).is_empty());
        let mut lines = table();
        lines.push("| Z1 | x | y | `f::t` |".to_owned());
        assert!(wrong(&lines)[0].contains("Z1: expected no further row"));
        lines.truncate(3);
        assert!(
            wrong(&lines)
                .iter()
                .any(|fault| fault.ends_with("M8 has no row"))
        );
    }

    #[test]
    fn a_row_needs_tests_that_exist_or_a_reason() {
        for row in [
            "| A1 | x | y | `f::other` |",
            "| A1 | x | y | `g::t` |",
            "| A1 | x | y | `f::t`, `f::other` |",
            "| A1 | x | y | f::t |",
            "| A1 | x | y |  |",
            "| A1 | x | y | no test: |",
            "| A1 |  | y | `f::t` |",
            "| A1 | x | `f::t` |",
        ] {
            let mut lines = table();
            lines[2] = row.to_owned();
            assert!(!wrong(&lines).is_empty(), "{row}");
        }
    }

    #[test]
    fn a_test_is_a_function_or_an_entry_of_the_macro() {
        let wire = "faults! {\n    gzip: Gzip => fails(&[Invalid]);\n}\nasync fn other() {}";
        assert!(is_test("tests/faults/wire.rs", wire, "gzip"));
        assert!(is_test("tests/faults/wire.rs", wire, "other"));
        assert!(!is_test("tests/faults/wire.rs", wire, "zip"));
        assert!(!is_test("tests/it/main.rs", wire, "gzip"));
        assert!(!is_test("tests/it/main.rs", "// gone", "gone"));
    }
}
