//! The models of a provider.

use std::io::{self, Write as _};

use crate::{
    args::Models,
    exit::Failure,
    files::Files,
    output::print_json,
    runtime,
    service::{Service, route},
    spinner::Spinner,
};

/// Asks for the models, and prints them.
pub(crate) fn run(args: &Models) -> Result<(), Failure> {
    let (name, _) = route(args.service.provider, None);
    let files = Files::read(name, &args.service)?;
    runtime::run(async |interrupt| {
        let service = Service::new(name, &args.service, files).await?;
        let mut spinner = Spinner::new();
        let models = interrupt
            .or(spinner.during(service.provider.models()))
            .await;
        spinner.stop();
        let models = models??;
        let mut stdout = io::stdout().lock();
        if args.json {
            return Ok(print_json(&mut stdout, &models)?);
        }
        for model in &models {
            writeln!(stdout, "{}", model.id)?;
        }
        Ok(stdout.flush()?)
    })
}
