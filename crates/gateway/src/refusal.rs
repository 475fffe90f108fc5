//! Errors as responses of the gateway: OpenAI's error object with headers.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use inferstream::{Error, ErrorKind};
use inferstream_chat_json::ApiError;

/// An error that is reported to a client, in place of a response or within a stream.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Boxed, because results are returned by value.
    pub(crate) error: Box<ApiError>,
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
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        ApiError::new(status, kind, code, message).into()
    }

    /// A request that no provider accepts.
    pub(crate) fn invalid(param: Option<&str>, message: impl Into<String>) -> Self {
        ApiError::invalid(param, message).into()
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

    /// A key of `Idempotency-Key` that belongs to another request.
    pub(crate) fn key_reused() -> Self {
        let (status, kind) = (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request_error");
        let message = "the `Idempotency-Key` belongs to a request with another body: \
                       expected a new key for each request";
        let mut refusal = Self::new(status, kind, "idempotency_key_reused", message);
        refusal.is_final = true;
        refusal
    }

    /// A request whose task has ended without a result.
    pub(crate) fn lost() -> Self {
        let message = "the request failed: its task ended without a result";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "server_error", "internal_error", message)
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
        ApiError::truncated().into()
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
        match self.error.code {
            Cow::Borrowed(code) => code,
            Cow::Owned(_) => "provider",
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            error: Box::new(error),
            retry_after: None,
            is_final: false,
            headers: None,
        }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let mut refusal = Self::from(ApiError::from(error));
        if is_ours(error.kind()) {
            refusal.error.status = StatusCode::BAD_GATEWAY;
            refusal.error.kind = "server_error";
            refusal.error.param = None;
            refusal.error.code = "upstream_auth".into();
        }
        let status = refusal.error.status;
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.error.status, self.error.to_json()).into_response();
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
