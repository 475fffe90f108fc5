#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod answer;
mod builder;
mod counts;
mod error;
mod fault;
mod info;
mod record;
mod server;
mod table;

mod auth;
mod route;
mod shared;

mod chat;
mod models;
mod session;

mod replicate;

mod page;
mod playground;
mod proxy;
mod workers_ai;

mod body;
mod damage;
mod outcome;
mod reply;
mod script;
mod tasks;
mod tls;
mod wire;

mod content;
mod dice;
mod gzip;
mod prose;
mod sample;
mod speech;
mod tokens;
mod uri;

pub use crate::{
    answer::{Answer, Piece},
    builder::SimulatorBuilder,
    counts::Counts,
    fault::Fault,
    info::FaultInfo,
    playground::PlaygroundProtocol,
    proxy::{fault::ProxyFault, server::Proxy},
    record::Recorded,
    replicate::Resume,
    server::Simulator,
    session::CerebrasSession,
    table::UnknownFault,
    wire::fault::Wire,
};
