//! The `config` command: prints where the configuration file is.

use std::io::{self, Write as _};

use crate::{
    args::{Config as Args, ConfigCommand},
    config::Config,
    exit::Failure,
};

/// Runs the `config` command.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match &args.command {
        ConfigCommand::Path(args) => {
            let path = Config::path(args.config.as_deref())?;
            writeln!(stdout, "{}", path.display())?;
        }
    }
    Ok(stdout.flush()?)
}
