//! The faults of a proxy: their names, what it does, and what must happen.

use std::fmt;

use crate::info::FaultInfo;

/// Declares the faults: variant, name, what the proxy does, and what a careful client must do.
macro_rules! faults {
    ($($variant:ident, $name:literal, $ids:literal, $does:literal, $expected:literal;)*) => {
        /// One fault of a [`Proxy`](crate::Proxy), in each of its connections.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum ProxyFault {
            $(
                #[doc = concat!($does, ".")]
                $variant,
            )*
        }

        impl ProxyFault {
            /// All faults.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name, what the proxy does, and what must happen.
            pub const fn info(self) -> FaultInfo {
                match self {
                    $(
                        Self::$variant => FaultInfo {
                            name: $name,
                            ids: $ids,
                            applies_to: "proxy",
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
    Close, "proxy-close", "B18",
        "Reads the request for a tunnel, then closes the connection",
        "error: proxy; sent again, because the service got nothing";
    Reset, "proxy-reset", "B18",
        "Reads the request for a tunnel, then resets the connection",
        "error: proxy; sent again, because the service got nothing";
    Silence, "proxy-silence", "B18",
        "Reads the request for a tunnel, and never responds",
        "error: proxy, after the timeout of the connection; sent again";
    HalfReply, "proxy-half-reply", "B18",
        "Sends half of its response, then nothing",
        "error: proxy, after the timeout of the connection; sent again";
    Garbage, "proxy-garbage", "B18",
        "Sends random bytes in place of a response",
        "error: proxy";
    AuthRequired, "proxy-auth-required", "B18",
        "Requires other credentials: status 407, or no acceptable method of SOCKS5",
        "error: proxy; not sent again";
    Refused, "proxy-refused", "B18",
        "Refuses the tunnel: status 502, or code 2 of SOCKS5",
        "error: proxy; sent again, because the service got nothing";
    Html, "proxy-html", "B18",
        "Sends status 403 and an HTML page; with SOCKS5 no fault",
        "error: proxy";
    Redirect, "proxy-redirect", "B18",
        "Redirects to a page with status 302; with SOCKS5 no fault",
        "error: proxy; the page gets no request";
    Body, "proxy-body", "B19",
        "Accepts the tunnel with a response that has a body; with SOCKS5 no fault",
        "error: TLS";
    HugeHead, "proxy-huge-head", "B19",
        "Sends headers of 10 MiB; with SOCKS5 no fault",
        "error: proxy";
    Cut, "proxy-cut", "B18",
        "Closes the tunnel after 2,000 bytes from the service",
        "error: truncated; the text is kept";
    Stall, "proxy-stall", "B18",
        "Forwards nothing after 2,000 bytes from the service",
        "error: timeout between events; the text is kept";
}

impl ProxyFault {
    /// Returns the fault with this name.
    pub fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|fault| fault.info().name == name)
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.info().name)
    }
}
