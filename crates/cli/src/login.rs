//! The `login` command: saves the session of a browser.

use std::time::Duration;

use inferstream::{
    Error,
    cloudflare::playground::{browser::Browser, file::CacheFile},
};

use crate::{args::Login, exit::Failure, output::say, runtime};

/// Runs the `login` command.
pub(crate) fn run(args: &Login) -> Result<(), Failure> {
    runtime::run(async |interrupt| {
        let failed = |warning: &dyn std::fmt::Display| Error::config(warning.to_string());
        let file = CacheFile::new(&args.session_file).map_err(|warning| failed(&warning))?;
        let mut browser = Browser::new(&args.page)
            .headless(args.headless)
            .timeout(Duration::from_secs(args.timeout));
        if let Some(program) = &args.browser {
            browser = browser.program(program);
        }
        say("opening the page in a browser; it closes when the page's check is complete");
        let session = interrupt.or(browser.session()).await??;
        let mut warnings = Vec::new();
        // A new session replaces the old one.
        let written = file.update(|_| Some(()), |_| Some(session.to_json()), &mut warnings);
        match (written, warnings.first()) {
            (false, Some(warning)) => Err(failed(warning).into()),
            (false, None) => Err(Error::config("cannot write the session file").into()),
            (true, _) => {
                let count = session.cookies.len();
                let path = args.session_file.display();
                say(&format!("saved {count} cookies to {path}"));
                Ok(())
            }
        }
    })
}
