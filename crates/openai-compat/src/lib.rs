#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod chat;
mod dialect;

mod encode;
mod url;

mod framer;
mod surrogates;
mod wire;

mod decode;
mod tool_calls;

mod error;
mod models;
mod redact;

pub use crate::{
    chat::{Chat, Settings},
    decode::ChatDecode,
    dialect::Dialect,
    framer::Reply,
};
