//! The error responses of the chat service.

use http::{HeaderName, StatusCode, header::RETRY_AFTER};
use serde::Serialize;

use crate::reply::Reply;

/// The rate limit headers of every response.
const RATE_LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-limit-requests-day", "14400"),
    ("x-ratelimit-remaining-requests-day", "14399"),
    ("x-ratelimit-reset-requests-day", "33011.382867"),
    ("x-ratelimit-limit-tokens-minute", "60000"),
    ("x-ratelimit-remaining-tokens-minute", "58211"),
    ("x-ratelimit-reset-tokens-minute", "11.382867"),
];

impl Reply {
    pub(crate) fn rate_limits(mut self) -> Self {
        for (name, value) in RATE_LIMITS {
            self = self.header(HeaderName::from_static(name), value);
        }
        self
    }
}

/// The service's error body: flat, without an enclosing `error` object.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal<'a> {
    pub(crate) message: &'a str,
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) param: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

impl Refusal<'_> {
    pub(crate) fn reply(&self, status: StatusCode) -> Reply {
        Reply::value(status, self).rate_limits()
    }
}

/// Returns the error for an invalid request.
pub(crate) fn refuse(status: StatusCode, message: &str, param: Option<&str>) -> Reply {
    Refusal {
        message,
        kind: "invalid_request_error",
        param,
        code: Some("invalid_request_error"),
    }
    .reply(status)
}

pub(crate) fn wrong_key() -> Reply {
    Refusal {
        message: "Wrong API Key",
        kind: "invalid_request_error",
        param: Some("api_key"),
        code: Some("wrong_api_key"),
    }
    .reply(StatusCode::UNAUTHORIZED)
}

pub(crate) fn not_found() -> Reply {
    Refusal {
        message: "Not found",
        kind: "not_found_error",
        param: None,
        code: None,
    }
    .reply(StatusCode::NOT_FOUND)
}

/// Returns the service's error response for a status.
pub(crate) fn fault(status: u16, retry_after: Option<&str>) -> Reply {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reply = match status {
        401 => wrong_key(),
        // The service has been seen to refuse unknown fields with an empty body.
        422 => Reply::json(code, "").rate_limits(),
        _ => wording(code).reply(code),
    };
    let reply = match status {
        429 => reply.header(
            HeaderName::from_static("x-ratelimit-remaining-tokens-minute"),
            "0",
        ),
        _ => reply,
    };
    match retry_after {
        Some(value) => reply.header(RETRY_AFTER, value),
        None => reply,
    }
}

fn wording(status: StatusCode) -> Refusal<'static> {
    let (message, kind, param, code) = match status.as_u16() {
        402 => (
            "Payment required.",
            "payment_required_error",
            None,
            "payment_required",
        ),
        403 => (
            "Permission denied.",
            "permission_denied_error",
            None,
            "permission_denied",
        ),
        404 => (
            "Model does not exist or you do not have access to it.",
            "not_found_error",
            Some("model"),
            "model_not_found",
        ),
        408 => (
            "Request timed out.",
            "timeout_error",
            None,
            "request_timeout",
        ),
        429 => (
            "Tokens per minute limit exceeded - too many tokens processed.",
            "too_many_tokens_error",
            Some("quota"),
            "token_quota_exceeded",
        ),
        500.. => (
            "Encountered a server error, please try again.",
            "server_error",
            None,
            "server_error",
        ),
        _ => (
            "The request is invalid.",
            "invalid_request_error",
            None,
            "invalid_request_error",
        ),
    };
    Refusal {
        message,
        kind,
        param,
        code: Some(code),
    }
}
