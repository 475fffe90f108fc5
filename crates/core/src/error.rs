//! The error type: what failed, whether a retry may help, and the response so far.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{line::OneLine, meta::RateLimits, response::ChatResponse, timeouts::Phase};

/// The result of every fallible function of these crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that occurred between a request and the last event of its response.
///
/// `Display` is one line that names the problem and, if there is one, the remedy. It contains no
/// key, no prompt, no query string, and no part of the response except the provider's error
/// message. [`source`](StdError::source) returns the cause.
///
/// Messages may change in any release. Programs should use [`kind`](Self::kind),
/// [`setting`](Self::setting), [`code`](Self::code) and [`status`](Self::status).
///
/// Cloning is cheap.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    setting: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
    sent: Option<Sent>,
    status: Option<StatusCode>,
    code: Option<String>,
    provider_message: Option<String>,
    headers: Option<HeaderMap>,
    body: Option<Bytes>,
    retry_after: Option<Duration>,
    repeat: Option<Repeat>,
    attempts: u32,
    retry_budget_exhausted: bool,
    partial: Option<ChatResponse>,
}

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
    /// [`Error::is_retryable`] returns whether the service called the error transient.
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
    /// automatically; [`Error::partial`] has what arrived.
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

impl Error {
    /// Creates an error from its kind and message.
    ///
    /// The message is in lower case, has no full stop, and describes only this level; causes belong
    /// to [`with_source`](Self::with_source).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                message: message.into(),
                setting: None,
                source: None,
                sent: None,
                status: None,
                code: None,
                provider_message: None,
                headers: None,
                body: None,
                retry_after: None,
                repeat: None,
                attempts: 0,
                retry_budget_exhausted: false,
                partial: None,
            }),
        }
    }

    /// Creates an error about an invalid setting: [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Creates an error about a response that violates its protocol: [`ErrorKind::Protocol`].
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    /// Creates an error about a timeout that expired: [`ErrorKind::Timeout`].
    pub fn timeout(phase: Phase, limit: Duration) -> Self {
        let what = match phase {
            Phase::Dns => "the host's name was not resolved",
            Phase::Connect => "no connection was established",
            Phase::Tls => "the TLS handshake did not finish",
            Phase::Write => "the request could not be written",
            Phase::Head => "no response arrived",
            Phase::FirstEvent => "no first event arrived",
            Phase::Idle => "nothing more arrived",
            Phase::Progress => "no event arrived, although other bytes did,",
            Phase::Total => "the request did not finish",
        };
        Self::new(
            ErrorKind::Timeout(phase),
            format!("{what} within {limit:?} (timeout `{phase}`)"),
        )
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Overrides the kind, for example if a code in the body is more specific than the status.
    #[must_use]
    pub fn with_kind(self, kind: ErrorKind) -> Self {
        self.with(|inner| inner.kind = kind)
    }

    /// Adds the name of the setting that the error is about: see [`setting`](Self::setting).
    #[must_use]
    pub fn with_setting(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with(|inner| inner.setting = Some(name.into()))
    }

    /// Adds the cause: an error, or a boxed one.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.with(|inner| inner.source = Some(Arc::from(source.into())))
    }

    /// Adds whether the request had been sent.
    #[must_use]
    pub fn with_sent(self, sent: Sent) -> Self {
        self.with(|inner| inner.sent = Some(sent))
    }

    /// Adds the response's status and headers.
    #[must_use]
    pub fn with_head(self, status: StatusCode, headers: HeaderMap) -> Self {
        self.with(|inner| {
            inner.status = Some(status);
            inner.headers = Some(headers);
        })
    }

    /// Overrides the HTTP status with the one reported in the body.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    /// Adds the response's body, of which the first 64 KiB are kept.
    #[must_use]
    pub fn with_body(self, body: &Bytes) -> Self {
        self.with(|inner| inner.body = Some(body.slice(..body.len().min(BODY_KEPT))))
    }

    /// Adds the provider's error code.
    #[must_use]
    pub fn with_code(self, code: impl Into<String>) -> Self {
        self.with(|inner| inner.code = Some(code.into()))
    }

    /// Adds the provider's error message.
    #[must_use]
    pub fn with_provider_message(self, message: impl Into<String>) -> Self {
        self.with(|inner| inner.provider_message = Some(message.into()))
    }

    /// Adds the delay that the service asks for.
    #[must_use]
    pub fn with_retry_after(self, wait: Option<Duration>) -> Self {
        self.with(|inner| inner.retry_after = wait)
    }

    /// Adds whether the protocol allows the request to be sent again.
    #[must_use]
    pub fn with_repeat(self, repeat: Repeat) -> Self {
        self.with(|inner| inner.repeat = Some(repeat))
    }

    /// Adds the number of times that the request was sent.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        self.with(|inner| inner.attempts = attempts)
    }

    /// Adds that a retry was omitted because of the client's retry budget.
    #[must_use]
    pub(crate) fn with_retry_budget_exhausted(self) -> Self {
        self.with(|inner| inner.retry_budget_exhausted = true)
    }

    /// Adds the part of the response that arrived before the error.
    #[must_use]
    pub fn with_partial(self, partial: ChatResponse) -> Self {
        self.with(|inner| inner.partial = Some(partial))
    }

    /// Puts a description of the operation in front of the message.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        self.with(|inner| inner.message = format!("{what}: {}", inner.message))
    }

    /// Rewrites the message, for example to redact a secret.
    #[must_use]
    pub fn map_message(self, change: impl FnOnce(&str) -> String) -> Self {
        self.with(|inner| inner.message = change(&inner.message))
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the name of the setting that the error is about, or that would avoid it: a method of
    /// a builder, such as `api_key` or `proxy`, or a field of the request, such as `max_tokens`.
    ///
    /// Returns `None` if the error is not about a single setting.
    ///
    /// ```
    /// # use inferstream_core::ChatRequest;
    /// let error = ChatRequest::from("Hi").max_tokens(0).validate().unwrap_err();
    /// assert_eq!(error.setting(), Some("max_tokens"));
    /// ```
    pub fn setting(&self) -> Option<&str> {
        self.inner.setting.as_deref()
    }

    /// Returns true if the same request may succeed later.
    ///
    /// This does not consider the cost: a request whose connection was lost, or whose response was
    /// truncated, may have been processed and billed.
    pub fn is_retryable(&self) -> bool {
        match self.inner.kind {
            ErrorKind::Connect
            | ErrorKind::Disconnected
            | ErrorKind::Dns
            | ErrorKind::Overloaded
            | ErrorKind::RateLimited
            | ErrorKind::Timeout(_)
            | ErrorKind::Truncated => true,
            ErrorKind::Proxy => self.inner.repeat != Some(Repeat::Never),
            ErrorKind::InvalidRequest | ErrorKind::Provider | ErrorKind::Server => {
                matches!(self.inner.repeat, Some(Repeat::Safe | Repeat::Ambiguous))
            }
            _ => false,
        }
    }

    /// Returns true if one of the client's timeouts expired.
    pub fn is_timeout(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Timeout(_))
    }

    /// Returns whether the request may be sent again, as the protocol states or else as the kind
    /// implies.
    pub fn repeat(&self) -> Repeat {
        if let Some(repeat) = self.inner.repeat {
            return repeat;
        }
        match self.inner.kind {
            ErrorKind::Connect
            | ErrorKind::Dns
            | ErrorKind::Overloaded
            | ErrorKind::Proxy
            | ErrorKind::RateLimited
            | ErrorKind::Timeout(Phase::Dns | Phase::Connect | Phase::Tls) => Repeat::Safe,
            ErrorKind::Disconnected | ErrorKind::Timeout(Phase::Write | Phase::Head) => {
                match self.inner.sent {
                    Some(Sent::No) => Repeat::Safe,
                    _ => Repeat::Ambiguous,
                }
            }
            _ => Repeat::Never,
        }
    }

    /// Returns whether the request had been sent, if a connection failed.
    pub fn sent(&self) -> Option<Sent> {
        self.inner.sent
    }

    /// Returns the delay that the service asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the HTTP status, if there was a response.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// Returns the provider's error code.
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// Returns the provider's error message.
    pub fn provider_message(&self) -> Option<&str> {
        self.inner.provider_message.as_deref()
    }

    /// Returns the provider's id of the request, if a header of the response has it.
    pub fn request_id(&self) -> Option<&str> {
        self.inner
            .headers
            .as_ref()
            .and_then(crate::meta::request_id)
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.headers.as_ref()
    }

    /// Returns the rate limits in the headers of the response.
    pub fn rate_limits(&self) -> RateLimits {
        self.inner
            .headers
            .as_ref()
            .map(RateLimits::from_headers)
            .unwrap_or_default()
    }

    /// Returns the body of an error response: its first 64 KiB.
    pub fn body(&self) -> Option<&Bytes> {
        self.inner.body.as_ref()
    }

    /// Returns how often the request was sent, including replays by the transport.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Returns true if the request was not sent again because the client's
    /// [retry budget](crate::RetryPolicy#retry-budget) was exhausted: many requests to this host have
    /// failed recently.
    ///
    /// The other properties are those of the last attempt's error.
    pub fn is_retry_budget_exhausted(&self) -> bool {
        self.inner.retry_budget_exhausted
    }

    /// Returns the part of the response that arrived before a stream failed, with its
    /// [`meta`](ChatResponse::meta).
    pub fn partial(&self) -> Option<&ChatResponse> {
        self.inner.partial.as_ref()
    }
}

/// The maximum size of an error's body. Documented errors are below 4 KiB, HTML pages below 64 KiB.
const BODY_KEPT: usize = 64 << 10;

/// One line: line breaks and terminal control characters are escaped.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OneLine(&self.inner.message).fmt(f)?;
        if self.inner.retry_budget_exhausted {
            f.write_str("; not sent again: the client's retry budget is exhausted")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers, body and partial response may contain secrets, so they are omitted.
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("setting", &self.inner.setting)
            .field("status", &self.inner.status)
            .field("code", &self.inner.code)
            .field("sent", &self.inner.sent)
            .field("attempts", &self.inner.attempts)
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
