//! The note on the dependencies of a provider, `docs/dependencies.md`, and the oldest versions allowed.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    footprint,
    run::{Outcome, Result, cargo, read, root, stdout, words, write},
    tidy::files_below,
    workspace::Package,
};

/// The platform whose dependencies are listed: others need others.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The package whose dependencies are listed, with its default features.
const PACKAGE: &str = "inferstream-cerebras";

/// A dependency: its name, its purpose here, and its last advisory with the first fixed version.
///
/// The advisories are those of the `RustSec` database, looked up on 2026-11-30.
const NOTES: &[(&str, &str, &str)] = &[
    (
        "atomic-waker",
        "hyper-util: wakes the task of a connection",
        "",
    ),
    (
        "base64",
        "credentials of a proxy; keys and certificates",
        "RUSTSEC-2017-0004 (0.5.2)",
    ),
    (
        "bytes",
        "buffers of requests and responses",
        "RUSTSEC-2026-0007 (1.11.1)",
    ),
    ("bytestring", "text as a slice of a buffer", ""),
    ("cfg-if", "conditional compilation", ""),
    ("fastrand", "jitter of retries", ""),
    ("futures-channel", "hyper: channels", ""),
    ("futures-core", "the trait `Stream`", ""),
    (
        "futures-task",
        "hyper-util: tasks",
        "RUSTSEC-2020-0061 (0.3.6)",
    ),
    (
        "futures-util",
        "hyper-util: combinators",
        "RUSTSEC-2020-0062 (0.3.2)",
    ),
    (
        "getrandom",
        "ring: random numbers of the operating system",
        "",
    ),
    (
        "http",
        "requests, responses, headers, URLs",
        "RUSTSEC-2019-0034 (0.1.20)",
    ),
    ("http-body", "the trait of bodies", ""),
    ("http-body-util", "bodies in memory", ""),
    ("httparse", "hyper: the parser of HTTP/1 headers", ""),
    ("httpdate", "hyper and core: dates in headers", ""),
    ("hyper", "HTTP/1.1", "RUSTSEC-2022-0022 (0.14.12)"),
    (
        "hyper-util",
        "connections, and the handshakes of proxies",
        "",
    ),
    ("ipnet", "hyper-util: networks in `NO_PROXY`", ""),
    ("itoa", "numbers as text", ""),
    ("libc", "calls of the operating system", ""),
    ("memchr", "search for line ends and in text", ""),
    (
        "mio",
        "tokio: readiness of sockets",
        "RUSTSEC-2024-0019 (0.8.11)",
    ),
    (
        "once_cell",
        "rustls and tracing: values that are set once",
        "RUSTSEC-2019-0017 (1.0.1)",
    ),
    (
        "openssl-probe",
        "the places of the system's certificates",
        "",
    ),
    (
        "percent-encoding",
        "hyper-util: credentials in the URL of a proxy",
        "",
    ),
    ("pin-project-lite", "pinned fields", ""),
    ("proc-macro2", "build only: serde_derive", ""),
    ("quote", "build only: serde_derive", ""),
    (
        "ring",
        "the cryptography of TLS",
        "RUSTSEC-2025-0009 (0.17.12)",
    ),
    ("rustls", "TLS", "RUSTSEC-2026-0285 (0.23.45)"),
    ("rustls-native-certs", "the system's root certificates", ""),
    ("rustls-pki-types", "types of certificates and keys", ""),
    (
        "rustls-webpki",
        "verification of certificates",
        "RUSTSEC-2026-0104 (0.103.13)",
    ),
    ("serde", "JSON as Rust types", ""),
    ("serde_core", "the traits of serde", ""),
    (
        "serde_derive",
        "build only: derives the traits of serde",
        "",
    ),
    ("serde_json", "JSON", ""),
    ("simdutf8", "the check that text is UTF-8", ""),
    (
        "smallvec",
        "short lists without an allocation",
        "RUSTSEC-2021-0003 (1.6.1)",
    ),
    (
        "socket2",
        "options of sockets",
        "RUSTSEC-2020-0079 (0.3.16)",
    ),
    ("subtle", "comparison in constant time", ""),
    ("syn", "build only: serde_derive", ""),
    (
        "tokio",
        "sockets, timers, tasks",
        "RUSTSEC-2025-0023 (1.44.2)",
    ),
    (
        "tokio-rustls",
        "TLS on tokio's sockets",
        "RUSTSEC-2020-0019 (0.13.1)",
    ),
    (
        "tower-service",
        "the trait by which hyper-util connects",
        "",
    ),
    (
        "tracing",
        "hyper-util: traces",
        "RUSTSEC-2023-0078 (0.1.40)",
    ),
    ("tracing-core", "the core of tracing", ""),
    ("try-lock", "want: a lock", ""),
    ("unicode-ident", "build only: serde_derive", ""),
    (
        "untrusted",
        "ring: a reader of bytes",
        "RUSTSEC-2018-0001 (0.6.2)",
    ),
    ("want", "hyper: demand for a request", ""),
    ("webpki-roots", "Mozilla's root certificates", ""),
    ("zeroize", "rustls: erases keys from memory", ""),
    ("zmij", "serde_json: floating-point numbers as text", ""),
];

