//! What goes wrong, and its name at a prompt.

use std::{error::Error as StdError, fmt, str::FromStr};

/// The names that [`Fault::from_str`] knows beside the statuses.
const NAMES: [(&str, Fault); 7] = [
    ("badjson", Fault::BadJson),
    ("close", Fault::CloseBeforeHead),
    ("cut", Fault::Cut),
    ("error", Fault::Error),
    ("silence", Fault::Silence),
    ("stall", Fault::Stall),
    ("truncate", Fault::Truncate),
];

/// One thing that goes wrong with one chat request.
///
/// Where a fault comes after a few tokens, those are tokens of the answer's text; the reasoning
/// before them is sent whole. An answer that is not a stream breaks in its middle.
///
/// A fault has a name, which [`FromStr`] reads and [`Display`](fmt::Display) writes:
/// `badjson`, `close`, `cut`, `error`, `silence`, `stall`, `truncate`, and a status from 400 to 599
/// by its number, with the value of `Retry-After` behind a colon: `429`, `429:2`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// A few tokens, then a chunk whose JSON is broken, then the rest of the answer.
    BadJson,
    /// The request is read, then the connection is closed without an answer.
    CloseBeforeHead,
    /// A few tokens and half an event, then the connection is closed: the body has no end.
    Cut,
    /// A few tokens, then the service's error object in the stream, then a clean end.
    ///
    /// Where no stream was asked for, the status is 500.
    Error,
    /// The request is read and never answered.
    Silence,
    /// A few tokens, then nothing more, with the connection open.
    Stall,
    /// A status that says no, with the service's body for it.
    Status {
        /// The status, from 400 to 599.
        status: u16,
        /// The value of the header `Retry-After`, sensible or not.
        retry_after: Option<String>,
    },
    /// A few tokens, then a clean end of the body, without finish reason and end marker.
    Truncate,
}

impl Fault {
    /// Returns true if the fault comes in the place of an answer, not within one.
    pub(crate) fn replaces_answer(&self) -> bool {
        matches!(
            self,
            Self::CloseBeforeHead | Self::Silence | Self::Status { .. }
        )
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        if let Some((_, fault)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(fault.clone());
        }
        let (status, retry_after) = match name.split_once(':') {
            Some((status, retry_after)) => (status, Some(retry_after.to_owned())),
            None => (name, None),
        };
        match status.parse() {
            Ok(status @ 400..=599) => Ok(Self::Status {
                status,
                retry_after,
            }),
            _ => Err(UnknownFault(name.to_owned())),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, fault)| fault == self) {
            return f.pad(name);
        }
        match self {
            Self::Status {
                status,
                retry_after: Some(retry_after),
            } => write!(f, "{status}:{retry_after}"),
            Self::Status { status, .. } => write!(f, "{status}"),
            _ => fmt::Debug::fmt(self, f),
        }
    }
}

/// A name that is no fault's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownFault(String);

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown fault {:?}; known are", self.0)?;
        for (name, _) in NAMES {
            write!(f, " {name},")?;
        }
        f.write_str(" a status from 400 to 599 such as 429, and 429:2 for one with Retry-After")
    }
}

impl StdError for UnknownFault {}
