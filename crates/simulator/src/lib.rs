#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod answer;
mod builder;
mod fault;
mod record;
mod server;

mod chat;
mod models;
mod route;

mod body;
mod reply;
mod script;
mod tls;

pub use crate::{
    answer::{Answer, Piece},
    builder::SimulatorBuilder,
    fault::{Fault, UnknownFault},
    record::Recorded,
    server::Simulator,
};
