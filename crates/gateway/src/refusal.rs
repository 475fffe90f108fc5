//! Errors in the shape of OpenAI's API, and the status of each kind of error.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inferstream::{Error, ErrorKind, Field};
use serde::Serialize;

/// An error that is reported to a client, in place of a response or within a stream.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The member `type`.
    pub(crate) kind: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) code: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// Whether clients that retry by themselves are asked not to.
    is_final: bool,
    /// Boxed, because few have them.
    headers: Option<Box<HeaderMap>>,
}

/// The wait that is asked for if it is not known how long one would help.
const SOON: Duration = Duration::from_secs(1);

impl Refusal {
    fn new(
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
            retry_after: None,
            is_final: false,
            headers: None,
        }
    }

    /// A request that is invalid for every provider.
    pub(crate) fn invalid(param: Option<&str>, message: impl Into<String>) -> Self {
        let (status, kind) = (StatusCode::BAD_REQUEST, "invalid_request_error");
        Self {
            param: param.map(str::to_owned),
            ..Self::new(status, kind, "invalid_request", message)
        }
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            code,
            message,
        )
    }

    pub(crate) fn method(message: impl Into<String>) -> Self {
        let (status, kind) = (StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error");
        Self::new(status, kind, "method_not_allowed", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let (status, kind) = (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error");
        let message = format!(
            "request body too large: expected at most {limit} bytes (setting `max_body_bytes`)"
        );
        Self::new(status, kind, "request_too_large", message)
    }

    pub(crate) fn slow_body() -> Self {
        let (status, kind) = (StatusCode::REQUEST_TIMEOUT, "invalid_request_error");
        let message = "reading the request body failed: nothing arrived in time";
        Self::new(status, kind, "request_timeout", message)
    }

    pub(crate) fn key(message: &'static str) -> Self {
        let (status, kind) = (StatusCode::UNAUTHORIZED, "authentication_error");
        Self::new(status, kind, "invalid_api_key", message)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", code, message)
    }

    /// A limit of the client's key, with the time until it is worth another try, if that helps at all.
    pub(crate) fn limited(message: impl Into<String>, wait: Option<Duration>) -> Self {
        let (status, kind) = (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error");
        let mut refusal = Self::new(status, kind, "rate_limit_exceeded", message);
        refusal.is_final = wait.is_none();
        refusal.retry_after = wait;
        refusal
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "overloaded",
            message,
        )
        .after(SOON)
    }

    pub(crate) fn draining() -> Self {
        let message = "the gateway is shutting down";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "draining",
            message,
        )
        .after(SOON)
        .header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// A response that ended without the end that its protocol announces.
    pub(crate) fn truncated() -> Self {
        let message = "the response was truncated: it ended without a finish reason";
        Self::new(StatusCode::BAD_GATEWAY, "truncated", "truncated", message)
    }

    fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// Returns the code for metrics, of which there are few: a provider's own code is not one of them.
    pub(crate) fn code_label(&self) -> &'static str {
        match self.code {
            Cow::Borrowed(code) => code,
            Cow::Owned(_) => "provider",
        }
    }

    /// Returns the object with the member `error`, as JSON text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&Wire { error: self.wire() }).unwrap_or_default()
    }

    /// Returns the value of the member `error`, as JSON text.
    pub(crate) fn to_inner_json(&self) -> String {
        serde_json::to_string(&self.wire()).unwrap_or_default()
    }

    fn wire(&self) -> WireError<'_> {
        WireError {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: &self.code,
        }
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    error: WireError<'a>,
}

#[derive(Serialize)]
struct WireError<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let (status, kind, code) = class(error);
        let code: Cow<'static, str> = match (code, error.code()) {
            (Some(code), _) => code.into(),
            (None, Some(code)) => code.to_owned().into(),
            (None, None) => error.kind().as_str().into(),
        };
        let mut refusal = Self::new(status, kind, code, error.to_string());
        refusal.param = error
            .setting()
            .filter(|_| status.is_client_error())
            .map(str::to_owned);
        if matches!(status.as_u16(), 429 | 503) {
            let known = error
                .retry_after()
                .or_else(|| error.rate_limits().until_reset());
            refusal.retry_after = Some(known.unwrap_or(SOON));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            for (name, value) in error.headers().into_iter().flatten() {
                let is_limit = ["x-ratelimit-", "ratelimit"];
                if is_limit
                    .iter()
                    .any(|prefix| name.as_str().starts_with(prefix))
                {
                    let headers = refusal.headers.get_or_insert_default();
                    headers.append(name, value.clone());
                }
            }
        }
        refusal.is_final = is_ours(error.kind()) || error.kind() == ErrorKind::Quota;
        refusal
    }
}

/// Returns true for errors of the gateway's own credentials, which a client cannot change.
fn is_ours(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Auth | ErrorKind::Challenge | ErrorKind::Permission
    )
}

/// Returns the status, the `type` and the `code` of an error; without a code, it is the provider's.
fn class(error: &Error) -> (StatusCode, &'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
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
        kind if is_ours(kind) => (
            StatusCode::BAD_GATEWAY,
            "server_error",
            Some("upstream_auth"),
        ),
        ErrorKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "server_error", None),
        ErrorKind::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("timeout")),
        ErrorKind::Truncated => (StatusCode::BAD_GATEWAY, "truncated", Some("truncated")),
        _ => (StatusCode::BAD_GATEWAY, "server_error", None),
    }
}

/// Returns true if a setting is one of the request, not of the gateway's configuration.
fn is_of_request(setting: Option<&str>) -> bool {
    let Some(name) = setting else { return true };
    matches!(name, "extra" | "headers" | "messages" | "model")
        || Field::ALL.iter().any(|field| field.name() == name)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(wait) = self.retry_after {
            // In whole seconds; less than one would mean "now".
            let seconds = wait.as_secs() + u64::from(0 < wait.subsec_nanos());
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.is_final {
            let no = HeaderValue::from_static("false");
            headers.insert("x-should-retry", no);
        }
        headers.extend(self.headers.map(|more| *more).unwrap_or_default());
        response
    }
}
