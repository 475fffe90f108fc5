//! The client of Cerebras Inference and its builder.

#[cfg(feature = "cookies")]
use std::sync::Arc;

use inferstream_client::{Client, Setting, Settings, same_host};
use inferstream_core::{BoxFuture, Error, ErrorKind, Model, Result};
use inferstream_openai_compat::Chat;
#[cfg(feature = "cookies")]
use inferstream_session::Cookies;

use crate::dialect::{BASE_URL, CerebrasDialect, INFO, public_models_url};
#[cfg(feature = "cookies")]
use crate::session::Session;

/// A client of Cerebras Inference.
///
/// Cloning is cheap; clones share connections and the model list.
///
/// [`check`](Self::check) returns what the service does not support in a request, without sending it:
///
/// ```
/// # #[cfg(feature = "transport")]
/// # fn main() -> inferstream_cerebras::Result<()> {
/// use inferstream_cerebras::{Cerebras, ChatRequest, Json, ResponseFormat};
///
/// let schema = r#"{"type":"object","properties":{"year":{"type":"integer","minimum":1888}}}"#;
/// let format = ResponseFormat::json_schema("film", Json::from_text(schema)).strict(true);
/// let request = ChatRequest::from("A film, please.").response_format(format);
///
/// let cerebras = Cerebras::builder().api_key("any").build()?;
/// let unsupported = cerebras.check(request)?;
/// assert_eq!(unsupported[0].field, "response_format#/properties/year/minimum");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "transport"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Cerebras {
    client: Client<Chat<CerebrasDialect>>,
}

/// The settings of a [`Cerebras`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CerebrasBuilder {
    behind_gateway: bool,
    #[cfg(feature = "cookies")]
    cookies: Option<Cookies>,
    #[cfg(feature = "cookies")]
    session_url: Option<Setting>,
    settings: Settings,
    gzip_from: Option<usize>,
}

inferstream_client::provider! {
    #[stream doc = "With cookies, the session can fail too: `Auth`, `Permission` or `Redirect` if the"]
    #[stream doc = "browser is not signed in, `Challenge` for a browser challenge."]
    impl Cerebras: this => &this.client
}

inferstream_client::builder!(CerebrasBuilder with key);

impl Cerebras {
    /// Creates a client with the key in `CEREBRAS_API_KEY`, for the service at
    /// `CEREBRAS_BASE_URL` if that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if the key is missing, unless the base URL has another host; `Config` if the key or the
    /// base URL is invalid.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cerebras = CerebrasBuilder::from_env()?.build()?;
        cerebras.client.check_key()?;
        Ok(cerebras)
    }

    /// Returns a builder with the default settings. No environment variable is read.
    pub fn builder() -> CerebrasBuilder {
        CerebrasBuilder::default()
    }

    /// Requests the public model list (`/public/v1/models`), which needs no key.
    ///
    /// [`models`](Self::models) does the same if no key is set.
    ///
    /// # Errors
    ///
    /// As [`models`](Self::models).
    pub fn public_models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        let client = self.client.clone();
        Box::pin(async move {
            let call = client.keyless_call();
            let url = public_models_url(&call.base);
            let list = client.protocol().models_at(&call, &url).await?;
            client.set_known_models(list.clone());
            Ok(list)
        })
    }
}

impl CerebrasBuilder {
    /// Reads `CEREBRAS_API_KEY` and `CEREBRAS_BASE_URL`, if they are set. Later calls of setters
    /// override them.
    ///
    /// # Errors
    ///
    /// `Config` if a variable is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["CEREBRAS_API_KEY"], &["CEREBRAS_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets the base URL: `https://api.cerebras.ai/v1` by default.
    ///
    /// `/v1` is added to a URL without a path, as in the official SDKs. At another host, such as a
    /// local engine, the key is optional, the token limit is sent as `max_tokens`, which every
    /// compatible service knows, and JSON schemas are sent unchanged. If that host is a gateway to
    /// Cerebras, add [`behind_gateway`](Self::behind_gateway).
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Declares that the base URL leads to Cerebras through a gateway or proxy at another host: false
    /// by default.
    ///
    /// Requests are then checked and encoded as for Cerebras itself: JSON schemas are adapted to what
    /// it accepts, and the token limit is sent as `max_completion_tokens`. A key remains optional,
    /// because the gateway may add its own. At Cerebras' own host this changes nothing.
    ///
    /// ```
    /// use inferstream_cerebras::Cerebras;
    ///
    /// let builder = Cerebras::builder()
    ///     .base_url("https://gateway.example.com/cerebras/v1")
    ///     .behind_gateway();
    /// # drop(builder);
    /// ```
    pub fn behind_gateway(mut self) -> Self {
        self.behind_gateway = true;
        self
    }