/// The first lines of the file.
const INTRODUCTION: &str = "\
# Dependencies

The crates by others that `inferstream-cerebras` builds with its default features on Linux.
The other providers build the same ones and few more; `cargo xtask footprint` prints the counts.

- *by*: the owner of the source repository.
- *unsafe*: how often the keyword occurs in the crate's source, including code for other platforms. `inferstream`'s own crates have `#![forbid(unsafe_code)]`.
- *build script*: whether the crate runs a program when it is built.
- *last advisory*: the newest entry of the RustSec database on 2026-11-30, with the first version that has the fix. `cargo xtask deny --fetch` compares the lock file with the current database.

`deny.toml` lists which licences, sources and versions may enter the tree.
`cargo xtask dependencies --update` writes this file, and `cargo xtask tidy` fails if it is not current.

";

/// Compares the file with the lock file, or writes it.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    if arguments.iter().any(|argument| argument == "--update") {
        write(path(), &document()?)?;
        return Ok(Outcome::Done);
    }
    let broken = check(&[])?;
    if broken.is_empty() {
        Ok(Outcome::Done)
    } else {
        Err(broken.join("\n").into())
    }
}

/// Checks the file, and the versions in the lock file against the oldest ones allowed.
pub(crate) fn check(_: &[Package]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    if read(path())? != document()? {
        broken.push(
            "docs/dependencies.md is not current: run `cargo xtask dependencies --update` and \
             review the difference"
                .to_owned(),
        );
    }
    let floors = read(root().join("deny.toml"))?;
    broken.extend(too_old(&floors, &read(root().join("Cargo.lock"))?));
    Ok(broken)
}

fn path() -> PathBuf {
    root().join("docs/dependencies.md")
}

fn document() -> Result<String> {
    let line = format!("tree --locked -e normal --prefix none --target {PLATFORM} -p {PACKAGE}");
    let tree = footprint::crates(&stdout(&mut cargo(words(&line)))?);
    let line = format!("metadata --locked --format-version 1 --filter-platform {PLATFORM}");
    let metadata: Value = serde_json::from_str(&stdout(&mut cargo(words(&line)))?)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice);
    let mut text = INTRODUCTION.to_owned();
    text.push_str(
        "| crate | version | purpose | by | licence | unsafe | build script | last advisory |\n",
    );
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    let mut described = BTreeSet::new();
    for package in packages.unwrap_or_default() {
        let (name, version) = (field(package, "name"), field(package, "version"));
        if name.starts_with("inferstream") || !tree.contains(&format!("{name} v{version}")) {
            continue;
        }
        let Some((_, purpose, advisory)) = NOTES.iter().find(|note| note.0 == name) else {
            return Err(format!(
                "{PACKAGE} builds {name}: describe it in xtask/src/audit.rs, or do without it"
            )
            .into());
        };
        described.insert(name);
        let licence = field(package, "license");
        let folder = Path::new(field(package, "manifest_path")).with_file_name("src");
        let count = match unsafe_count(&folder)? {
            0 => "none".to_owned(),
            count => count.to_string(),
        };
        let script = if has_build_script(package) { "yes" } else { "" };
        let by = owner(field(package, "repository"));
        writeln!(
            text,
            "| `{name}` | {version} | {purpose} | {by} | {licence} | {count} | {script} | {advisory} |"
        )?;
    }
    match NOTES.iter().find(|note| !described.contains(note.0)) {
        None => Ok(text),
        Some((name, ..)) => Err(format!(
            "{PACKAGE} no longer builds {name}: remove it from xtask/src/audit.rs"
        )
        .into()),
    }
}

