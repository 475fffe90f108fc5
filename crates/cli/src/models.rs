//! The `models` command.

use std::io::{self, IsTerminal as _, Write as _};

use inferstream::Error;

use crate::{
    args::Models,
    check,
    config::{Config, Route},
    exit::Failure,
    files::Files,
    output::print_json,
    runtime, screen,
    service::{Service, route},
    spinner::Spinner,
};

/// Requests the models and prints them.
pub(crate) fn run(args: &Models) -> Result<(), Failure> {
    let config = Config::load(args.service.config.as_deref())?;
    let route = Route::from(route(&config, &args.service, None)?.first().clone());
    check::flags(&route, &args.service)?;
    if let Some(fault) = args.service.fault.first() {
        return Err(Error::config(format!(
            "invalid fault `{fault}` for `models`: faults apply only to `chat`"
        ))
        .into());
    }
    let files = Files::read(&args.service)?;
    runtime::run(async |interrupt| {
        let service = Service::new(&route, &config, &args.service, files).await?;
        let mut spinner = Spinner::new();
        let models = interrupt
            .or(spinner.during(service.provider.models()))
            .await;
        spinner.stop();
        let models = models??;
        let is_terminal = io::stdout().is_terminal();
        let mut stdout = io::stdout().lock();
        if args.json {
            return Ok(print_json(&mut stdout, &models)?);
        }
        for model in &models {
            if is_terminal {
                writeln!(stdout, "{}", screen::line(&model.id))?;
            } else {
                writeln!(stdout, "{}", model.id)?;
            }
        }
        Ok(stdout.flush()?)
    })
}
