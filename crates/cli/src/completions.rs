//! Completion scripts and manual pages.

use std::{fs, io, path::Path};

use clap::{
    Arg, Command, CommandFactory as _,
    builder::{PossibleValue, PossibleValuesParser},
};
use clap_complete::Shell;
use inferstream::{
    Provider, cablyai::CablyAiBuilder, cerebras::CerebrasBuilder, cloudflare::CloudflareBuilder,
    replicate::ReplicateBuilder,
};
use inferstream_simulator::Fault;

use crate::{args::Cli, exit::Failure, kind::Kind};

/// Prints the completion script of a shell.
pub(crate) fn print(shell: Shell) -> Result<(), Failure> {
    let models = models()?;
    let faults: Vec<&str> = Fault::all()
        .filter_map(|fault| Some(fault.info()?.name))
        .collect();
    // The program accepts more than the script completes. Values are leaked because `clap` needs
    // `'static` ones and the program ends after it has printed the script.
    let complete = |arg: Arg, values: Vec<String>| {
        let values = values
            .into_iter()
            .map(|value| PossibleValue::new(&*value.leak()));
        arg.value_parser(PossibleValuesParser::new(values))
    };
    let mut command = Cli::command();
    for name in ["batch", "chat"] {
        command = command.mut_subcommand(name, |command| {
            command
                .mut_arg("model", |arg| complete(arg, models.clone()))
                .mut_arg("fault", |arg| {
                    complete(arg, faults.iter().map(ToString::to_string).collect())
                })
        });
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "inferstream", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(())
}

/// Returns the models that this version knows, as `provider/model`, and those of the default
/// provider also without it.
fn models() -> Result<Vec<String>, Failure> {
    // No request is sent, so any key and account will do.
    let cerebras = CerebrasBuilder::default().api_key("none").build()?;
    let mut models: Vec<String> = names(&cerebras).collect();
    let providers: [(Kind, Box<dyn Provider>); 4] = [
        (
            Kind::Cablyai,
            Box::new(CablyAiBuilder::default().api_key("none").build()?),
        ),
        (Kind::Cerebras, Box::new(cerebras)),
        (
            Kind::Cloudflare,
            Box::new(
                CloudflareBuilder::default()
                    .account_id("0".repeat(32))
                    .api_token("none")
                    .build()?,
            ),
        ),
        (
            Kind::Replicate,
            Box::new(ReplicateBuilder::default().api_key("none").build()?),
        ),
    ];
    for (kind, provider) in &providers {
        let name = kind.name();
        models.extend(names(&**provider).map(|model| format!("{name}/{model}")));
    }
    Ok(models)
}

fn names(provider: &dyn Provider) -> impl Iterator<Item = String> + use<> {
    provider.known_models().into_iter().map(|model| model.id)
}

/// Writes the manual pages, one per command.
pub(crate) fn write_manual(folder: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::Io(format!("writing to {}", folder.display()), error);
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(with_long_help(Cli::command()), folder).map_err(failed)
}

/// Describes all flags at length: manual pages omit the help of flags that short help hides.
fn with_long_help(command: Command) -> Command {
    let describe = |arg: Arg| match (arg.get_long_help(), arg.get_help().cloned()) {
        (None, Some(help)) => arg.long_help(help),
        _ => arg,
    };
    command.mut_args(describe).mut_subcommands(with_long_help)
}
