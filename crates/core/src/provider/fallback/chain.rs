//! An error and those before it in; one chain of sources out.

use std::{error::Error as StdError, fmt};

use crate::error::Error;

/// Puts an earlier error at the end of an error's sources.
///
/// A chain goes on only where its links are ours: below a cause that is not, nothing can be put, and
/// so such a cause becomes a line.
pub(super) fn after(error: Error, earlier: Error) -> Error {
    let below = match error.source() {
        None => return error.with_source(earlier),
        Some(source) => match (source.downcast_ref(), source.downcast_ref::<Cause>()) {
            (Some(own), _) => return error.clone().with_source(after(Error::clone(own), earlier)),
            (_, Some(cause)) => Cause {
                line: cause.line.clone(),
                earlier: after(cause.earlier.clone(), earlier),
            },
            _ => Cause {
                line: line(source),
                earlier,
            },
        },
    };
    error.with_source(below)
}

/// Returns an error that is not ours, and what is below it, as a line.
fn line(cause: &dyn StdError) -> String {
    let mut line = one_line(cause);
    let mut below = cause.source();
    while let Some(cause) = below {
        line.push_str(": ");
        line.push_str(&one_line(cause));
        below = cause.source();
    }
    line
}

/// Returns what an error says, without the ends of lines that who made it may have put in.
fn one_line(error: &dyn StdError) -> String {
    let text = error.to_string();
    let parts = text.split(char::is_control).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(" ")
}

/// What is below an error, as a line, and then the error before that one.
#[derive(Debug)]
struct Cause {
    line: String,
    earlier: Error,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.earlier)
    }
}
