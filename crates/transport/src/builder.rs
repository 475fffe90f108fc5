//! The builder of a transport. Settings are validated before the first request.

use std::time::Duration;

use http::HeaderValue;
use inferstream_core::{Error, Result, Timeouts};

use crate::{
    client::{HttpTransport, Inner},
    names::Names,
    pool::Pool,
    proxy::{Proxies, Setting},
    runtime::Runtime,
    tls::{Roots, Tls},
};

/// Configures an [`HttpTransport`].
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
            // Load balancers close idle connections after 60 s and some services after 20 s.
            pool_idle: Duration::from_secs(15),
        }
    }
}

impl HttpTransportBuilder {
    /// Sends every request through a proxy: `http://`, `https://`, `socks5://` (host names are
    /// resolved locally) or `socks5h://` (resolved by the proxy). Credentials are given as
    /// `user:password@`.
    ///
    /// Special characters in the user name and the password must be percent-encoded. The default
    /// ports are 80, 443 and 1080. `NO_PROXY` is ignored with this setting.
    ///
    /// Without this setting and [`no_proxy`](Self::no_proxy), the environment is read as curl does:
    /// `http_proxy` applies to `http://`, `https_proxy` to `https://` and `all_proxy` to both,
    /// except for the hosts listed in `no_proxy`. Each may also be in upper case. In a CGI program,
    /// `HTTP_PROXY` is ignored, because there the client of the program controls it.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Setting::Url(url.into());
        self
    }

    /// Uses no proxy and ignores the environment variables.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = Setting::Never;
        self
    }

    /// Sets which certificate authorities are trusted. The default is [`Roots::All`].
    ///
    /// The operating system's authorities are loaded once, at the first `https://` request, on a
    /// blocking thread.
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Trusts additional certificates, given as PEM text with one or more of them.
    ///
    /// [`build`](Self::build) validates them.
    pub fn certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.certificates.push(pem.as_ref().to_owned());
        self
    }

    /// Sets the timeouts of requests that have none in their extensions.
    ///
    /// The transport enforces `dns` (5 s by default), `connect` (5 s, over all addresses of a
    /// host), `tls` (5 s), `write` (30 s without progress) and `head` (60 s).
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets the `user-agent` header of requests that have none. The default is `inferstream/` and
    /// the version.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sets how long an idle connection is kept for reuse. The default is 15 s; zero disables
    /// reuse.
    ///
    /// At most 8 idle connections are kept per host. Only requests with the extension
    /// [`ReplayStale`](inferstream_core::ReplayStale) use them.
    pub fn pool_idle(mut self, limit: Duration) -> Self {
        self.pool_idle = limit;
        self
    }

    /// Creates the transport. Opens no connection and reads no file.
    ///
    /// # Errors
    ///
    /// Returns `Config` with the name of the setting if the URL of a proxy (or its environment
    /// variable) is malformed, a certificate cannot be parsed, [`Roots::Given`] is used without a
    /// certificate, the user agent is not a valid header value, or there is no TLS crypto provider:
    /// neither the feature `ring` nor `aws-lc-rs` is enabled, and the program has not installed a
    /// rustls `CryptoProvider` (an installed one takes precedence).
    pub fn build(self) -> Result<HttpTransport> {
        let user_agent = HeaderValue::try_from(self.user_agent).map_err(|cause| {
            let message = "invalid `user_agent`: expected visible ASCII characters and spaces";
            Error::config(message)
                .with_setting("user_agent")
                .with_source(cause)
        })?;
        Ok(HttpTransport::from_inner(Inner {
            pool: Pool::new(self.pool_idle),
            names: Names::default(),
            proxies: Proxies::new(&self.proxy)?,
            tls: Tls::new(self.roots, &self.certificates)?,
            timeouts: self.timeouts,
            user_agent,
            runtime: Runtime::default(),
        }))
    }
}
