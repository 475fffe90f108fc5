//! What a batch has done: while it runs, and at its end.

use std::{collections::BTreeMap, io, time::Duration};

use inferstream_core::{Error, Usage};

use crate::failure::Failure;

/// The tokens of responses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tokens {
    /// Tokens of prompts.
    pub input: u64,
    /// Tokens of responses.
    pub output: u64,
}

impl Tokens {
    pub(crate) fn add(&mut self, usage: &Usage) {
        self.input += usage.input_tokens.unwrap_or(0);
        self.output += usage.output_tokens.unwrap_or(0);
    }
}

/// The state of a running batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Rows with a complete response.
    pub complete: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Requests in flight.
    pub in_flight: usize,
    /// How many requests may be in flight at the moment.
    pub limit: usize,
    /// How often the service refused a request because of a limit or its load.
    pub refused: u64,
    /// The tokens of all responses.
    pub tokens: Tokens,
    /// How long no request begins, because the service asked for it or cannot be reached.
    pub wait: Duration,
}

/// The reason why a batch ended before its rows did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// The caller used [`Stop`](crate::Stop).
    Caller,
    /// Reading the rows failed.
    Input(io::Error),
    /// The service refused the key: all other rows would fail in the same way.
    Key(Error),
    /// Writing the responses failed, for example because the disk is full.
    Output(io::Error),
    /// The account's quota is used up.
    Quota(Error),
    /// The service could not be reached for too long.
    Unreachable(Error),
}

/// What a batch has done.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Rows with a complete response.
    pub complete: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Requests for a response that were sent.
    pub requests: u64,
    /// Responses of an earlier run that were resumed by their id, without another request for them.
    pub resumed: u64,
    /// Requests that were sent although an earlier one of the same row may have been processed, so
    /// that the row may have been billed twice.
    pub maybe_paid_twice: u64,
    /// The tokens of the responses, by model.
    pub tokens: BTreeMap<String, Tokens>,
    /// How many rows failed, by the code of the failure, with the message of the first.
    pub failures: BTreeMap<String, (u64, String)>,
    /// The time that the batch took.
    pub elapsed: Duration,
    /// Why the batch ended before its rows did.
    pub stopped: Option<Stopped>,
}

impl Summary {
    /// Returns the message of the most frequent failure.
    pub fn commonest_failure(&self) -> Option<&str> {
        let failures = self.failures.values();
        let commonest = failures.max_by_key(|(count, _)| *count);
        commonest.map(|(_, message)| message.as_str())
    }

    pub(crate) fn add_failure(&mut self, failure: &Failure) {
        self.failed += 1;
        let entry = self.failures.entry(failure.code.clone());
        let (count, _) = entry.or_insert_with(|| (0, failure.message.clone()));
        *count += 1;
    }
}
