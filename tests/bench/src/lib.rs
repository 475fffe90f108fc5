//! The workloads and the decoders of the benchmarks.

pub mod chats;
pub mod clients;
pub mod decoders;
pub mod requests;
pub mod server;
pub mod workloads;
