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
/// Cloning is cheap; clones share connections and the list of models.
///
/// What a request would lose here can be asked before it is sent:
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
    #[stream doc = "By cookies, errors are also what their session reports: `Auth`, `Permission` or `Redirect`"]
    #[stream doc = "where nobody is signed in, `Challenge` for a browser challenge."]
    impl Cerebras: this => &this.client
}

inferstream_client::builder!(CerebrasBuilder with key);

impl Cerebras {
    /// Creates a client with the key in `CEREBRAS_API_KEY`, for the service at
    /// `CEREBRAS_BASE_URL` if that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key, unless the URL leads elsewhere; `Config` if the key or the URL cannot
    /// be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cerebras = CerebrasBuilder::from_env()?.build()?;
        cerebras.client.check_key()?;
        Ok(cerebras)
    }

    /// Returns a builder without any setting: no environment variable is read.
    pub fn builder() -> CerebrasBuilder {
        CerebrasBuilder::default()
    }

    /// Requests the public list of models, which needs no key: `/public/v1/models`.
    ///
    /// [`models`](Self::models) does the same where there is no key.
    ///
    /// # Errors
    ///
    /// As any request.
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
    /// Reads `CEREBRAS_API_KEY` and `CEREBRAS_BASE_URL` where they are set; what is set afterwards
    /// wins.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["CEREBRAS_API_KEY"], &["CEREBRAS_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets where the service is: `https://api.cerebras.ai/v1`.
    ///
    /// A URL without a path gets `/v1`, as the official SDKs have it. A service at another host, such
    /// as an engine on this machine, is asked without a key if none is set. It gets the token limit as
    /// `max_tokens`, which every compatible one knows, and JSON schemas unchanged. Where that host is a
    /// gateway to Cerebras, add [`behind_gateway`](Self::behind_gateway).
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Says that the service at the base URL is Cerebras behind a gateway or proxy of another host:
    /// false by default.
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

    /// Gets the key by the cookies of a browser that is signed in: unofficial.
    ///
    /// The first request asks the page's session for the account's demo key, which is kept in memory
    /// until it is refused or the session ends, and then asked for once more; clones share it. A
    /// refusal of the cookies answers all who ask within 30 s. The cookies go to the session's host
    /// alone, and the key to the [base URL](Self::base_url). A request's whole limit holds for both.
    ///
    /// A key that is set wins, and the session is never asked. Whether the service still answers is
    /// unknown.
    #[cfg(feature = "cookies")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Sets where the page of the session is, for tests: `https://inference.cerebras.ai`. What is asked
    /// is `/api/auth/session` below it.
    ///
    /// Cookies that name no host go there, and those of other hosts do not.
    #[cfg(feature = "cookies")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn session_url(mut self, url: impl Into<String>) -> Self {
        self.session_url = Some(Setting::new(url));
        self
    }

    /// Sets from how many bytes on a request is sent compressed by gzip, where that makes it smaller:
    /// never by default.
    ///
    /// It saves time where a large prompt goes over a slow line. Compressing takes a few milliseconds
    /// for each megabyte, in the task that asks. The service takes it at its own address, by its
    /// documentation of November 2026; another may not.
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
    /// `Config` for a key, URL or header that cannot be used, for cookies of which none is for the
    /// session, or where there is no transport.
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
    let message = format!("cerebras needs a key: set CEREBRAS_API_KEY; keys are at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}
