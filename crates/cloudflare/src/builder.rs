//! The builder of a client.

#[cfg(feature = "playground")]
use std::{path::PathBuf, sync::Arc};

use http::{HeaderName, HeaderValue};
use inferstream_client::{Client, Setting, Settings, base_url};
#[cfg(feature = "playground")]
use inferstream_core::BoxFuture;
use inferstream_core::{ApiKey, Error, ErrorKind, Result, protocol::check_headers};
use inferstream_openai_compat::Chat;

#[cfg(feature = "playground")]
use crate::playground::{Carrier, PlaygroundSettings, Refresher, session::SessionData};
use crate::{
    client::{Cloudflare, Service},
    models::INFO,
    workers_ai::{Endpoint, WorkersAi},
};

/// Where the service is, with the version that every path begins with.
const BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// Where gateways are.
const GATEWAY_URL: &str = "https://gateway.ai.cloudflare.com/v1";

const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");
const GATEWAY_AUTH: HeaderName = HeaderName::from_static("cf-aig-authorization");

/// The settings of a [`Cloudflare`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CloudflareBuilder {
    account: Option<Setting>,
    token: Option<Setting>,
    email: Option<Setting>,
    key: Option<Setting>,
    gateway: Option<String>,
    gateway_token: Option<Setting>,
    endpoint: Endpoint,
    #[cfg(feature = "playground")]
    playground: PlaygroundSettings,
    settings: Settings,
}

impl Cloudflare {
    /// Creates a client by the environment: see [`CloudflareBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// `Auth` if there is no token; `Config` if there is no account, or a variable cannot be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cloudflare = CloudflareBuilder::from_env()?.build()?;
        if let Ok(client) = cloudflare.workers_ai() {
            client.check_key()?;
        }
        Ok(cloudflare)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> CloudflareBuilder {
        CloudflareBuilder::default()
    }
}

inferstream_client::builder!(CloudflareBuilder);

impl CloudflareBuilder {
    /// Takes `CLOUDFLARE_ACCOUNT_ID`, `CLOUDFLARE_API_TOKEN`, and `CLOUDFLARE_BASE_URL` where they are
    /// set; what is set afterwards wins.
    ///
    /// Without a token, `CLOUDFLARE_EMAIL` and `CLOUDFLARE_API_KEY` are the older pair, and
    /// `CLOUDFLARE_API_KEY` alone is taken for a token.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        let key = Setting::from_env(&["CLOUDFLARE_API_KEY"])?;
        let email = Setting::from_env(&["CLOUDFLARE_EMAIL"])?;
        let (token, email, key) = match (Setting::from_env(&["CLOUDFLARE_API_TOKEN"])?, email) {
            (None, None) => (key, None, None),
            (None, email) => (None, email, key),
            (token, _) => (token, None, None),
        };
        Ok(Self {
            account: Setting::from_env(&["CLOUDFLARE_ACCOUNT_ID"])?,
            token,
            email,
            key,
            settings: Settings::from_env(&[], &["CLOUDFLARE_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Returns true if the account's id is set: without it there is nothing to build.
    pub fn has_account(&self) -> bool {
        self.account.is_some()
    }

    /// Sets the account's id: 32 hexadecimal digits, on the dashboard's overview.
    pub fn account_id(mut self, id: impl Into<String>) -> Self {
        self.account = Some(Setting::new(id));
        self
    }

    /// Sets the API token; white space around it is dropped.
    pub fn api_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Setting::new(token));
        self
    }

    /// Sets the older pair of an account's email address and its global API key, in place of a token.
    pub fn api_key(mut self, email: impl Into<String>, key: impl Into<String>) -> Self {
        self.token = None;
        self.email = Some(Setting::new(email));
        self.key = Some(Setting::new(key));
        self
    }

    /// Asks through an AI Gateway of the account's, by its name.
    ///
    /// What the gateway is to do with a request goes by its headers, such as `cf-aig-skip-cache`:
    /// [`header`](Self::header), or for one request
    /// [`ChatRequest::header`](crate::ChatRequest::header).
    pub fn gateway(mut self, name: impl Into<String>) -> Self {
        self.gateway = Some(name.into());
        self
    }

    /// Sets the gateway's own token, where it wants one: `cf-aig-authorization`.
    pub fn gateway_token(mut self, token: impl Into<String>) -> Self {
        self.gateway_token = Some(Setting::new(token));
        self
    }

    /// Sets where the service is: `https://api.cloudflare.com/client/v4`, or of a gateway
    /// `https://gateway.ai.cloudflare.com/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets the endpoint that requests are sent to; the default is [`Endpoint::ByModel`].
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for an account, key, URL or header that cannot be used, or where there is no account
    /// or no transport.
    pub fn build(self) -> Result<Cloudflare> {
        let mut settings = self.settings;
        #[cfg(feature = "playground")]
        if self.playground.carrier.is_some() {
            let timeouts = || Cloudflare::default_timeouts(true);
            settings.timeouts.get_or_insert_with(timeouts);
            let playground = self.playground.build(settings)?;
            return Ok(Cloudflare::new(Service::Playground(playground)));
        }
        check_headers(&settings.headers)?;
        settings.key.clone_from(&self.token);
        let about_token = |error: Error| error.with_setting("api_token");
        settings.api_key().map_err(about_token)?;
        if let (Some(email), Some(own)) = (&self.email, &self.key) {
            settings.headers.insert(AUTH_EMAIL, secret(email.value())?);
            settings
                .headers
                .insert(AUTH_KEY, secret(key(own, "api_key")?.expose())?);
        }
        if let Some(token) = &self.gateway_token {
            settings
                .headers
                .insert(GATEWAY_AUTH, key(token, "gateway_token")?.bearer());
        }
        let has_key = settings.key.is_some() || settings.headers.contains_key(AUTH_KEY);
        let Some(account) = self.account else {
            return Err(Error::config(
                "cloudflare needs an account: set CLOUDFLARE_ACCOUNT_ID to the id on the dashboard",
            )
            .with_setting("account_id"));
        };
        let id = account.value().trim();
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let error = Error::config("invalid account id: expected letters and digits");
            return Err(account.explain(error.with_setting("account_id")));
        }
        let default = match self.gateway {
            None => BASE_URL,
            Some(_) => GATEWAY_URL,
        };
        let url = settings.base_url.as_ref().map_or(default, Setting::value);
        let base = base_url(url).map_err(|error| settings.explain_base(error))?;
        let base = match &self.gateway {
            None => format!("{base}/accounts/{id}/ai"),
            Some(name) if is_name(name) => format!("{base}/{id}/{name}/workers-ai"),
            Some(_) => {
                return Err(Error::config(
                    "invalid gateway name: expected letters, digits, `-` and `_`",
                )
                .with_setting("gateway"));
            }
        };
        let protocol = Chat::new(WorkersAi {
            endpoint: self.endpoint,
            is_gateway: self.gateway.is_some(),
        });
        let client = if has_key {
            Client::new(protocol, &base, settings)
        } else {
            Client::with_required_key(protocol, &base, settings, no_token())
        };
        Ok(Cloudflare::new(Service::WorkersAi(client?)))
    }
}

#[cfg(feature = "playground")]
#[cfg_attr(docsrs, doc(cfg(feature = "playground")))]
impl CloudflareBuilder {
    /// Asks the playground, `https://playground.ai.cloudflare.com`, or another place that speaks its
    /// protocols over HTTP: [`base_url`](Self::base_url).
    ///
    /// Unofficial: there is no token, and what stands for one is a session of a browser's cookies.
    /// Its own page ended these protocols on 2025-10-28.
    pub fn playground(mut self) -> Self {
        self.playground.carrier = Some(Carrier::Http);
        self
    }

