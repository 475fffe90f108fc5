//! The error type: what failed, whether a retry may help, and the response so far.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{line::OneLine, meta::RateLimits, response::ChatResponse, timeouts::Phase};

pub use crate::error_kind::{ErrorKind, Repeat, Sent};

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
