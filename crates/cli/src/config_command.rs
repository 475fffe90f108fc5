//! The `config` command: prints where the configuration file is, or checks it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use crate::{config::Config, exit::Failure, inspect, kind::Kind, report::Report, service};

#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads the file and the keys that it names, and prints what is in force, without keys
    Check(ConfigFile),
    /// Prints the path of the configuration file, which need not exist
    Path(ConfigFile),
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file [default: in the platform's configuration folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the `config` command.
pub(crate) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    match &args.command {
        ConfigCommand::Check(file) => check(&Config::load(file.config.as_deref())?),
        ConfigCommand::Path(file) => {
            let path = Config::path(file.config.as_deref())?;
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{}", path.display())?;
            Ok(stdout.flush()?)
        }
    }
}

/// Reports what is in force, and reads every key. Sends nothing.
fn check(config: &Config) -> Result<(), Failure> {
    let mut report = Report::new();
    inspect::configuration(&mut report, config)?;
    for name in config.providers.keys() {
        let Some(target) = config.target(name) else {
            continue;
        };
        let settings = config.settings(name);
        inspect::key(
            &mut report,
            name,
            &config.key_origin(&target),
            settings.as_ref().err(),
        )?;
        let Ok(settings) = settings else {
            continue;
        };
        let at = match &settings.base_url {
            None if target.kind == Kind::OpenaiCompat => " at OPENAI_COMPAT_BASE_URL".to_owned(),
            None => String::new(),
            Some(url) => format!(" at {url}"),
        };
        match settings.build(target.kind, service::plain_transport()?) {
            // The client has refused a URL with a password.
            Ok(_) => report.ok(
                &format!("{name} settings"),
                &format!("{}{at}", target.kind.name()),
            )?,
            Err(error) => {
                let remedy = format!("correct [providers.{name}]");
                report.fail(&format!("{name} settings"), &error.to_string(), &remedy)?;
            }
        }
    }
    report.end()
}
