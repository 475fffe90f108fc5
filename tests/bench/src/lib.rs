//! The workloads and the decoders of the benchmarks.

pub mod decoders;
pub mod workloads;
