//! The encoding of responses in OpenAI's protocol: as a stream of chunks, or as one document.

mod body;
mod calls;
mod chunks;
mod upstream;
mod usage;
mod whole;

pub(crate) use self::{
    body::{StreamBody, StreamSettings},
    upstream::Upstream,
    whole::whole,
};

use std::time::{SystemTime, UNIX_EPOCH};

/// What all chunks of a response have in common.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    /// In seconds since 1970.
    pub(crate) created: u64,
    /// The name that the client requested.
    pub(crate) model: String,
}

impl Identity {
    pub(crate) fn new(model: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            id: format!("chatcmpl-{}", random_id()),
            created: now.map_or(0, |now| now.as_secs()),
            model,
        }
    }
}

/// Returns 24 random letters and digits.
pub(crate) fn random_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .take(24)
        .collect()
}
