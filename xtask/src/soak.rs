//! The soak test in `tests/soak`, and rounds of streams through the gateway.

use crate::run::{Outcome, Result, cargo, run, words};

/// Runs it in a release build. The arguments are its own.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    run(cargo(words("run --quiet --locked --release -p soak --")).args(arguments))?;
    Ok(Outcome::Done)
}

/// Prints the memory of a gateway over ten rounds of 1,000 streams.
pub(crate) fn rounds(_: &[String]) -> Result<Outcome> {
    let example = "run --quiet --locked --release -p inferstream-gateway --example rounds";
    run(&mut cargo(words(example)))?;
    Ok(Outcome::Done)
}
