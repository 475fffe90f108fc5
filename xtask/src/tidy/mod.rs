//! Checks of the project's conventions. Each takes the workspace and returns violations.

use crate::{
    audit,
    run::{Outcome, Result},
    workspace::{self, Package},
};

mod arrows;
mod circles;
mod faults;
mod files;
mod manifests;
mod phrases;
pub(crate) mod readme;
mod words;

pub(crate) use files::files_below;

/// A convention: its description and its check.
type Check = (&'static str, fn(&[Package]) -> Result<Vec<String>>);

const CHECKS: &[Check] = &[
    ("dependencies follow the design", arrows::check),
    (
        "files start with a doc comment, stay short, and lib.rs contains no functions",
        files::check,
    ),
    (
        "manifests take versions and lints from the workspace",
        manifests::check,
    ),
    (
        "the README has two set-up commands, and CI runs one of them",
        readme::check,
    ),
    ("files have no import cycles", circles::check),
    (
        "comments, strings, test names and Markdown contain no banned phrases",
        words::check,
    ),
    (
        "docs/dependencies.md is current, and no dependency is too old",
        audit::check,
    ),
    (
        "docs/faults.md has one row for each fault, and its tests exist",
        faults::check,
    ),
];

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let packages = workspace::packages()?;
    let mut broken = 0;
    for (rule, check) in CHECKS {
        let found = check(&packages)?;
        eprintln!("{} {rule}", if found.is_empty() { "ok  " } else { "FAIL" });
        for line in &found {
            eprintln!("     {line}");
        }
        broken += found.len();
    }
    if broken == 0 {
        Ok(Outcome::Done)
    } else {
        Err(format!("{broken} violations of the conventions").into())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        run::{cargo, succeeds},
        workspace,
    };

    #[track_caller]
    fn check(rule: super::Check) {
        // Another user may not be allowed to run the cargo that built the tests.
        if !succeeds(&mut cargo(["--version"])) {
            eprintln!("SKIPPED: cargo is missing: {}", rule.0);
            return;
        }
        let found = workspace::packages()
            .and_then(|packages| rule.1(&packages))
            .unwrap();
        assert!(found.is_empty(), "{}\n{}", rule.0, found.join("\n"));
    }

    #[test]
    fn the_arrows_hold() {
        check(super::CHECKS[0]);
    }

    #[test]
    fn the_files_are_tidy() {
        check(super::CHECKS[1]);
    }

    #[test]
    fn the_manifests_are_tidy() {
        check(super::CHECKS[2]);
    }

    #[test]
    fn the_readme_is_true_to_ci() {
        check(super::CHECKS[3]);
    }

    #[test]
    fn imports_have_no_circles() {
        check(super::CHECKS[4]);
    }

    #[test]
    fn prose_has_no_banned_phrases() {
        check(super::CHECKS[5]);
    }

    #[test]
    fn the_dependencies_are_described() {
        check(super::CHECKS[6]);
    }

    #[test]
    fn the_table_of_faults_is_current() {
        check(super::CHECKS[7]);
    }
}
