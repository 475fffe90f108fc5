//! How long each phase of a request may take.

use std::{fmt, time::Duration};

/// The limits on the time that each phase of a request may take.
///
/// Each limit is off where it is `None`.
/// The limits up to [`head`](Self::head) are kept by the transport, the others by the stream; those,
/// but for [`total`](Self::total), run only while the stream waits for the network, never while the
/// caller holds it.
///
/// On a request, a `Timeouts` in [`ChatRequest::timeouts`](crate::ChatRequest::timeouts) stands in
/// place of the client's.
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
    /// Looking up the host's name: 5 s.
    pub dns: Option<Duration>,
    /// Connecting, over all of the host's addresses: 5 s.
    pub connect: Option<Duration>,
    /// The TLS handshake: 5 s.
    pub tls: Option<Duration>,
    /// Writing the request, without any progress: 30 s.
    pub write: Option<Duration>,
    /// From the request written to its answer's whole head: 60 s.
    ///
    /// A whole answer (`chat`) has its head only once the text is made: there, the larger of this
    /// and [`first_event`](Self::first_event) holds.
    pub head: Option<Duration>,
    /// From the head to the first event: 120 s. A whole answer (`chat`) is one event, its last byte.
    pub first_event: Option<Duration>,
    /// Between two reads, once there was an event; any byte counts: 120 s.
    pub idle: Option<Duration>,
    /// Between two events, however many bytes come that carry none (comments, empty chunks): 300 s.
    pub progress: Option<Duration>,
    /// The whole request, all attempts and the whole stream included: none.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// Returns limits that are all off.
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

/// The phase of a request whose limit ran out.
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
    /// Returns the phase's name, which is that of the limit's field.
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
