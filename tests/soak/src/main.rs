//! A soak test: a server that fails as a seed says, and a client that checks every byte it gets.
//!
//! `cargo xtask soak` runs it; README.md describes what is checked.

mod checks;
mod client;
mod control;
mod escape;
mod expect;
mod http1;
mod options;
mod plan;
mod predictions;
mod report;
mod run;
mod script;
mod server;
mod text;
mod wire;

use std::process::ExitCode;

use crate::options::Options;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, [])) if first == "serve" => server::main(),
        _ => Options::parse(&arguments).and_then(|options| run::main(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
