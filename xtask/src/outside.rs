//! The README's program, built as a user would: outside this workspace, with one dependency.

use std::{env, fs};

use crate::{
    run::{
        Outcome, Result, build_program, cargo, read, root, start_simulator, stdout, target, words,
        write,
    },
    tidy::readme,
};

/// A program outside the workspace: its name, its dependency, and the path of the provider in it.
const PROGRAMS: &[(&str, &str, &str)] = &[
    (
        "outside-cerebras",
        "inferstream-cerebras = { path = 'ROOT/crates/cerebras' }",
        "inferstream_cerebras",
    ),
    (
        "outside-facade",
        "inferstream = { path = 'ROOT/crates/inferstream', features = ['cerebras'] }",
        "inferstream::cerebras",
    ),
];

pub(crate) fn job(_: &[String]) -> Result<Outcome> {
    let text = read(root().join("README.md"))?;
    let blocks: Vec<_> = readme::blocks(&text, "rust").collect();
    let example = blocks
        .first()
        .ok_or("README.md has no `rust` block")?
        .join("\n")
        + "\n";
    let program = build_program()?;
    let (_simulator, url) = start_simulator(&program, "--tps 0")?;

    let mut printed = Vec::new();
    for (name, dependency, path) in PROGRAMS {
        let source = example.replace("inferstream_cerebras", path);
        let output = build_and_run(name, dependency, &source, &url)?;
        eprintln!("{name} printed {} bytes", output.len());
        printed.push(output);
    }
    match printed.as_slice() {
        [one, _] if one.trim().is_empty() => Err("the program printed nothing".into()),
        [one, two] if one != two => Err(format!("the responses differ:\n{one}\n{two}").into()),
        _ => Ok(Outcome::Done),
    }
}

fn build_and_run(name: &str, dependency: &str, source: &str, url: &str) -> Result<String> {
    let folder = target().join("outside").join(name);
    // TOML literal strings accept Windows paths unchanged.
    let dependency = dependency.replace("ROOT", &root().display().to_string());
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n\
         # Not a member of the workspace above.\n[workspace]\n\n\
         [dependencies]\n{dependency}\ntokio = {{ version = \"1\", features = [\"macros\", \"rt\"] }}\n\n\
         # The same profile, so that existing build output is reused.\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n"
    );
    write(folder.join("Cargo.toml"), &manifest)?;
    write(folder.join("src/main.rs"), source)?;
    // Use this workspace's lock file: no versions are resolved, and existing build output is
    // reused.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;

    let mut command = cargo(words("build --quiet"));
    command
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target());
    crate::run::run(&mut command)?;
    let binary = target()
        .join("debug")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let mut command = std::process::Command::new(binary);
    command
        .env("CEREBRAS_API_KEY", "outside")
        .env("CEREBRAS_BASE_URL", url)
        .env("NO_PROXY", "127.0.0.1");
    stdout(&mut command)
}
