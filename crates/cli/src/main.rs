//! The command-line program `inferstream`.

mod args;
mod background;
mod batch_args;
mod chat_args;

mod batch;
mod chat;
mod completions;
mod config_command;
mod doctor;
mod interactive;
#[cfg(all(feature = "browser", unix))]
mod login;
mod models;
#[cfg(feature = "serve")]
mod serve;
mod simulate;
mod sse;

mod check;
mod config;
mod conversation;
mod ending;
mod exit;
mod files;
mod images;
mod inspect;
mod kind;
mod limit;
mod output;
mod printer;
mod prompt;
mod report;
mod request;
mod runtime;
mod schema;
mod screen;
mod service;
mod spinner;
mod tools;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Batch(args) => batch::run(&args),
        Command::Chat(args) if interactive::is_wanted(&args) => {
            interactive::run(&args, cli.verbose)
        }
        Command::Chat(args) => chat::run(&args, cli.verbose),
        Command::Completions { shell } => completions::print(shell),
        Command::Config(args) => config_command::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(all(feature = "browser", unix))]
        Command::Login(args) => login::run(&args),
        Command::Man { folder } => completions::write_manual(&folder),
        Command::Models(args) => models::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(&args),
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