    /// Sets the cookies of a signed-in browser, with which the client gets the key. This way is
    /// unofficial, and it is unknown whether the service still supports it.
    ///
    /// The first request gets the demo key of the account from the session of the page. The key is
    /// kept in memory, shared by clones, until the service refuses it or the session ends; then it is
    /// requested again. After the cookies were refused, all calls fail for 30 s without a new
    /// request. The cookies are sent only to the host of the session, and the key only to the [base
    /// URL](Self::base_url). The total timeout of a request includes the request for the key.
    ///
    /// If an API key is set too, it is used, and the session is never requested.
    #[cfg(feature = "cookies")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Sets the URL of the page with the session, for tests: `https://inference.cerebras.ai` by
    /// default. The client requests `/api/auth/session` below it.
    ///
    /// Cookies without a host are sent there; cookies of other hosts are not.
    #[cfg(feature = "cookies")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn session_url(mut self, url: impl Into<String>) -> Self {
        self.session_url = Some(Setting::new(url));
        self
    }

    /// Sets the size, in bytes, from which requests are compressed with gzip if that makes them
    /// smaller. By default nothing is compressed.
    ///
    /// It saves time for large prompts on slow connections. Compression takes a few milliseconds for
    /// each megabyte, in the calling task. Cerebras accepts it by its documentation of November 2026;
    /// a service at another base URL may not.
    ///
    /// ```
    /// use inferstream_cerebras::Cerebras;
    ///
    /// let builder = Cerebras::builder().gzip_from(64 << 10);
    /// # drop(builder);
    /// ```
    #[cfg(feature = "gzip")]
    #[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
    pub fn gzip_from(mut self, bytes: usize) -> Self {
        self.gzip_from = Some(bytes);
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` if the key, the base URL or a header is invalid, if no cookie is for the session, or
    /// if the transport is missing.
    pub fn build(self) -> Result<Cerebras> {
        let settings = self.settings;
        let base = settings.base_url_or(BASE_URL);
        let elsewhere = !same_host(&base, BASE_URL);
        let mut dialect = CerebrasDialect::new(elsewhere && !self.behind_gateway);
        dialect.gzip_from = self.gzip_from;
        dialect.has_public_models = !elsewhere;
        #[cfg(feature = "cookies")]
        if let Some(cookies) = self.cookies.filter(|_| settings.key.is_none()) {
            let site = self.session_url.as_ref().map(Setting::value);
            dialect.by_session = true;
            let client = by_cookies(Chat::new(dialect), &base, settings, &cookies, site)?;
            return Ok(Cerebras { client });
        }
        let protocol = Chat::new(dialect);
        let client = if elsewhere {
            Client::new(protocol, &base, settings)
        } else {
            Client::with_required_key(protocol, &base, settings, no_key())
        };
        Ok(Cerebras { client: client? })
    }
}

/// Creates a client whose key comes from the session of cookies.
#[cfg(feature = "cookies")]
fn by_cookies(
    protocol: Chat<CerebrasDialect>,
    base: &str,
    mut settings: Settings,
    cookies: &Cookies,
    site: Option<&str>,
) -> Result<Client<Chat<CerebrasDialect>>> {
    let transport = settings.transport()?;
    settings.transport = Some(Arc::clone(&transport));
    let (timeouts, retry) = (settings.timeouts.unwrap_or_default(), settings.retry);
    let session = Session::new(cookies, site, transport, timeouts, retry)?;
    Client::with_credentials(protocol, base, settings, session)
}

fn no_key() -> Error {
    let login = INFO.login_url();
    let message =
        format!("missing key for cerebras: set CEREBRAS_API_KEY; create a key at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}
