#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod gateway;
mod server;

mod chat;
mod kept;
mod models;
mod request;
mod response;
mod route;

mod guard;
mod key;
mod limit;

mod metrics;
mod page;
mod record;
mod trace;

mod head;
mod phase;
mod refusal;
mod socket;

pub use crate::{
    config::{Config, KeptResponses, KeyConfig, KeySource, Serve},
    gateway::Gateway,
    record::{Ending, Record},
    server::serve,
};