    /// Asks the playground as its page does since October 2025: over a WebSocket to an agent.
    ///
    /// Unofficial, as [`playground`](Self::playground) is: the service wants the session of a browser
    /// that has passed its check, and tells clients by their TLS handshake too, where this one is no
    /// browser's. Each request has an agent of its own, with a name that nobody can guess; what it was
    /// told is kept there until it has been idle for 15 minutes.
    #[cfg(feature = "playground-agent")]
    #[cfg_attr(docsrs, doc(cfg(feature = "playground-agent")))]
    pub fn playground_agent(mut self) -> Self {
        self.playground.carrier = Some(Carrier::Agent);
        self
    }

    /// Keeps the playground's session in a file: the JSON of gpt4free's `auth_Cloudflare.json`, with
    /// `headers` and `cookies`.
    ///
    /// It is written with mode 0600 after a whole answer, and deleted after 401, 403 and a page that
    /// wants to see a browser. What is wrong with it is a warning, and the request goes on.
    pub fn session_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.playground.session_file = Some(path.into());
        self
    }

    /// Sets what gets the playground a new session where there is none, or the one at hand is refused:
    /// the cookies and headers of a browser that has passed its check.
    ///
    /// Of many requests that need it one calls it, and the others wait; a failure is theirs too, and
    /// of those who ask within 30 s. A request whose session is refused is sent once more with the
    /// new one. Without it a request goes with the default headers, and a refusal is an error.
    pub fn refresh(
        mut self,
        refresh: impl Fn() -> BoxFuture<'static, Result<SessionData>> + Send + Sync + 'static,
    ) -> Self {
        self.playground.refresh = Some(Refresher(Arc::new(refresh)));
        self
    }

    /// Sets whether any error makes the playground's session forgotten, as in the original: false.
    pub fn forget_on_any_error(mut self, forget: bool) -> Self {
        self.playground.forget_on_any_error = forget;
        self
    }
}

fn key(setting: &Setting, name: &'static str) -> Result<ApiKey> {
    let about = |error: Error| setting.explain(error).with_setting(name);
    ApiKey::new(setting.value()).map_err(about)
}

fn secret(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text.trim()).map_err(|_| {
        Error::config("the email address or the key has a character that no header can hold")
            .with_setting("api_key")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn is_name(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(is_safe)
}

fn no_token() -> Error {
    let login = INFO.login_url();
    let message =
        format!("cloudflare needs a token: set CLOUDFLARE_API_TOKEN; tokens are at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_token")
}
