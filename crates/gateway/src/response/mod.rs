//! The encoding of responses as streams of chunks in OpenAI's protocol.

mod body;
mod calls;
mod chunks;
mod upstream;

pub(crate) use self::{
    body::{StreamBody, StreamSettings},
    upstream::Upstream,
};