fn field<'v>(package: &'v Value, name: &str) -> &'v str {
    package[name].as_str().unwrap_or_default()
}

/// Returns the owner of a repository: the first part of the path of its URL.
fn owner(repository: &str) -> &str {
    repository.split('/').nth(3).unwrap_or("unknown")
}

fn has_build_script(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    let mut kinds = targets.flat_map(|target| target["kind"].as_array().into_iter().flatten());
    kinds.any(|kind| kind == "custom-build")
}

/// Counts the keyword `unsafe` in the Rust files below a folder, except in comments.
fn unsafe_count(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for path in files_below(folder, &["rs"])? {
        // Some crates contain test data that is not UTF-8.
        let text = fs::read(path)?;
        let text = String::from_utf8_lossy(&text);
        count += text.lines().map(keywords).sum::<usize>();
    }
    Ok(count)
}

fn keywords(line: &str) -> usize {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    code.split(|char| !is_word(char))
        .filter(|word| *word == "unsafe")
        .count()
}

/// Returns the packages of a lock file that are older than `deny.toml` allows, which has lines such
/// as `{ crate = "bytes:<1.11.1", … }`.
fn too_old(deny: &str, lock: &str) -> Vec<String> {
    let mut old = Vec::new();
    for rule in deny.lines().filter_map(floor) {
        let mut lines = lock.lines();
        while lines.any(|line| line == format!("name = \"{}\"", rule.0)) {
            let version = lines.next().unwrap_or_default();
            let version = version.trim_start_matches("version = ").trim_matches('"');
            if parts(version) < parts(rule.1) {
                old.push(format!(
                    "Cargo.lock: {} {version} is older than {}, which deny.toml requires",
                    rule.0, rule.1
                ));
            }
        }
    }
    old
}

/// Returns the crate and its oldest version allowed, if a line of `deny.toml` states one.
fn floor(line: &str) -> Option<(&str, &str)> {
    let (_, rest) = line.split_once("crate = \"")?;
    let (spec, _) = rest.split_once('"')?;
    spec.split_once(":<")
}

fn parts(version: &str) -> Vec<u64> {
    let digits = version.split(['.', '-', '+']).take(3);
    digits
        .map(|part| part.parse().unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{floor, keywords, owner, too_old};

    #[test]
    fn the_owner_is_the_first_part_of_the_path() {
        assert_eq!(owner("https://github.com/rustls/rustls"), "rustls");
        assert_eq!(owner(""), "unknown");
    }

    #[test]
    fn comments_and_names_are_not_counted() {
        assert_eq!(keywords("unsafe { a() } // unsafe"), 1);
        assert_eq!(keywords("#![forbid(unsafe_code)]"), 0);
        assert_eq!(keywords("unsafe fn a(unsafe_b: u8) { unsafe {} }"), 2);
    }

    #[test]
    fn an_old_version_is_found_in_each_place() {
        let deny =
            "deny = [\n    { crate = \"a:<1.11.1\", reason = \"x\" },\n    { crate = \"b\" },\n]\n";
        assert_eq!(deny.lines().find_map(floor), Some(("a", "1.11.1")));
        let lock = |version: &str| format!("name = \"a\"\nversion = \"{version}\"\n");
        for (version, count) in [
            ("1.11.1", 0),
            ("1.12.0", 0),
            ("2.0.0", 0),
            ("1.11.0", 1),
            ("1.9.2", 1),
        ] {
            assert_eq!(too_old(deny, &lock(version)).len(), count, "{version}");
        }
        let both = lock("1.12.0") + "\n" + &lock("0.9.0") + "\nname = \"b\"\nversion = \"0.1.0\"\n";
        assert_eq!(too_old(deny, &both).len(), 1);
    }
}
