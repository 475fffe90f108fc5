//! The building blocks of a protocol: requests checked, frames decoded, streams read.

pub use crate::{
    event::Events,
    request::check_headers,
    stream::{Decode, Ending, EventStream, Finish, Flow, Started, read_stream},
};
