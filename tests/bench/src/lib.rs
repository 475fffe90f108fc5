//! The workloads and the decoders of the benchmarks.

pub mod chats;
pub mod decoders;
pub mod requests;
pub mod workloads;
