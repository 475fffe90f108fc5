//! A page and a person before it in, a session's file out.

use std::time::Duration;

use inferstream::{
    Error,
    cloudflare::playground::{browser::Browser, file::CacheFile},
};

use crate::{args::Login, exit::Failure, output::say, runtime};

/// Opens the page, waits, and writes down what it gave.
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
        say("a browser opens the page; it closes by itself when the page's check is passed");
        let session = interrupt.or(browser.session()).await??;
        let mut warnings = Vec::new();
        // Whatever stands there is replaced: this is a new session.
        let written = file.update(|_| Some(()), |_| Some(session.to_json()), &mut warnings);
        match (written, warnings.first()) {
            (false, Some(warning)) => Err(failed(warning).into()),
            (false, None) => Err(Error::config("the session's file was not written").into()),
            (true, _) => {
                let count = session.cookies.len();
                let path = args.session_file.display();
                say(&format!("{count} cookies are kept in {path}"));
                Ok(())
            }
        }
    })
}
