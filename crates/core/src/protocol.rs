//! The building blocks of a protocol: requests checked, frames decoded, streams read.

pub use crate::{
    event::Events,
    json::{escaped_length, push_escaped},
    request::check_headers,
    stream::{Decode, Ending, EventStream, Finish, Flow, Started, read_stream},
};
