//! Conversions of hyper and I/O errors to this workspace's `Error`, with the peer's host and port.

use std::{error::Error as StdError, fmt, io, time::Duration};

use inferstream_core::{Error, ErrorKind, Phase, Repeat, Sent};

/// The other end of a connection. Messages show only its host and port.
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
    /// Creates an error of the given kind, or of kind `Proxy` if the peer is a proxy.
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
                format!("{self} did not respond within {limit:?} (timeout `{phase}`)"),
            ),
        }
    }

    /// Creates the error for a connection that could not be established.
    pub(crate) fn unreachable(&self, cause: impl StdError + Send + Sync + 'static) -> Error {
        let io = io_error(&cause);
        let message = match (io.map(io::Error::kind), io.and_then(exhausted)) {
            (_, Some(reason)) => format!("connection to {self} failed: {reason}"),
            (Some(io::ErrorKind::ConnectionRefused), _) => {
                format!("{self} refused the connection")
            }
            _ => format!("connection to {self} failed"),
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

/// Returns the kind of the first I/O error in the source chain.
pub(crate) fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    io_error(error).map(io::Error::kind)
}

/// Returns the first I/O error in the source chain.
fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// Returns what the client has run out of, with a remedy, if that is the reason of the error.
pub(crate) fn exhausted(error: &io::Error) -> Option<&'static str> {
    // The standard library has no kind for too many open files. All Unix systems number ENFILE and
    // EMFILE alike; Windows has WSAEMFILE.
    let codes: &[i32] = if cfg!(windows) { &[10024] } else { &[23, 24] };
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::AddrNotAvailable, _) => {
            Some("no local address or port is free; use fewer connections at once")
        }
        (_, Some(code)) if codes.contains(&code) => {
            Some("too many open files; use fewer connections, or raise the limit (`ulimit -n`)")
        }
        _ => None,
    }
}

/// Creates the error of an exchange that failed before the response headers.
///
/// `first` holds the first bytes that the peer sent.
pub(crate) fn before_head(peer: &Peer<'_>, cause: hyper::Error, sent: Sent, first: &[u8]) -> Error {
    let error = if cause.is_parse_too_large() {
        head_too_large(peer)
    } else if is_http2(first) {
        Error::protocol(http2_only(peer))
    } else if cause.is_parse() && is_tls(first) {
        let message = format!(
            "{peer} uses TLS, but the URL does not; check whether it should start with https://"
        );
        Error::new(ErrorKind::Tls, message)
    } else if cause.is_parse() {
        Error::protocol(format!("invalid response from {peer}: expected HTTP/1.1"))
    } else if cause.is_user() {
        Error::config(format!(
            "invalid request to {peer}: expected valid HTTP/1.1 headers"
        ))
    } else {
        let message = match sent {
            Sent::No => format!("connection to {peer} lost before the request was sent"),
            _ => format!("connection to {peer} lost before the response headers"),
        };
        Error::new(ErrorKind::Disconnected, message)
    };
    error.with_sent(sent).with_source(cause)
}

/// Creates the error of an exchange with a forwarding proxy; see [`before_head`].
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
        let message = format!("connection to {proxy} lost before the response headers");
        proxy.error(ErrorKind::Proxy, message)
    } else {
        not_http(proxy, first)
    };
    // The proxy may have forwarded the request to the service.
    let error = match sent {
        Sent::No => error,
        _ if lost => error.with_repeat(Repeat::Ambiguous),
        _ => error,
    };
    error.with_sent(sent).with_source(cause)
}

