//! Checks of the README's commands, and that CI runs the ones it recommends.

use crate::{
    run::{Result, read, root},
    workspace::Package,
};

pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    let readme = read(root().join("README.md"))?;
    let ci = read(root().join(".ci/run"))?;
    let mut broken = faults(&readme, &ci);
    let unnamed = packages
        .iter()
        .filter(|package| package.is_library() && !readme.contains(&package.name));
    broken.extend(unnamed.map(|package| format!("README.md: does not name {}", package.name)));
    Ok(broken)
}

fn faults(readme: &str, ci: &str) -> Vec<String> {
    let commands: Vec<&str> = blocks(readme, "sh").collect::<Vec<_>>().concat();
    let [run, test] = commands.as_slice() else {
        return vec![format!(
            "README.md: {} set-up commands in `sh` blocks, not 2: {commands:?}",
            commands.len()
        )];
    };
    let mut faults = Vec::new();
    if !run.starts_with("cargo run ") {
        faults.push(format!(
            "README.md: the first command does not run the program: {run}"
        ));
    }
    if !ci.lines().any(|line| line == *test) {
        faults.push(format!(
            ".ci/run: does not call the README's test command: {test}"
        ));
    }
    faults
}

/// Returns the lines of each fenced block of a language.
pub(crate) fn blocks<'a>(markdown: &'a str, language: &str) -> impl Iterator<Item = Vec<&'a str>> {
    let mut lines = markdown.lines();
    let fence = format!("```{language}");
    std::iter::from_fn(move || {
        lines.find(|line| *line == fence)?;
        Some(lines.by_ref().take_while(|line| *line != "```").collect())
    })
}

#[cfg(test)]
mod tests {
    use super::faults;

    const README: &str = "# Name\n\n```sh\ncargo run -- chat\n```\n\n```text\nHello.\n```\n\n```sh\ncargo test\n```\n";

    #[test]
    fn two_commands_and_ci_runs_the_second() {
        assert_eq!(faults(README, "set -e\ncargo test\n"), [""; 0]);
        assert_eq!(faults(README, "set -e\ncargo test --lib\n").len(), 1);
        assert_eq!(faults("```sh\ncargo run\n```\n", "cargo test\n").len(), 1);
    }
}
