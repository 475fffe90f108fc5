//! A report of checks: one line each on standard output, with a remedy where one fails.

use std::io::{self, Stdout, Write as _};

use crate::{exit::Failure, screen};

/// Prints checks as they are made, and counts those that failed.
#[derive(Debug)]
pub(crate) struct Report {
    stdout: Stdout,
    failed: usize,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self {
            stdout: io::stdout(),
            failed: 0,
        }
    }

    /// Prints a check that succeeded.
    pub(crate) fn ok(&mut self, what: &str, found: &str) -> io::Result<()> {
        self.line("ok  ", what, found)
    }

    /// Prints something that is not a failure and may need attention.
    pub(crate) fn note(&mut self, what: &str, found: &str) -> io::Result<()> {
        self.line("note", what, found)
    }

    /// Prints a check that failed, and what to do about it.
    pub(crate) fn fail(&mut self, what: &str, found: &str, remedy: &str) -> io::Result<()> {
        self.failed += 1;
        self.line("FAIL", what, found)?;
        writeln!(self.stdout, "      remedy: {}", screen::line(remedy))
    }

    fn line(&mut self, mark: &str, what: &str, found: &str) -> io::Result<()> {
        // Errors may contain text from a service.
        writeln!(self.stdout, "{mark}  {what}: {}", screen::line(found))
    }

    /// Returns an error if a check failed.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.stdout.flush()?;
        match self.failed {
            0 => Ok(()),
            _ => Err(Failure::Unhealthy),
        }
    }
}
