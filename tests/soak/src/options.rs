//! The options of the command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The reason for a failed run.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What to run, and for how long.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// The only stream to run.
    pub(crate) stream: Option<u64>,
    pub(crate) until: Until,
    /// The number of streams at once.
    pub(crate) at_once: usize,
}

/// When no further round of streams is started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    Events(u64),
    Streams(u64),
}

const USAGE: &str = "usage: soak [--seed N] [--stream N | --streams N | --events N | --seconds N] \
                     [--at-once N]";

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            seed: today(),
            stream: None,
            until: Until::Elapsed(Duration::from_secs(30)),
            at_once: 64,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let number: Option<u64> = rest.next().and_then(|value| value.parse().ok());
            let number = number.ok_or_else(|| format!("invalid `{name}`: {USAGE}"))?;
            match name.as_str() {
                "--seed" => options.seed = number,
                "--stream" => options.stream = Some(number),
                "--streams" => options.until = Until::Streams(number),
                "--events" => options.until = Until::Events(number),
                "--seconds" => options.until = Until::Elapsed(Duration::from_secs(number)),
                "--at-once" => options.at_once = usize::try_from(number)?.max(1),
                _ => return Err(format!("invalid `{name}`: {USAGE}").into()),
            }
        }
        Ok(options)
    }
}

/// The number of days since 1970, so that each day has its own seed.
fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() / 86_400)
}
