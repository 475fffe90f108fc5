//! Replicate's error responses.

use http::{
    StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

use crate::{replicate::response::limits, reply::Reply};

/// A problem document of RFC 9457 with the service's own members.
#[derive(Debug, Default, Serialize)]
struct Problem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    detail: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid_fields: Option<[InvalidField<'a>; 1]>,
}

/// A field that does not match the model's schema.
#[derive(Debug, Serialize)]
pub(super) struct InvalidField<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) field: &'a str,
    pub(super) description: &'a str,
}

impl Problem<'_> {
    fn reply(&self) -> Reply {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        limits(Reply::value(status, self).header(CONTENT_TYPE, "application/problem+json"))
    }
}

pub(super) fn unauthenticated() -> Reply {
    Problem {
        title: Some("Unauthenticated"),
        detail: "You did not pass a valid authentication token",
        status: 401,
        ..Problem::default()
    }
    .reply()
}

pub(super) fn not_found() -> Reply {
    Problem {
        detail: "The requested resource could not be found.",
        status: 404,
        ..Problem::default()
    }
    .reply()
}

pub(crate) fn too_large() -> Reply {
    Problem {
        title: Some("Payload too large"),
        detail: "The request is too large.",
        status: 413,
        ..Problem::default()
    }
    .reply()
}

/// Returns the error for a body that is not a JSON object.
pub(super) fn malformed(detail: &str) -> Reply {
    Problem {
        title: Some("Malformed request"),
        detail,
        status: 400,
        ..Problem::default()
    }
    .reply()
}

/// Returns the error for an invalid field.
pub(super) fn invalid(field: InvalidField<'_>) -> Reply {
    let detail = match field.field {
        "" => format!("- {}\n", field.description),
        name => format!("- {name}: {}\n", field.description),
    };
    Problem {
        title: Some("Input validation failed"),
        detail: &detail,
        status: 422,
        invalid_fields: Some([field]),
        ..Problem::default()
    }
    .reply()
}

pub(super) fn invalid_version() -> Reply {
    Problem {
        title: Some("Invalid version or not permitted"),
        detail: "The specified version does not exist (or perhaps you don't have permission to use it?)",
        status: 422,
        ..Problem::default()
    }
    .reply()
}

/// Returns the service's error response for a status.
pub(super) fn fault(status: u16, retry_after: Option<&str>) -> Reply {
    let reply = match status {
        401 => unauthenticated(),
        404 => not_found(),
        422 => invalid_version(),
        429 => throttled(retry_after),
        _ => wording(status).reply(),
    };
    match retry_after {
        Some(value) => reply.header(RETRY_AFTER, value),
        None => reply,
    }
}

fn throttled(retry_after: Option<&str>) -> Reply {
    let seconds = retry_after.and_then(|value| value.parse().ok());
    let resets = seconds.unwrap_or(30);
    let detail = format!("Request was throttled. Your rate limit resets in ~{resets}s.");
    Problem {
        title: Some("Request was throttled"),
        detail: &detail,
        status: 429,
        retry_after: seconds,
        ..Problem::default()
    }
    .reply()
}

fn wording(status: u16) -> Problem<'static> {
    let (title, detail) = match status {
        402 => (
            "Insufficient credit",
            "You have insufficient credit to run this model.",
        ),
        403 => (
            "Forbidden",
            "You do not have permission to perform this action.",
        ),
        500.. => (
            "Internal server error",
            "An internal error occurred. Please try again.",
        ),
        _ => ("Bad request", "The request is invalid."),
    };
    Problem {
        title: Some(title),
        detail,
        status,
        ..Problem::default()
    }
}
