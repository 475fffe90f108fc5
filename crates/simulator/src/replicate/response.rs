//! What every response of the API has.

use http::{HeaderName, StatusCode};
use serde::Serialize;

use crate::reply::Reply;

/// Answers with JSON, and with the limits that every answer of the API tells.
pub(super) fn ok(value: &impl Serialize) -> Reply {
    limits(Reply::value(StatusCode::OK, value))
}

/// Adds the limits that every answer of the API tells.
pub(super) fn limits(reply: Reply) -> Reply {
    reply
        .header(HeaderName::from_static("ratelimit-remaining"), "599")
        .header(HeaderName::from_static("ratelimit-reset"), "1")
}
