//! The settings of the playground's client.

use std::path::PathBuf;

use inferstream_client::{RetryBudgets, Setting, Settings, base_url};
use inferstream_core::{Error, Result, protocol::check_headers};
use inferstream_session::{CacheFile, Jar};

use super::{
    client::{Carrier, Playground},
    requests::{self, Refresher},
    session::Session,
};

/// The base URL of Cloudflare's playground.
const PLAYGROUND_URL: &str = "https://playground.ai.cloudflare.com";

/// The settings of the playground in a builder.
#[derive(Debug, Default)]
pub(crate) struct PlaygroundSettings {
    /// `None` for Workers AI.
    pub(crate) carrier: Option<Carrier>,
    pub(crate) session_file: Option<PathBuf>,
    pub(crate) forget_on_any_error: bool,
    pub(crate) refresh: Option<Refresher>,
}

impl PlaygroundSettings {
    /// Creates the client from these settings and those that all providers share.
    ///
    /// # Errors
    ///
    /// Returns `Config` if a URL or a header is invalid, or if there is no transport.
    pub(crate) fn build(self, settings: Settings) -> Result<Playground> {
        check_headers(&settings.headers)?;
        let url = settings.base_url.as_ref();
        let url = url.map_or(PLAYGROUND_URL, Setting::value);
        let base = base_url(url).map_err(|error| settings.explain_base(error))?;
        let uri = base.parse().map_err(|_| {
            Error::config(
                "invalid base URL: expected something like `https://playground.ai.cloudflare.com`",
            )
        })?;
        let mut session = Session::new(&uri, Jar::new(["cloudflare.com"]).trust_loopback());
        let mut warnings = Vec::new();
        match self.session_file.map(CacheFile::new) {
            None => {}
            Some(Ok(file)) => session = session.file(file),
            Some(Err(warning)) => warnings.push(warning),
        }
        if self.forget_on_any_error {
            session = session.forget_on_any_error();
        }
        let requests = requests::Settings {
            transport: settings.transport()?,
            base,
            headers: settings.headers,
            timeouts: settings.timeouts.unwrap_or_default(),
            retry: settings.retry,
            budgets: RetryBudgets::default(),
            session,
            refresh: self.refresh,
            warnings,
        };
        let carrier = self.carrier.unwrap_or_default();
        Ok(Playground::new(carrier, requests))
    }
}
