//! The reason why a row has no response.

use inferstream_chat_json::ApiError;
use inferstream_core::{Error, ErrorKind, Repeat};

/// The reason why a row has no response.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// The code: the provider's, or one such as `invalid_request`, `truncated` or `maybe_paid`.
    pub code: String,
    /// The message, one line.
    pub message: String,
    /// The HTTP status of the service's response.
    pub status: Option<u16>,
    /// The service's id of the request.
    pub request_id: Option<String>,
}

impl Failure {
    /// The code of rows that may have been processed and billed without a response.
    pub const MAYBE_PAID: &'static str = "maybe_paid";

    /// Creates a failure from a code and a message, one line.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status: None,
            request_id: None,
        }
    }

    /// A row that is invalid, for example because it is not JSON.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_row", message)
    }

    /// A row that an earlier run sent, and whose response is not known.
    pub(crate) fn unknown_outcome() -> Self {
        let message = "an earlier run was stopped while the request was under way; it may have been \
                       processed and billed";
        Self::new(Self::MAYBE_PAID, message)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let is_ambiguous = error.repeat() == Repeat::Ambiguous;
        let code = match error.code() {
            _ if is_ambiguous => Self::MAYBE_PAID,
            Some(code) => code,
            None => error.kind().as_str(),
        };
        let is_refusal = |status: &u16| 400 <= *status;
        let status = error.status().map(|status| status.as_u16());
        Self {
            status: status.filter(is_refusal),
            request_id: error.request_id().map(str::to_owned),
            ..Self::new(code, error.to_string())
        }
    }
}

/// Returns true if the same request may succeed later, but may have been processed and billed.
pub(crate) fn is_ambiguous(error: &Error) -> bool {
    match error.repeat() {
        Repeat::Safe => false,
        Repeat::Ambiguous => true,
        // A stream that broke off, for example. Core never sends it again.
        Repeat::Never => error.is_retryable(),
    }
}

/// Returns true if no service was reached, so that nothing was sent.
pub(crate) fn is_outage(error: &Error) -> bool {
    use inferstream_core::Phase;

    let is_early = matches!(
        error.kind(),
        ErrorKind::Connect
            | ErrorKind::Dns
            | ErrorKind::Proxy
            | ErrorKind::Timeout(Phase::Dns | Phase::Connect | Phase::Tls)
    );
    is_early && error.repeat() == Repeat::Safe
}
