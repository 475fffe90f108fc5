//! The summary of a batch.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use inferstream_batch::{Stopped, Summary};
use serde::Serialize;

use crate::output::{json_line, say};

/// What a run did, and what earlier runs had done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// The rows of the input, if it is a file.
    pub(super) total: Option<u64>,
    pub(super) complete_before: u64,
    pub(super) failed_before: u64,
    pub(super) summary: Summary,
}

#[derive(Serialize)]
struct Json<'a> {
    rows: Option<u64>,
    complete: u64,
    complete_before: u64,
    failed: u64,
    failed_before: u64,
    requests: u64,
    resumed: u64,
    maybe_paid_twice: u64,
    tokens: BTreeMap<&'a str, Tokens>,
    failures: BTreeMap<&'a str, Failures<'a>>,
    seconds: f64,
    stopped: Option<&'static str>,
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    output: u64,
}

#[derive(Serialize)]
struct Failures<'a> {
    count: u64,
    /// The message of the first.
    message: &'a str,
}

impl Counts {
    /// Returns the rows that remained at the beginning, if the input is a file.
    pub(super) fn remaining(&self) -> Option<u64> {
        let total = self.total?;
        Some(total.saturating_sub(self.complete_before + self.failed_before))
    }

    /// Returns the number of rows that failed, in this run or before.
    pub(super) fn failed(&self) -> u64 {
        self.summary.failed + self.failed_before
    }

    /// Prints the summary. As JSON it goes to standard output, unless that has the rows.
    pub(super) fn report(&self, json: bool, has_stdout: bool) -> io::Result<()> {
        if !json {
            for line in self.lines() {
                say(&line);
            }
            return Ok(());
        }
        let line = json_line(&self.json())?;
        if has_stdout {
            let mut stdout = io::stdout().lock();
            stdout.write_all(line.as_bytes())?;
            return stdout.flush();
        }
        io::stderr().lock().write_all(line.as_bytes())
    }

    fn lines(&self) -> Vec<String> {
        let summary = &self.summary;
        let (mut input, mut output) = (0, 0);
        for tokens in summary.tokens.values() {
            input += tokens.input;
            output += tokens.output;
        }
        let mut lines = vec![format!(
            "{} complete, {} failed; {} requests, {input} input and {output} output tokens in {:.1} s",
            summary.complete + self.complete_before,
            self.failed(),
            summary.requests,
            summary.elapsed.as_secs_f64(),
        )];
        if 0 < summary.resumed {
            lines.push(format!(
                "{} responses of an earlier run were resumed, without another request for them",
                summary.resumed
            ));
        }
        if 0 < summary.maybe_paid_twice {
            lines.push(format!(
                "{} rows may have been paid twice: they were under way when an earlier run ended, or their \
                 response was lost",
                summary.maybe_paid_twice
            ));
        }
        if let Some(message) = summary.commonest_failure() {
            lines.push(format!("most frequent failure: {message}"));
        }
        lines
    }

    fn json(&self) -> Json<'_> {
        let summary = &self.summary;
        let tokens = summary.tokens.iter().map(|(model, tokens)| {
            let (input, output) = (tokens.input, tokens.output);
            (model.as_str(), Tokens { input, output })
        });
        let failures = summary.failures.iter().map(|(code, (count, message))| {
            let count = *count;
            (code.as_str(), Failures { count, message })
        });
        Json {
            rows: self.total,
            complete: summary.complete,
            complete_before: self.complete_before,
            failed: summary.failed,
            failed_before: self.failed_before,
            requests: summary.requests,
            resumed: summary.resumed,
            maybe_paid_twice: summary.maybe_paid_twice,
            tokens: tokens.collect(),
            failures: failures.collect(),
            seconds: summary.elapsed.as_secs_f64(),
            stopped: summary.stopped.as_ref().map(word),
        }
    }
}

fn word(stopped: &Stopped) -> &'static str {
    match stopped {
        Stopped::Caller => "interrupted",
        Stopped::Input(_) => "input",
        Stopped::Key(_) => "key",
        Stopped::Output(_) => "output",
        Stopped::Quota(_) => "quota",
        Stopped::Unreachable(_) => "unreachable",
        _ => "other",
    }
}