/// Creates the error for a proxy that did not respond with HTTP. `first` holds the first bytes that
/// it sent.
pub(crate) fn not_http(proxy: &Peer<'_>, first: &[u8]) -> Error {
    let message = match first {
        // Most SOCKS servers close the connection if the first byte is not their protocol version.
        [] => format!(
            "{proxy} closed the connection without a response; if it is a SOCKS proxy, its URL \
             should start with socks5h://"
        ),
        // A SOCKS 5 reply, or a SOCKS 4 reply (0 and a code from 90 to 93).
        [5, ..] | [0, 90..=93, ..] => format!(
            "{proxy} uses SOCKS instead of HTTP; the URL of a SOCKS proxy should start with socks5h://"
        ),
        _ if is_tls(first) => {
            format!(
                "{proxy} uses TLS, but its URL does not; check whether it should start with https://"
            )
        }
        _ if is_http2(first) => http2_only(proxy),
        _ => format!("invalid response from {proxy}: expected HTTP"),
    };
    let error = proxy.error(ErrorKind::Proxy, message);
    if first.is_empty() {
        error
    } else {
        error.with_repeat(Repeat::Never)
    }
}

/// Returns true if the connection was lost rather than the peer's data malformed.
pub(crate) fn is_lost(cause: &hyper::Error) -> bool {
    !cause.is_parse_too_large() && !cause.is_parse() && !cause.is_user()
}

/// Creates the error for response headers above the limits.
pub(crate) fn head_too_large(peer: &Peer<'_>) -> Error {
    let message =
        format!("the response headers from {peer} exceed the limit of 64 KiB or 100 fields");
    Error::new(ErrorKind::TooLarge, message)
}

/// Creates the error for a body that was cut off or has invalid framing.
pub(crate) fn in_body(cause: hyper::Error) -> Error {
    let error = if breaks_framing(&cause) {
        Error::protocol("invalid chunked encoding in the response body")
    } else {
        Error::new(
            ErrorKind::Truncated,
            "connection lost in the middle of the response",
        )
    };
    error.with_sent(Sent::Yes).with_source(cause)
}

/// Returns true if hyper could not parse a chunk's frame, which it reports as an I/O error.
fn breaks_framing(cause: &hyper::Error) -> bool {
    let Some(io) = cause
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
    else {
        return false;
    };
    // A broken TLS record is `InvalidData` too, but counts as a lost connection.
    let inner = io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    inner.is_none()
        && matches!(
            io.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        )
}

/// Returns true if the bytes are the start of an HTTP/2 connection of a server: "the server connection
/// preface consists of a potentially empty SETTINGS frame" (RFC 9113, section 3.4). A server that
/// received something else than HTTP/2 may send GOAWAY in its place.
fn is_http2(first: &[u8]) -> bool {
    const GOAWAY: u8 = 7;
    const SETTINGS: u8 = 4;
    // A frame header: the length in 3 bytes, the type, flags, and the stream, which is 0 for both.
    let [a, b, c, kind, 0, 0, 0, 0, 0, ..] = *first else {
        return false;
    };
    let length = u32::from_be_bytes([0, a, b, c]);
    match kind {
        // A setting has 6 bytes.
        SETTINGS => length % 6 == 0,
        // The last stream and the error code have 8 bytes.
        GOAWAY => 8 <= length,
        _ => false,
    }
}

/// Returns the message for a peer that does not accept HTTP/1.1.
pub(crate) fn http2_only(peer: &Peer<'_>) -> String {
    format!(
        "{peer} speaks HTTP/2 only; use an address of the service that accepts HTTP/1.1, or a \
         gateway that does"
    )
}

/// Returns true if the bytes are the start of a TLS alert or handshake record (version 3.x).
fn is_tls(first: &[u8]) -> bool {
    matches!(first, [0x15 | 0x16, 0x03, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_ports_or_descriptors_is_named_and_retried() {
        let peer = Peer {
            host: "host.test",
            port: 443,
            role: Role::Origin,
        };
        let emfile = if cfg!(windows) { 10024 } else { 24 };
        for (cause, says) in [
            (
                io::Error::from(io::ErrorKind::AddrNotAvailable),
                "no local address or port is free",
            ),
            (io::Error::from_raw_os_error(emfile), "too many open files"),
        ] {
            let error = peer.unreachable(cause);
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert_eq!(error.sent(), Some(Sent::No));
            assert_eq!(error.repeat(), Repeat::Safe);
            let message = error.to_string();
            let expected = format!("connection to host.test:443 failed: {says}");
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}
