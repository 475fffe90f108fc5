//! The command-line program `inferstream`.

mod args;
mod background;

mod chat;
mod config_command;
mod doctor;
#[cfg(all(feature = "browser", unix))]
mod login;
mod models;
mod simulate;
mod sse;

mod check;
mod config;
mod ending;
mod exit;
mod files;
mod inspect;
mod kind;
mod output;
mod prompt;
mod report;
mod runtime;
mod screen;
mod service;
mod spinner;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Chat(args) => chat::run(&args, cli.verbose),
        Command::Config(args) => config_command::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(all(feature = "browser", unix))]
        Command::Login(args) => login::run(&args),
        Command::Models(args) => models::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Sse(args) => sse::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(cli.verbose);
            failure.code()
        }
    }
}
