//! The one error type: what went wrong, whether it may pass, and what was known by then.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{line::OneLine, meta::RateLimits, response::ChatResponse, timeouts::Phase};

/// What every fallible function here returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whatever went wrong between a request and the last event of its answer.
///
/// `Display` is one line that names the thing and, where there is one, the remedy; it holds no key,
/// no prompt, no query string and no more of the answer than the provider's own message.
/// [`source`](StdError::source) leads to the cause below.
///
/// Messages are unstable: they may change in any release. Programs decide by [`kind`](Self::kind),
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
    partial: Option<ChatResponse>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No key, or one that the service refused (401). Not retried.
    Auth,
    /// The request was canceled, by the service or by us. Not retried.
    Canceled,
    /// A page that wants to see a browser stands before the service. Not retried.
    Challenge,
    /// A setting, a key, a URL, a header or a certificate that cannot be used. Nothing was sent.
    Config,
    /// No connection to the host. Retried: nothing was sent.
    Connect,
    /// The service's filter refused the prompt or the answer. Not retried.
    ContentFilter,
    /// Prompt and answer do not fit the model's context. Not retried.
    ContextLength,
    /// The connection was lost before the answer's head; [`Error::sent`] says whether the request
    /// was out. Retried only where it certainly was not.
    Disconnected,
    /// The host's name could not be looked up. Retried: nothing was sent.
    Dns,
    /// The service did not understand the request (400, 413, 422). Not retried.
    InvalidRequest,
    /// The model is not in the provider's list, and the list was asked to bind. Nothing was sent.
    ModelNotSupported,
    /// No such model or path (404). Not retried.
    NotFound,
    /// The service has no room at the moment (503, 529). Retried.
    Overloaded,
    /// The key may not do this (403). Not retried.
    Permission,
    /// The answer is not what the protocol says: not an event stream, broken JSON, an encoding
    /// that nobody asked for. Not retried.
    Protocol,
    /// The service reported an error inside an answer, of none of the other kinds. No error inside an
    /// answer is retried for the user; [`Error::is_retryable`] tells whether it called itself
    /// transient.
    Provider,
    /// The proxy refused or could not be reached. Retried unless it wants other credentials.
    Proxy,
    /// The account's quota or credit is used up. Not retried.
    Quota,
    /// Too many requests for the moment (429). Retried after the time that the service names, unless
    /// that is over [`max_retry_after`](crate::RetryPolicy::max_retry_after), the limit is one of a
    /// day, or the request by itself is over the limit.
    RateLimited,
    /// The service answered with a redirect, which is never followed. Not retried.
    Redirect,
    /// The service or a gateway before it failed (5xx, 408). 408, 500, 502, 504, 521 to 523, 525, 526
    /// and 530 are retried, 520, 524 and 527 only where
    /// [`retry_ambiguous`](crate::RetryPolicy::retry_ambiguous) says so.
    Server,
    /// A limit of [`Timeouts`](crate::Timeouts) ran out. Retried while nothing was sent.
    Timeout(Phase),
    /// The TLS handshake failed, or one side speaks TLS and the other does not. Not retried.
    Tls,
    /// A line, a frame, a head or a body over its limit. Not retried.
    TooLarge,
    /// The answer's head came, but not the end that the protocol announces. Never retried for the
    /// user: what came is in [`Error::partial`].
    Truncated,
    /// The request needs what the provider lacks. Nothing was sent.
    Unsupported,
    /// The service named a host that may not see the key. Nothing was sent there.
    UntrustedHost,
}

impl ErrorKind {
    /// Returns the kind's name in snake case: `rate_limited`, `timeout`, …
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

/// Whether a request had left when its connection failed.
// Exhaustive: there is no fourth case, and a retry policy must decide on each.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: it may be sent again.
    No,
    /// Perhaps in part, perhaps whole: the service may have worked on it.
    Maybe,
    /// All of it.
    Yes,
}

/// What a protocol knows of whether the request that failed may be sent again.
///
/// See [`RetryPolicy`](crate::RetryPolicy) for what becomes of it.
// Exhaustive: a retry policy must decide on each case.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Repeat {
    /// The request was not worked on: it may be.
    Safe,
    /// It may have been worked on: only where the caller accepts that it is done twice.
    Ambiguous,
    /// It must not be.
    Never,
}

