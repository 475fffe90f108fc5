//! The faults of a connection: their names, what the server does, and what must happen.

use std::fmt;

use crate::info::FaultInfo;

/// Declares the faults: variant, name, numbers in the table of faults, what the server does, and what
/// a careful client must do.
macro_rules! faults {
    ($($variant:ident, $name:literal, $ids:literal, $does:literal, $expected:literal;)*) => {
        /// One fault of the bytes on a connection.
        ///
        /// The server answers as usual, in the format of the request's protocol, and the bytes of
        /// that response are then changed. "The middle" is between two events, after half of them.
        ///
        /// A fault that ends a connection applies to every protocol. A fault of the JSON in an event
        /// has no effect on a prediction's stream, whose events contain text. A fault before HTTP
        /// ([`is_before_http`](Self::is_before_http)) applies to the next connection that is
        /// accepted. The other faults of a prediction apply to the first connection to its stream,
        /// or, as [`Fault::Create`](crate::Fault::Create), to the response that creates it.
        ///
        /// A request by HTTP/2 is closed without a response in place of each of these.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum Wire {
            $(
                #[doc = concat!($does, ".")]
                $variant,
            )*
        }

        impl Wire {
            /// All faults, in the order of the table of faults.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name, what the server does, and what must happen.
            pub const fn info(self) -> FaultInfo {
                match self {
                    $(
                        Self::$variant => FaultInfo {
                            name: $name,
                            ids: $ids,
                            applies_to: Self::$variant.applies_to(),
                            does: $does,
                            expected: $expected,
                        },
                    )*
                }
            }
        }
    };
}

