//! Settings into a transport, checked before the first request.

use std::time::Duration;

use http::HeaderValue;
use inferstream_core::{Error, Result, Timeouts};

use crate::{
    client::{HttpTransport, Inner},
    pool::Pool,
    proxy::{Proxies, Setting},
    runtime::Runtime,
    tls::{Roots, Tls},
};

/// The settings of an [`HttpTransport`].
///
/// ```
/// use std::time::Duration;
///
/// use inferstream_transport::{HttpTransport, Roots, Timeouts};
///
/// let transport = HttpTransport::builder()
///     .roots(Roots::Bundled)
///     .no_proxy()
///     .timeouts(Timeouts::default().head(Duration::from_secs(300)))
///     .build()?;
/// # Ok::<(), inferstream_transport::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `build` is called"]
pub struct HttpTransportBuilder {
    proxy: Setting,
    roots: Roots,
    certificates: Vec<Vec<u8>>,
    timeouts: Timeouts,
    user_agent: String,
    pool_idle: Duration,
}

impl Default for HttpTransportBuilder {
    fn default() -> Self {
        Self {
            proxy: Setting::default(),
            roots: Roots::default(),
            certificates: Vec::new(),
            timeouts: Timeouts::default(),
            user_agent: concat!("inferstream/", env!("CARGO_PKG_VERSION")).to_owned(),
            // Load balancers close after 60 s and some services after 20; 15 stays below.
            pool_idle: Duration::from_secs(15),
        }
    }
}

impl HttpTransportBuilder {
    /// Sends every request through the proxy: `http://`, `https://`, `socks5://` (names are looked
    /// up here) or `socks5h://` (by the proxy), with `user:password@` where it wants to know.
    ///
    /// Special characters in the user name and the password are percent-encoded. The ports are 80,
    /// 443 and 1080 where the URL has none. `NO_PROXY` does not count here.
    ///
    /// Without this and [`no_proxy`](Self::no_proxy), the environment decides as it does for curl:
    /// `http_proxy` for `http://`, `https_proxy` for `https://`, `all_proxy` for both, but not for
    /// the hosts in `no_proxy`, each also in upper case. `HTTP_PROXY` in upper case does not count
    /// in a CGI program, where whoever sends the request sets it.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Setting::Url(url.into());
        self
    }

    /// Uses no proxy, whatever the environment says.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Setting::Never;
        self
    }

    /// Sets which certificate authorities are trusted: [`Roots::All`] unless set.
    ///
    /// The operating system's are read at the first `https://` request, away from the runtime's
    /// threads, and kept.
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Trusts the certificates of this PEM text too, one or more.
    ///
    /// [`build`](Self::build) checks them.
    pub fn certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.certificates.push(pem.as_ref().to_owned());
        self
    }

    /// Sets the limits for requests that bring none of their own.
    ///
    /// A transport keeps `dns` (5 s), `connect` (5 s, over all addresses of a host), `tls` (5 s),
    /// `write` (30 s without progress) and `head` (60 s).
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the `User-Agent` of requests that have none: `inferstream/` and the version unless set.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sets how long a connection is kept for the next request: 15 s unless set, and not at all
    /// with zero.
    ///
    /// At most 8 idle ones per host are kept.
    pub fn pool_idle(mut self, limit: Duration) -> Self {
        self.pool_idle = limit;
        self
    }

    /// Creates the transport. Nothing is connected or read from disk yet.
    ///
    /// # Errors
    ///
    /// `Config`, naming the setting, if the proxy's URL or an environment variable for one is
    /// malformed, if a certificate cannot be read, if [`Roots::Given`] was given none, if the user
    /// agent cannot stand in a header, or if TLS has no cryptography: neither the feature `ring`
    /// nor `aws-lc-rs` is on, and the program has installed no rustls `CryptoProvider` (an
    /// installed one comes first).
    pub fn build(self) -> Result<HttpTransport> {
        let user_agent = HeaderValue::try_from(self.user_agent).map_err(|cause| {
            let message = "`user_agent` holds a character that cannot stand in a header";
            Error::config(message)
                .with_setting("user_agent")
                .with_source(cause)
        })?;
        Ok(HttpTransport::from_inner(Inner {
            pool: Pool::new(self.pool_idle),
            proxies: Proxies::new(&self.proxy)?,
            tls: Tls::new(self.roots, &self.certificates)?,
            timeouts: self.timeouts,
            user_agent,
            runtime: Runtime::default(),
        }))
    }
}
