#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod request;

mod response;
mod usage;

mod error;

pub use crate::{
    error::ApiError,
    request::{Incoming, Members, read_message, read_request},
    response::{Identity, finish_reason, random_id, write_response},
    usage::usage_json,
};