faults! {
    ResetOnAccept, "reset-on-accept", "B7",
        "Resets the connection when it is accepted",
        "error: connection; sent again only if nothing was written";
    HandshakeSilence, "handshake-silence", "B10 C4",
        "Accepts the connection and never reads or writes",
        "error: timeout of the TLS handshake, or of the headers without TLS";
    PlainHttp, "plain-http", "B11",
        "Responds to a TLS handshake with plain HTTP",
        "error: TLS";
    TlsAlert, "tls-alert", "B13",
        "Ends a TLS handshake with the alert `protocol_version`, as a server of TLS 1.0",
        "error: TLS";
    Http2Only, "http2-only", "B16",
        "Speaks only HTTP/2: refuses `http/1.1` in the TLS handshake, or sends a SETTINGS frame",
        "error that names HTTP/2";
    CertificateExpired, "certificate-expired", "B12",
        "Has a certificate that ended in 2001",
        "error: TLS; no request is sent";
    CertificateFuture, "certificate-future", "B12",
        "Has a certificate that begins in 2999",
        "error: TLS; no request is sent";
    CertificateHost, "certificate-host", "B12",
        "Has a certificate for `other.example` and 192.0.2.1",
        "error: TLS; no request is sent";
    CertificateNameOnly, "certificate-name-only", "B12",
        "Has a certificate whose host is in the common name only",
        "error: TLS; no request is sent";
    CertificateWildcard, "certificate-wildcard", "B12",
        "Has a certificate for `*.com` and `*`",
        "error: TLS; no request is sent";
    CertificateUnknown, "certificate-unknown", "B12",
        "Has a certificate of another authority",
        "error: TLS; no request is sent";
    CertificateChain, "certificate-chain", "B14",
        "Sends 200 certificates",
        "error: TLS; no request is sent";
    EarlyRefusal, "early-refusal", "C5",
        "Sends status 413 before the body of the request is read, and closes the connection",
        "error: the status, or the lost connection; not sent again";
    ResetBeforeHead, "reset-before-head", "C2",
        "Reads the request, then resets the connection",
        "error: connection; not sent again, because the request may have been processed";
    HalfHead, "half-head", "C6",
        "Sends half of the headers, then nothing",
        "error: timeout of the headers";
    DripHead, "drip-head", "C6",
        "Sends the headers at one byte per second",
        "error: timeout of the headers";
    EndlessHints, "endless-hints", "C7",
        "Sends status 103 without end",
        "error: timeout of the headers";
    HugeHeader, "huge-header", "C8",
        "Sends a header of 1 MiB",
        "error: too large";
    ManyHeaders, "many-headers", "C8",
        "Sends 2,000 headers",
        "error: too large";
    Garbage, "garbage", "C9",
        "Sends random bytes in place of a response",
        "error: protocol";
    Http09, "http09", "C9",
        "Sends HTML without a status line",
        "error: protocol";
    TwoLengths, "two-lengths", "C10",
        "Sends two different content lengths",
        "error: protocol";
    LengthAndChunks, "length-and-chunks", "C10",
        "Sends a content length beside the transfer encoding `chunked`",
        "complete; the connection is not used again; or error: protocol";
    Switch, "switch", "C11",
        "Sends status 101, which was not requested",
        "error: protocol";
    ContinueOnly, "continue-only", "C11",
        "Sends status 100, then nothing",
        "error: timeout of the headers";
    ResetContent, "reset-content", "C11",
        "Sends status 205 with the body",
        "error: protocol";
    NulInHeader, "nul-in-header", "C12",
        "Sends a header whose value contains a NUL byte",
        "error: protocol";
    CrInHeader, "cr-in-header", "C12",
        "Sends a header whose value contains a CR",
        "error: protocol";
    FoldedHeader, "folded-header", "C12",
        "Sends a header that continues on a second line",
        "error: protocol";
    NoContent, "no-content", "C13",
        "Sends status 204",
        "error: protocol or truncated";
    EmptyStream, "empty-stream", "C13",
        "Sends status 200 and an empty event stream",
        "error: truncated";
    HtmlPage, "html-page", "C14",
        "Sends status 200 and an HTML page",
        "error: protocol";
    JsonError, "json-error", "C14 D24",
        "Sends status 200 and a JSON document with an `error`",
        "error of the service";
    NoContentType, "no-content-type", "C14",
        "Sends the stream without a content type",
        "complete, or error: protocol";
    Utf16, "utf16", "C14",
        "Announces an event stream in UTF-16",
        "error: protocol, or complete";
    HtmlAsStream, "html-as-stream", "C15",
        "Sends an HTML page as an event stream",
        "error: protocol or truncated";
    Gzip, "gzip", "C17",
        "Compresses the body, which was not requested",
        "error: protocol";
    GzipBomb, "gzip-bomb", "C17",
        "Sends 1 MiB of gzip that would be 1 GiB of text",
        "error: protocol";
    StackedEncodings, "stacked-encodings", "C17",
        "Announces five content encodings",
        "error: protocol";
    OneByteWrites, "one-byte-writes", "D1 D4",
        "Sends each byte of the body as an HTTP chunk",
        "complete";
    CrLines, "cr-lines", "D1 D3",
        "Ends lines with CR",
        "complete";
    CrLfLines, "crlf-lines", "D1",
        "Ends lines with CR LF, with each CR at the end of a write",
        "complete";
    ByteOrderMark, "byte-order-mark", "D2",
        "Begins with a byte order mark, each byte in a write",
        "complete";
    TwoByteOrderMarks, "two-byte-order-marks", "D2",
        "Begins with two byte order marks",
        "complete; the first line is ignored";
    InvalidUtf8, "invalid-utf8", "D5",
        "Sends an event in the middle whose data is not UTF-8",
        "complete with a warning, or error: protocol";
    InvalidUtf8Comment, "invalid-utf8-comment", "D5",
        "Sends a comment in the middle that is not UTF-8",
        "complete";
    EndlessLine, "endless-line", "D6",
        "Sends a line in the middle that never ends",
        "error: too large; the text is kept";
    EndlessEvent, "endless-event", "D7",
        "Sends an event in the middle that never ends, in short lines",
        "error: too large; the text is kept";
    EndlessComments, "endless-comments", "D8",
        "Sends comments without end and without pause in the middle",
        "error: timeout without progress; the text is kept";
    Comments, "comments", "D8 F4",
        "Sends a comment every 20 ms in the middle, without end",
        "error: timeout without progress; the text is kept";
    EndlessLines, "endless-lines", "D9",
        "Sends empty lines without end in the middle",
        "error: timeout without progress; the text is kept";
    EndlessEvents, "endless-events", "D9",
        "Sends events with empty data without end in the middle",
        "error: timeout without progress, or protocol; the text is kept";
    DeepJson, "deep-json", "D11",
        "Sends 128 KiB of `[` as the data of an event in the middle",
        "error: protocol; the text is kept";
    WrongTypes, "wrong-types", "D12",
        "Sends a JSON array of numbers as the data of an event in the middle",
        "error: protocol; the text is kept";
    UnknownEvent, "unknown-event", "D14 D26",
        "Sends events named `keepalive` and `x-unknown` in the middle",
        "complete";
    NoSpace, "no-space", "D16",
        "Writes fields without a space after the colon",
        "complete; of a prediction, text that begins with a space loses it";
    TwoEnds, "two-ends", "D19",
        "Repeats the last event",
        "complete, with one end";
    TextAfterEnd, "text-after-end", "D20",
        "Sends the first half of the events again after the last",
        "complete, with one end; text after the end marker is dropped";
    NoBlankLine, "no-blank-line", "D21 E5",
        "Ends the body without the blank line of the last event",
        "complete after an end marker; otherwise error: truncated";
    ErrorEvent, "error-event", "D24",
        "Sends an event named `error` with an error object in the middle, then ends the body",
        "error of the service; the text is kept";
    CleanCut, "clean-cut", "E1",
        "Ends the body in the middle",
        "error: truncated; the text is kept";
    CleanCutInEvent, "clean-cut-in-event", "E5",
        "Ends the body inside an event in the middle",
        "error: truncated; the text is kept, the half event is not delivered";
    CutUntilClose, "cut-until-close", "E4",
        "Sends a body that ends with the connection, which is closed in the middle",
        "error: truncated; the text is kept";
    CutUntilCloseInEvent, "cut-until-close-in-event", "E4",
        "Sends a body that ends with the connection, which is closed inside an event",
        "error: truncated; the text is kept, the half event is not delivered";
    UntilClose, "until-close", "E4",
        "Sends a complete body that ends with the connection",
        "complete";
    KnownLength, "known-length", "E6",
        "Sends a complete body with a content length",
        "complete";
    CutBetweenChunks, "cut-between-chunks", "E6",
        "Closes the connection between two HTTP chunks in the middle",
        "error: truncated; the text is kept";
    CutInChunk, "cut-in-chunk", "E6",
        "Closes the connection inside an HTTP chunk in the middle",
        "error: truncated; the text is kept";
    ShortLength, "short-length", "E6",
        "Announces the complete length, and closes the connection in the middle",
        "error: truncated; the text is kept";
    ResetInEvent, "reset-in-event", "E7",
        "Resets the connection inside an event in the middle",
        "error: truncated; the text is kept";
    OpenAtEnd, "open-at-end", "E8",
        "Sends the complete response, and neither ends the body nor closes the connection",
        "complete";
    ResetAtEnd, "reset-at-end", "E3 E8",
        "Sends the complete response, and resets the connection in place of the end of the body",
        "complete after the last event of the protocol";
    ChunkSize, "chunk-size", "E9",
        "Sends an invalid HTTP chunk size in the middle",
        "error: protocol or truncated; the text is kept";
    ChunkSizeOverflow, "chunk-size-overflow", "E9",
        "Sends an HTTP chunk size of 17 digits in the middle",
        "error: protocol or truncated; the text is kept";
    ChunkExtensions, "chunk-extensions", "E9",
        "Sends an extension of an HTTP chunk that never ends in the middle",
        "error: protocol or truncated; the text is kept";
    Trailers, "trailers", "E10",
        "Sends trailers after the body",
        "complete";
    NoCloseNotify, "no-close-notify", "B15",
        "Sends a complete body that ends with the connection, and closes it below TLS",
        "complete after the last event of the protocol";
    NoCloseNotifyInMiddle, "no-close-notify-in-middle", "B15",
        "Closes the connection below TLS in the middle of a body that ends with the connection",
        "error: truncated; the text is kept";
    CorruptRecord, "corrupt-record", "B17",
        "Sends an invalid TLS record in the middle",
        "error: connection; the text is kept";
    HeadThenSilence, "head-then-silence", "F2",
        "Sends the headers, then nothing",
        "error: timeout of the first event";
    StallInEvent, "stall-in-event", "F3",
        "Sends half an event in the middle, then nothing",
        "error: timeout between events; the text is kept";
    Drip, "drip", "F5",
        "Sends one byte of the body every 0.5 s",
        "error: timeout of the first event or without progress";
    EndlessErrorBody, "endless-error-body", "F8",
        "Sends status 500 and a body that never ends",
        "error: the status, after at most 2 s";
    HugeErrorBody, "huge-error-body", "F8",
        "Sends status 400 and a body without end and without pause",
        "error: the status";
    RetryMs, "retry-ms", "G3",
        "Sends status 429 with `retry-after-ms: 700`",
        "sent again after 0.7 s";
    RetryDate, "retry-date", "G2",
        "Sends status 429, whose `Retry-After` is 2 s after its `Date`, an hour ago",
        "sent again after 2 s";
    RetryTwice, "retry-twice", "G5",
        "Sends status 429 with two different headers `Retry-After`",
        "sent again after a wait of its own or one of the two";
    RetryHuge, "retry-huge", "G5",
        "Sends status 429 with a `Retry-After` of 10 KiB",
        "sent again after a wait of its own";
    ShouldNotRetry, "should-not-retry", "G9",
        "Sends status 429 with `x-should-retry: false`",
        "error: rate limit; not sent again";
    ShouldRetry, "should-retry", "G10",
        "Sends status 400 with `x-should-retry: true`",
        "error: the request; not sent again";
    Redirect301, "redirect-301", "H1", "Redirects to another origin with status 301",
        "error: redirect; the other origin gets no request";
    Redirect302, "redirect-302", "H1", "Redirects to another origin with status 302",
        "error: redirect; the other origin gets no request";
    Redirect303, "redirect-303", "H1", "Redirects to another origin with status 303",
        "error: redirect; the other origin gets no request";
    Redirect307, "redirect-307", "H1", "Redirects to another origin with status 307",
        "error: redirect; the other origin gets no request";
    Redirect308, "redirect-308", "H1", "Redirects to another origin with status 308",
        "error: redirect; the other origin gets no request";
    RedirectLoop, "redirect-loop", "H2", "Redirects to the same URL",
        "error: redirect; one request";
    RedirectNowhere, "redirect-nowhere", "H2", "Redirects without a `Location`",
        "error: redirect";
    RedirectFile, "redirect-file", "H2", "Redirects to a `file:` URL",
        "error: redirect";
    RedirectHuge, "redirect-huge", "H2", "Redirects to a URL of 48 KiB",
        "error: redirect, without the URL";
    ManyCookies, "many-cookies", "H6",
        "Sets 90 cookies, one of 20 KB, for other domains, and with control characters",
        "complete; a cookie jar refuses what no browser would keep";
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.info().name)
    }
}

