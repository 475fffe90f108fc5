//! The figures of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::plan::{Fault, Protocol};

/// The result of one stream without a violation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) events: u64,
    pub(crate) bytes: usize,
    pub(crate) dropped: bool,
    pub(crate) error: Option<&'static str>,
    pub(crate) fault: Option<Fault>,
    pub(crate) late: usize,
    pub(crate) protocol: Protocol,
    pub(crate) time: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) streams: u64,
    pub(crate) events: u64,
    bytes: u64,
    successes: u64,
    dropped: u64,
    /// Streams with text after the finish reason.
    late: u64,
    protocols: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    errors: BTreeMap<&'static str, u64>,
    longest: Duration,
}

impl Report {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.streams += 1;
        self.events += outcome.events;
        self.bytes += u64::try_from(outcome.bytes).unwrap_or(u64::MAX);
        self.late += u64::from(0 < outcome.late);
        *self.protocols.entry(outcome.protocol.name()).or_default() += 1;
        if let Some(fault) = outcome.fault {
            *self.faults.entry(fault.name()).or_default() += 1;
        }
        match outcome.error {
            Some(kind) => *self.errors.entry(kind).or_default() += 1,
            None if outcome.dropped => self.dropped += 1,
            None => self.successes += 1,
        }
        self.longest = self.longest.max(outcome.time);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<&'static str, u64>| {
            let counts: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect();
            counts.join(", ")
        };
        let sum = |counts: &BTreeMap<&'static str, u64>| counts.values().sum::<u64>();
        writeln!(f, "events      {}", self.events)?;
        writeln!(f, "streams     {}: {}", self.streams, list(&self.protocols))?;
        writeln!(f, "bytes       {}", self.bytes)?;
        writeln!(
            f,
            "faults      {}: {}",
            sum(&self.faults),
            list(&self.faults)
        )?;
        writeln!(f, "late text   {}", self.late)?;
        writeln!(f, "successes   {}", self.successes)?;
        writeln!(f, "dropped     {}", self.dropped)?;
        writeln!(
            f,
            "errors      {}: {}",
            sum(&self.errors),
            list(&self.errors)
        )?;
        writeln!(f, "longest     {} ms", self.longest.as_millis())
    }
}
