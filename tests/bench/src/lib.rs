//! What is measured, and against what.

pub mod decoders;
pub mod workloads;
