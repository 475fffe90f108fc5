//! The building blocks of a protocol: check and encode requests, decode frames, read streams.

pub use crate::{
    budget::RetryBudget,
    event::Events,
    json::{escaped_length, push_escaped},
    request::{check_headers, is_credential},
    stream::{Decode, Ending, EventStream, Finish, Flow, Started, read_stream},
};
