//! One chain of sources for the errors of several providers.

use std::{error::Error as StdError, fmt};

use inferstream_core::{Error, provider::OneLine};

/// Appends an earlier error to the end of an error's chain of sources.
///
/// Nothing can be appended to a source of a foreign type, so such a source is replaced by its text.
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

/// Formats a foreign error and its sources as one line.
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

/// The text of a foreign source, followed by the earlier error.
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
