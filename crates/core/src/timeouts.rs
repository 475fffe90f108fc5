//! Timeouts for each phase of a request.

use std::{fmt, time::Duration};

/// Timeouts for each phase of a request. `None` turns one off.
///
/// The transport enforces the timeouts up to [`head`](Self::head), and the stream the others. The
/// timeouts of the stream, except [`total`](Self::total), run only while the stream waits for the
/// network, never while the caller holds it.
///
/// [`ChatRequest::timeouts`](crate::ChatRequest::timeouts) replaces the client's timeouts for one
/// request.
///
/// ```
/// use std::time::Duration;
/// use inferstream_core::Timeouts;
///
/// let patient = Timeouts::default().first_event(Duration::from_secs(300));
/// assert_eq!(patient.idle, Some(Duration::from_secs(120)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Name resolution: 5 s.
    pub dns: Option<Duration>,
    /// Connecting, for all of the host's addresses together: 5 s.
    pub connect: Option<Duration>,
    /// The TLS handshake: 5 s.
    pub tls: Option<Duration>,
    /// Writing the request, for each period without progress: 30 s.
    pub write: Option<Duration>,
    /// From the written request to the response's complete headers: 60 s.
    /// The headers of a complete response (`chat`) arrive only after its text was generated. For
    /// it, the larger of this timeout and [`first_event`](Self::first_event) applies.
    pub head: Option<Duration>,
    /// From the headers to the first event: 120 s. A complete response (`chat`) counts as one
    /// event, which arrives with its last byte.
    pub first_event: Option<Duration>,
    /// Between two reads after the first event, whatever they contain: 120 s.
    pub idle: Option<Duration>,
    /// Between two events, regardless of other bytes such as comments and empty chunks: 300 s.
    pub progress: Option<Duration>,
    /// The complete request, including all attempts and the stream: off.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Returns timeouts that are all off.
    pub const fn none() -> Self {
        Self {
            dns: None,
            connect: None,
            tls: None,
            write: None,
            head: None,
            first_event: None,
            idle: None,
            progress: None,
            total: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident)*) => {
        impl Timeouts {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](field@Self::", stringify!($name), "); `None` turns it off.")]
                #[must_use]
                pub fn $name(mut self, limit: impl Into<Option<Duration>>) -> Self {
                    self.$name = limit.into();
                    self
                }
            )*
        }
    };
}

setters!(dns connect tls write head first_event idle progress total);

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            dns: seconds(5),
            connect: seconds(5),
            tls: seconds(5),
            write: seconds(30),
            head: seconds(60),
            first_event: seconds(120),
            idle: seconds(120),
            progress: seconds(300),
            total: None,
        }
    }
}

/// The phase of a request that timed out.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// [`Timeouts::dns`].
    Dns,
    /// [`Timeouts::connect`].
    Connect,
    /// [`Timeouts::tls`].
    Tls,
    /// [`Timeouts::write`].
    Write,
    /// [`Timeouts::head`].
    Head,
    /// [`Timeouts::first_event`].
    FirstEvent,
    /// [`Timeouts::idle`].
    Idle,
    /// [`Timeouts::progress`].
    Progress,
    /// [`Timeouts::total`].
    Total,
}

impl Phase {
    /// Returns the phase's name, which is the name of the field in [`Timeouts`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Write => "write",
            Self::Head => "head",
            Self::FirstEvent => "first_event",
            Self::Idle => "idle",
            Self::Progress => "progress",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
