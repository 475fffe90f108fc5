//! An error and those before it in; one chain of sources out.

use std::{error::Error as StdError, fmt};

use inferstream_core::{Error, provider::OneLine};

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
    let mut line = cause.to_string();
    let mut below = cause.source();
    while let Some(cause) = below {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        below = cause.source();
    }
    OneLine(&line).to_string()
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
