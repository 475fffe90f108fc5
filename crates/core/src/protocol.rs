//! The building blocks of a protocol: requests checked, frames decoded, streams read.

pub use crate::{
    event::Events,
    request::check_headers,
    status::retry_after,
    stream::{Decode, Ending, EventStream, Finish, Flow, Started, read_stream},
};
