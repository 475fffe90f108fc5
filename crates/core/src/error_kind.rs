//! The kinds of errors, and whether a request may be sent again.

use std::fmt;

use crate::timeouts::Phase;

/// The kind of an error.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The key is missing, or the service refused it (401). Not retried.
    Auth,
    /// The request was canceled, by the service or by the caller. Not retried.
    Canceled,
    /// A browser challenge was returned instead of a response. Not retried.
    Challenge,
    /// A setting, a key, a URL, a header or a certificate is invalid. Nothing was sent.
    Config,
    /// The connection to the host failed. Retried: nothing was sent.
    Connect,
    /// The service's content filter refused the prompt or the response. Not retried.
    ContentFilter,
    /// The prompt and the response exceed the model's context length. Not retried.
    ContextLength,
    /// The connection was lost before the response's headers. Retried if certainly nothing was sent.
    Disconnected,
    /// The lookup of the host's name failed. Retried: nothing was sent.
    Dns,
    /// The service rejected the request as invalid (400, 413, 422). Not retried.
    InvalidRequest,
    /// Only listed models are allowed, and the model is not in the list. Nothing was sent.
    ModelNotSupported,
    /// There is no such model or path (404). Not retried.
    NotFound,
    /// The service is over capacity at the moment (503, 529). Retried.
    Overloaded,
    /// The key does not have the permission (403). Not retried.
    Permission,
    /// The response violates the protocol: it is not an event stream, contains invalid JSON, or has
    /// an encoding that was not requested. Not retried.
    Protocol,
    /// The service reported an error inside a response. Never retried automatically;
    /// [`Error::is_retryable`](crate::Error::is_retryable) returns whether the service called the error transient.
    Provider,
    /// The proxy failed or refused the request. Retried unless it requires other credentials.
    Proxy,
    /// The account's quota or credit is used up. Not retried.
    Quota,
    /// There were too many requests (429). Retried after the time that the service names, unless it
    /// exceeds [`max_retry_after`](crate::RetryPolicy::max_retry_after), the limit is per day, or
    /// the request alone exceeds the limit.
    RateLimited,
    /// The service responded with a redirect, which is never followed. Not retried.
    Redirect,
    /// The service, or a gateway in front of it, failed (5xx, 408). 408, 500, 502, 504, 521 to 523,
    /// 525, 526 and 530 are retried; 520, 524 and 527 are retried only with
    /// [`retry_ambiguous`](crate::RetryPolicy::retry_ambiguous).
    Server,
    /// One of the [`Timeouts`](crate::Timeouts) expired. Retried if nothing was sent.
    Timeout(Phase),
    /// The TLS handshake failed, or only one side uses TLS. Not retried.
    Tls,
    /// A line, a frame, the headers or a body exceeded its size limit. Not retried.
    TooLarge,
    /// The response's headers arrived, but not the end that the protocol announces. Never retried
    /// automatically; [`Error::partial`](crate::Error::partial) has what arrived.
    Truncated,
    /// The provider does not support something that the request requires. Nothing was sent.
    Unsupported,
    /// The service named a host to which the key may not be sent. Nothing was sent to it.
    UntrustedHost,
}

impl ErrorKind {
    /// Returns the kind's name in snake case, such as `rate_limited` or `timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Canceled => "canceled",
            Self::Challenge => "challenge",
            Self::Config => "config",
            Self::Connect => "connect",
            Self::ContentFilter => "content_filter",
            Self::ContextLength => "context_length",
            Self::Disconnected => "disconnected",
            Self::Dns => "dns",
            Self::InvalidRequest => "invalid_request",
            Self::ModelNotSupported => "model_not_supported",
            Self::NotFound => "not_found",
            Self::Overloaded => "overloaded",
            Self::Permission => "permission",
            Self::Protocol => "protocol",
            Self::Provider => "provider",
            Self::Proxy => "proxy",
            Self::Quota => "quota",
            Self::RateLimited => "rate_limited",
            Self::Redirect => "redirect",
            Self::Server => "server",
            Self::Timeout(_) => "timeout",
            Self::Tls => "tls",
            Self::TooLarge => "too_large",
            Self::Truncated => "truncated",
            Self::Unsupported => "unsupported",
            Self::UntrustedHost => "untrusted_host",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a request had been sent when its connection failed.
// Exhaustive: there is no fourth case, and a retry policy must decide on each.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Sent {
    /// Nothing was sent: the request may be sent again.
    No,
    /// It was sent in part or completely: the service may have processed it.
    Maybe,
    /// It was sent completely.
    Yes,
}

/// Whether a protocol allows a failed request to be sent again.
///
/// [`RetryPolicy`](crate::RetryPolicy) describes how this is used.
// Exhaustive: a retry policy must decide on each case.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Repeat {
    /// The request was not processed, so it may be sent again.
    Safe,
    /// The request may have been processed. Send it again only if it may be processed twice.
    Ambiguous,
    /// The request must not be sent again.
    Never,
}
