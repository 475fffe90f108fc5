//! The number of crates that a user builds, checked against the limits.

use std::collections::BTreeSet;

use crate::run::{Outcome, Result, cargo, stdout, words};

/// The maximum number of crates, including itself, that a user of a package builds, by package and
/// features.
///
/// The minimum for a client on hyper and rustls is about 40; the smallest comparable client has
/// 127.
const LIMITS: &[(&str, &str, usize)] = &[
    ("inferstream-core", "", 16),
    ("inferstream-compose", "", 18),
    ("inferstream-chat-json", "", 22),
    ("inferstream-batch", "", 50),
    ("inferstream-session", "--all-features", 26),
    ("inferstream-openai-compat", "", 23),
    ("inferstream-openai-compat", "--features transport", 68),
    ("inferstream-cablyai", "--no-default-features", 24),
    ("inferstream-cablyai", "", 64),
    ("inferstream-core", "--features tracing", 20),
    ("inferstream-cerebras", "--no-default-features", 24),
    ("inferstream-cerebras", "", 64),
    ("inferstream-cerebras", "--features gzip", 74),
    ("inferstream-replicate", "--no-default-features", 24),
    ("inferstream-replicate", "", 64),
    ("inferstream-cloudflare", "--no-default-features", 27),
    ("inferstream-cloudflare", "", 72),
    ("inferstream-cloudflare", "--features playground-agent", 82),
    ("inferstream", "--features cerebras", 70),
    ("inferstream", "--features cerebras,tracing", 74),
    (
        "inferstream",
        "--features cablyai,cerebras,cloudflare,openai-compat,replicate",
        76,
    ),
];

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let mut over = Vec::new();
    for &(package, features, limit) in LIMITS {
        let crates = count(package, features)?;
        let what = [package, features].join(" ");
        eprintln!("{:>4} crates of {limit} allowed: {what}", crates.len());
        if crates.len() > limit {
            let names: Vec<&str> = crates.iter().map(String::as_str).collect();
            over.push(format!(
                "{what}: {} crates: {}",
                crates.len(),
                names.join(", ")
            ));
        }
    }
    if over.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(over.join("\n").into())
    }
}

fn count(package: &str, features: &str) -> Result<BTreeSet<String>> {
    let line = format!("tree --locked -e normal --prefix none -p {package} {features}");
    Ok(crates(&stdout(&mut cargo(words(&line)))?))
}

/// Returns each crate once, as `name version`, without the markers of `cargo tree`.
pub(crate) fn crates(tree: &str) -> BTreeSet<String> {
    let crate_of = |line: &str| {
        let mut words = words(line);
        Some(format!("{} {}", words.next()?, words.next()?))
    };
    tree.lines().filter_map(crate_of).collect()
}

#[cfg(test)]
mod tests {
    use super::crates;

    #[test]
    fn a_crate_counts_once_whatever_its_marks() {
        let tree =
            "a v1.0.0 (/somewhere)\nb v0.1.0\nc v1.0.0 (proc-macro)\nb v0.1.0 (*)\n\nb v0.2.0\n";
        let names: Vec<String> = crates(tree).into_iter().collect();
        assert_eq!(names, ["a v1.0.0", "b v0.1.0", "b v0.2.0", "c v1.0.0"]);
    }
}
