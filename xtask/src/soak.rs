//! The soak test in `tests/soak`.

use crate::run::{Outcome, Result, cargo, run, words};

/// Runs it in a release build. The arguments are its own.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    run(cargo(words("run --quiet --locked --release -p soak --")).args(arguments))?;
    Ok(Outcome::Done)
}
