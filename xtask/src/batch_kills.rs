//! The tests that kill `inferstream batch`, with many kills.

use crate::run::{Outcome, Result, cargo, run, words};

/// Runs them with 200 kills per service, or with the number that is given.
pub(crate) fn job(arguments: &[String]) -> Result<Outcome> {
    let kills = arguments.first().map_or("200", String::as_str);
    let test = words("test --locked -p inferstream-cli --test it -- batch_kills --nocapture");
    run(cargo(test).env("INFERSTREAM_BATCH_KILLS", kills))?;
    Ok(Outcome::Done)
}
