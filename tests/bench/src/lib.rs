//! The workloads, the candidates and the clock of the benchmarks.

pub mod chats;
pub mod clients;
pub mod decoders;
pub mod requests;
pub mod server;
pub mod timing;
pub mod workloads;
