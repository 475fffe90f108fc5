//! Errors in the shape of OpenAI's API, and the status of each kind of error.

use std::borrow::Cow;

use http::StatusCode;
use inferstream_core::{Error, ErrorKind, Field};
use serde::Serialize;

/// An error of a request, as OpenAI's API reports it.
///
/// It serializes as an object with the members `message`, `type`, `param` and `code`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    #[serde(skip)]
    pub status: StatusCode,
    /// The message, one line.
    pub message: String,
    /// The member `type`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The member of the request that the error is about.
    pub param: Option<String>,
    /// The code: a word of this crate if it is borrowed, or else the provider's.
    pub code: Cow<'static, str>,
}

/// The `type` of errors in the request.
const INVALID: &str = "invalid_request_error";

impl ApiError {
    /// Creates an error.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code: code.into(),
        }
    }

    /// Creates an error about a request that no provider accepts.
    pub fn invalid(param: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            param: param.map(str::to_owned),
            ..Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid_request", message)
        }
    }

    /// Creates the error of a response that ended without the end that its protocol announces.
    pub fn truncated() -> Self {
        let message = "the response was truncated: it ended without a finish reason";
        Self::new(StatusCode::BAD_GATEWAY, "truncated", "truncated", message)
    }

    /// Returns the JSON object with the member `error`.
    pub fn to_json(&self) -> String {
        format!("{{\"error\":{}}}", self.to_inner_json())
    }

    /// Returns the value of the member `error` as JSON.
    pub fn to_inner_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The code is the provider's, or the name of the error's kind.
///
/// For `Auth` and `Permission` the status is that of the service, which refused the key of the
/// program, not of the program's client.
impl From<&Error> for ApiError {
    fn from(error: &Error) -> Self {
        let (status, kind, code) = class(error);
        let code: Cow<'static, str> = match (code, error.code()) {
            (Some(code), _) => code.into(),
            (None, Some(code)) => code.to_owned().into(),
            (None, None) => error.kind().as_str().into(),
        };
        let param = error.setting().filter(|_| status.is_client_error());
        Self {
            param: param.map(str::to_owned),
            ..Self::new(status, kind, code, error.to_string())
        }
    }
}

/// Returns the status, the `type` and the `code` of an error; without a code, it is the provider's.
fn class(error: &Error) -> (StatusCode, &'static str, Option<&'static str>) {
    match error.kind() {
        ErrorKind::ContextLength => {
            let code = Some("context_length_exceeded");
            (StatusCode::BAD_REQUEST, INVALID, code)
        }
        ErrorKind::ContentFilter => (StatusCode::BAD_REQUEST, INVALID, Some("content_filter")),
        ErrorKind::InvalidRequest | ErrorKind::Unsupported => {
            (StatusCode::BAD_REQUEST, INVALID, None)
        }
        ErrorKind::Config if is_of_request(error.setting()) => {
            (StatusCode::BAD_REQUEST, INVALID, Some("invalid_request"))
        }
        ErrorKind::ModelNotSupported | ErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, INVALID, Some("model_not_found"))
        }
        // Without an attempt, it is the request that is too large.
        ErrorKind::TooLarge if error.attempts() == 0 && error.status().is_none() => {
            let code = Some("request_too_large");
            (StatusCode::PAYLOAD_TOO_LARGE, INVALID, code)
        }
        ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", None),
        ErrorKind::Quota => {
            let code = Some("insufficient_quota");
            (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", code)
        }
        ErrorKind::Auth => (StatusCode::UNAUTHORIZED, "authentication_error", None),
        ErrorKind::Permission => (StatusCode::FORBIDDEN, "permission_error", None),
        ErrorKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "server_error", None),
        ErrorKind::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("timeout")),
        ErrorKind::Truncated => (StatusCode::BAD_GATEWAY, "truncated", Some("truncated")),
        _ => (StatusCode::BAD_GATEWAY, "server_error", None),
    }
}

/// Returns true if a setting is one of the request, not of the program's configuration.
fn is_of_request(setting: Option<&str>) -> bool {
    let Some(name) = setting else { return true };
    matches!(name, "extra" | "headers" | "messages" | "model")
        || Field::ALL.iter().any(|field| field.name() == name)
}
