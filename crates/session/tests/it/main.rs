//! The session file on Unix: one process, several processes, and crashes.

#![cfg(unix)]
#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod crash;
mod file;
mod kills;
mod processes;