impl Wire {
    /// Returns the fault with this name.
    pub fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|fault| fault.info().name == name)
    }

    /// Returns true if the fault occurs before a request is read, so that it applies to a connection.
    pub const fn is_before_http(self) -> bool {
        self.is_about_certificates()
            || matches!(
                self,
                Self::ResetOnAccept
                    | Self::HandshakeSilence
                    | Self::PlainHttp
                    | Self::TlsAlert
                    | Self::Http2Only
                    | Self::EarlyRefusal
            )
    }

    /// Returns true if the fault occurs only over TLS; a server without TLS ignores it.
    pub const fn needs_tls(self) -> bool {
        self.is_about_certificates()
            || matches!(
                self,
                Self::PlainHttp
                    | Self::TlsAlert
                    | Self::NoCloseNotify
                    | Self::NoCloseNotifyInMiddle
                    | Self::CorruptRecord
            )
    }

    /// Returns true if the fault is in the JSON of an event, which a prediction's stream does not
    /// have.
    pub const fn needs_json(self) -> bool {
        matches!(self, Self::DeepJson | Self::WrongTypes)
    }

    const fn applies_to(self) -> &'static str {
        if self.needs_tls() {
            "all, with TLS"
        } else if self.needs_json() {
            "all but predictions"
        } else {
            "all"
        }
    }

    pub(crate) const fn is_about_certificates(self) -> bool {
        matches!(
            self,
            Self::CertificateExpired
                | Self::CertificateFuture
                | Self::CertificateHost
                | Self::CertificateNameOnly
                | Self::CertificateWildcard
                | Self::CertificateUnknown
                | Self::CertificateChain
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;

    #[test]
    fn names_are_unique_and_found() {
        for (at, fault) in Wire::ALL.iter().enumerate() {
            let name = fault.info().name;
            assert_eq!(Wire::find(name), Some(*fault), "{name}");
            assert!(
                Wire::ALL[..at]
                    .iter()
                    .all(|other| other.info().name != name)
            );
        }
    }
}
