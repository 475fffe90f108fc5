#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod clock;
mod reply;
mod transport;

#[cfg(feature = "proptest")]
#[cfg_attr(docsrs, doc(cfg(feature = "proptest")))]
pub mod strategy;

pub use crate::{
    body::{Piece, Watch, body},
    clock::Clock,
    reply::Reply,
    transport::ScriptedTransport,
};
