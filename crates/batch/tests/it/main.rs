//! Tests of batches on a scripted provider and a manual clock.

#![allow(clippy::unwrap_used)] // clippy allows it in tests only, not in their helpers

mod crash;
mod journal;
mod run;
mod support;
