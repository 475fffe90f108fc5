//! Failures of the layers below into the workspace's error, with the peer's host and port in it.

use std::{error::Error as StdError, fmt, io, time::Duration};

use inferstream_core::{Error, ErrorKind, Phase, Repeat, Sent};

/// The party at the other end of a socket, as messages name it: host and port, nothing else.
#[derive(Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Origin,
    Proxy,
}

impl Peer<'_> {
    /// Creates an error of the kind, or of the kind `Proxy` where the peer is one.
    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let kind = match self.role {
            Role::Origin => kind,
            Role::Proxy => ErrorKind::Proxy,
        };
        Error::new(kind, message).with_sent(Sent::No)
    }

    pub(crate) fn timeout(&self, phase: Phase, limit: Duration) -> Error {
        match self.role {
            Role::Origin => Error::timeout(phase, limit)
                .context(self)
                .with_sent(Sent::No),
            Role::Proxy => self.error(
                ErrorKind::Proxy,
                format!("{self} did not answer within {limit:?} (the limit `{phase}`)"),
            ),
        }
    }

    /// Creates the error of a connection that was not made.
    pub(crate) fn unreachable(&self, cause: impl StdError + Send + Sync + 'static) -> Error {
        let message = match io_kind(&cause) {
            Some(io::ErrorKind::ConnectionRefused) => format!("{self} refused the connection"),
            _ => format!("no connection to {self}"),
        };
        self.error(ErrorKind::Connect, message).with_source(cause)
    }
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.role == Role::Proxy {
            f.write_str("the proxy ")?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Returns what the operating system said, where it is among the causes.
pub(crate) fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// Creates the error of an exchange that failed before the answer's head.
///
/// `first` is what the peer said first.
pub(crate) fn before_head(peer: &Peer<'_>, cause: hyper::Error, sent: Sent, first: &[u8]) -> Error {
    let error = if cause.is_parse_too_large() {
        head_too_large(peer)
    } else if cause.is_parse() && is_tls(first) {
        let message =
            format!("{peer} speaks TLS, and was asked without; is the URL meant to be https://?");
        Error::new(ErrorKind::Tls, message)
    } else if cause.is_parse() {
        Error::protocol(format!("what {peer} answered is not HTTP/1.1"))
    } else if cause.is_user() {
        Error::config(format!("the request to {peer} cannot be sent as it is"))
    } else {
        let message = match sent {
            Sent::No => format!("the connection to {peer} was lost before the request was sent"),
            _ => format!("the connection to {peer} was lost before the answer's head came"),
        };
        Error::new(ErrorKind::Disconnected, message)
    };
    error.with_sent(sent).with_source(cause)
}

/// Creates the error of an exchange with a proxy that forwards requests, as [`before_head`].
pub(crate) fn before_head_of_proxy(
    proxy: &Peer<'_>,
    cause: hyper::Error,
    sent: Sent,
    first: &[u8],
) -> Error {
    if cause.is_parse_too_large() || cause.is_user() {
        return before_head(proxy, cause, sent, first);
    }
    let lost = is_lost(&cause);
    let error = if lost && !first.is_empty() {
        let message = format!("the connection to {proxy} was lost before the answer's head came");
        proxy.error(ErrorKind::Proxy, message)
    } else {
        not_http(proxy, first)
    };
    // A request that was sent may have reached the service.
    let error = match sent {
        Sent::No => error,
        _ if lost => error.with_repeat(Repeat::Ambiguous),
        _ => error,
    };
    error.with_sent(sent).with_source(cause)
}

/// Creates the error of a proxy that did not answer a request in HTTP: `first` is how its answer
/// begins.
pub(crate) fn not_http(proxy: &Peer<'_>, first: &[u8]) -> Error {
    let message = match first {
        // What most SOCKS servers do where the first byte is not the version of their protocol.
        [] => format!(
            "{proxy} closed the connection without an answer; if it is a SOCKS proxy, its URL \
             begins with socks5h://"
        ),
        // A reply of SOCKS 5, and one of SOCKS 4 (0 and a code from 90 to 93).
        [5, ..] | [0, 90..=93, ..] => format!(
            "{proxy} speaks SOCKS and not HTTP; the URL of a SOCKS proxy begins with socks5h://"
        ),
        _ if is_tls(first) => {
            format!("{proxy} speaks TLS, and was asked without; is its URL meant to be https://?")
        }
        _ => format!("{proxy} does not speak HTTP"),
    };
    let error = proxy.error(ErrorKind::Proxy, message);
    if first.is_empty() {
        error
    } else {
        error.with_repeat(Repeat::Never)
    }
}

/// Returns true if the connection was lost, and the peer sent nothing that is malformed.
pub(crate) fn is_lost(cause: &hyper::Error) -> bool {
    !cause.is_parse_too_large() && !cause.is_parse() && !cause.is_user()
}

/// Creates the error of a head above the limits.
pub(crate) fn head_too_large(peer: &Peer<'_>) -> Error {
    let message = format!("the answer's head from {peer} is larger than 64 KiB or 100 headers");
    Error::new(ErrorKind::TooLarge, message)
}

/// Creates the error of a body that broke off, or whose framing is broken.
pub(crate) fn in_body(cause: hyper::Error) -> Error {
    let error = if breaks_framing(&cause) {
        Error::protocol("the answer's chunks are not framed as HTTP has it")
    } else {
        Error::new(
            ErrorKind::Truncated,
            "the connection was lost in the middle of the answer",
        )
    };
    error.with_sent(Sent::Yes).with_source(cause)
}

/// Returns true if hyper could not read a chunk's frame, which it tells as an I/O error of its own.
fn breaks_framing(cause: &hyper::Error) -> bool {
    let Some(io) = cause
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
    else {
        return false;
    };
    // A broken TLS record is invalid data too, and is a lost connection.
    let inner = io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.is_none()
        && matches!(
            io.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        )
}

/// Returns true if the bytes begin a TLS record: an alert or a handshake of version 3.x.
fn is_tls(first: &[u8]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03, ..])
}