impl Error {
    /// Creates an error of a kind, with the line that says what happened.
    ///
    /// The line is lower case, has no full stop and says this level only.
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
                partial: None,
            }),
        }
    }

    /// Creates an error about a setting: [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Creates an error about an answer that breaks its protocol: [`ErrorKind::Protocol`].
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    /// Creates an error about a limit that ran out: [`ErrorKind::Timeout`].
    pub fn timeout(phase: Phase, limit: Duration) -> Self {
        let what = match phase {
            Phase::Dns => "the host's name was not looked up",
            Phase::Connect => "no connection was made",
            Phase::Tls => "the TLS handshake did not end",
            Phase::Write => "the request could not be written on",
            Phase::Head => "no answer came",
            Phase::FirstEvent => "the first event did not come",
            Phase::Idle => "nothing more came",
            Phase::Progress => "no event came, though bytes did,",
            Phase::Total => "the request did not end",
        };
        Self::new(
            ErrorKind::Timeout(phase),
            format!("{what} within {limit:?} (the limit `{phase}`)"),
        )
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// Replaces the kind, where the answer's own code says more than its status.
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

    /// Adds the answer's head.
    #[must_use]
    pub fn with_head(self, status: StatusCode, headers: HeaderMap) -> Self {
        self.with(|inner| {
            inner.status = Some(status);
            inner.headers = Some(headers);
        })
    }

    /// Replaces the status, where the answer's own says another than the head's.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    /// Adds the answer's body, of which the first 64 KiB are kept.
    #[must_use]
    pub fn with_body(self, body: &Bytes) -> Self {
        self.with(|inner| inner.body = Some(body.slice(..body.len().min(BODY_KEPT))))
    }

    /// Adds the provider's own code.
    #[must_use]
    pub fn with_code(self, code: impl Into<String>) -> Self {
        self.with(|inner| inner.code = Some(code.into()))
    }

    /// Adds the provider's own message.
    #[must_use]
    pub fn with_provider_message(self, message: impl Into<String>) -> Self {
        self.with(|inner| inner.provider_message = Some(message.into()))
    }

    /// Adds how long the service asks to wait.
    #[must_use]
    pub fn with_retry_after(self, wait: Option<Duration>) -> Self {
        self.with(|inner| inner.retry_after = wait)
    }

    /// Adds what the protocol knows about sending the request again.
    #[must_use]
    pub fn with_repeat(self, repeat: Repeat) -> Self {
        self.with(|inner| inner.repeat = Some(repeat))
    }

    /// Adds how often the request was sent.
    #[must_use]
    pub fn with_attempts(self, attempts: u32) -> Self {
        self.with(|inner| inner.attempts = attempts)
    }

    /// Adds what of the answer came before.
    #[must_use]
    pub fn with_partial(self, partial: ChatResponse) -> Self {
        self.with(|inner| inner.partial = Some(partial))
    }

    /// Puts words before the message: what was being done.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        self.with(|inner| inner.message = format!("{what}: {}", inner.message))
    }

    /// Replaces the message, by what must not stand in it.
    #[must_use]
    pub fn map_message(self, change: impl FnOnce(&str) -> String) -> Self {
        self.with(|inner| inner.message = change(&inner.message))
    }

    /// Returns what kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the name of the setting that the error is about, or that would avoid it: a method of a
    /// builder, such as `api_key` or `proxy`, or a field of the request, such as `max_tokens`.
    ///
    /// `None` where the error is not about one setting.
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
    /// It is a statement about the error, not about the cost: a request whose connection was lost,
    /// or whose answer was cut off, may have been worked on and billed.
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

    /// Returns true if a limit of ours ended the request.
    pub fn is_timeout(&self) -> bool {
        matches!(self.inner.kind, ErrorKind::Timeout(_))
    }

    /// Returns whether the request may be sent again, by the protocol's word or else by the kind.
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

    /// Returns whether the request had been sent, where a connection failed.
    pub fn sent(&self) -> Option<Sent> {
        self.inner.sent
    }

    /// Returns how long the service asked to wait, where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the status, where the service answered with one.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// Returns the provider's own code for the error.
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// Returns the provider's own message.
    pub fn provider_message(&self) -> Option<&str> {
        self.inner.provider_message.as_deref()
    }

    /// Returns the request's id at the provider, where its answer's head names one.
    pub fn request_id(&self) -> Option<&str> {
        self.inner
            .headers
            .as_ref()
            .and_then(crate::meta::request_id)
    }

    /// Returns the headers of the answer.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.headers.as_ref()
    }

    /// Returns what the answer's headers say of the rate limits.
    pub fn rate_limits(&self) -> RateLimits {
        self.inner
            .headers
            .as_ref()
            .map(RateLimits::from_headers)
            .unwrap_or_default()
    }

    /// Returns the body of an answer that was an error: its first 64 KiB.
    pub fn body(&self) -> Option<&Bytes> {
        self.inner.body.as_ref()
    }

    /// Returns how often the request was sent, replays of the transport included; 0 where it was not.
    pub fn attempts(&self) -> u32 {
        self.inner.attempts
    }

    /// Returns what of the answer came before a stream failed, and in its
    /// [`meta`](ChatResponse::meta) what came with it.
    pub fn partial(&self) -> Option<&ChatResponse> {
        self.inner.partial.as_ref()
    }
}

/// The most that is kept of an error's body: the documented errors are below 4 KiB, and pages of
/// HTML below 64.
const BODY_KEPT: usize = 64 << 10;

/// One line: what would end it, or draw on a terminal, is escaped.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OneLine(&self.inner.message).fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither headers nor body nor partial: they may hold what the log must not.
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
