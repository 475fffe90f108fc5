//! Timeouts of flags and of the configuration, in seconds.

use std::time::Duration;

use serde::Deserialize;

/// A timeout, or `None` if it is disabled.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Limit {
    /// Parses the value of a flag.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let seconds = text.parse::<f64>();
        let seconds = seconds.map_err(|_| "expected a number of seconds")?;
        match Duration::try_from_secs_f64(seconds) {
            Ok(Duration::ZERO) => Ok(Self(None)),
            Ok(limit) => Ok(Self(Some(limit))),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl TryFrom<f64> for Limit {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        Self::parse(&seconds.to_string()).map_err(|reason| format!("invalid timeout: {reason}"))
    }
}
