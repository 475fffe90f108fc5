#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod answer;
mod builder;
mod fault;
mod record;
mod server;

mod route;

mod chat;
mod models;

mod replicate;

mod body;
mod reply;
mod script;
mod tls;

mod dice;
mod prose;
mod tokens;

pub use crate::{
    answer::{Answer, Piece},
    builder::SimulatorBuilder,
    fault::{Fault, UnknownFault},
    record::Recorded,
    replicate::{Counts, Resume},
    server::Simulator,
};
