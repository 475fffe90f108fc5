//! The successful responses of Replicate's API.

use http::{HeaderName, StatusCode};
use serde::Serialize;

use crate::reply::Reply;

/// Returns a JSON response with the rate limit headers of the API.
pub(super) fn ok(value: &impl Serialize) -> Reply {
    limits(Reply::value(StatusCode::OK, value))
}

/// Adds the rate limit headers of the API.
pub(super) fn limits(reply: Reply) -> Reply {
    reply
        .header(HeaderName::from_static("ratelimit-remaining"), "599")
        .header(HeaderName::from_static("ratelimit-reset"), "1")
}
