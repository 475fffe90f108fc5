//! The builder of [`Cloudflare`].

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

/// The base URL of the API, with its version.
const BASE_URL: &str = "https://api.cloudflare.com/client/v4";

/// The base URL of AI Gateways.
const GATEWAY_URL: &str = "https://gateway.ai.cloudflare.com/v1";

const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");
const GATEWAY_AUTH: HeaderName = HeaderName::from_static("cf-aig-authorization");

/// A builder for a [`Cloudflare`] client.
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
    /// Creates a client from environment variables: see [`CloudflareBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// Returns `Auth` if there is no token, and `Config` if there is no account or a variable is
    /// invalid.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cloudflare = CloudflareBuilder::from_env()?.build()?;
        if let Ok(client) = cloudflare.workers_ai() {
            client.check_key()?;
        }
        Ok(cloudflare)
    }

    /// Creates a builder without any settings; it reads no environment variables.
    pub fn builder() -> CloudflareBuilder {
        CloudflareBuilder::default()
    }
}

inferstream_client::builder!(CloudflareBuilder);

impl CloudflareBuilder {
    /// Reads `CLOUDFLARE_ACCOUNT_ID`, `CLOUDFLARE_API_TOKEN` and `CLOUDFLARE_BASE_URL` if they are
    /// set. Later calls of setters override them.
    ///
    /// Without `CLOUDFLARE_API_TOKEN`, `CLOUDFLARE_EMAIL` and `CLOUDFLARE_API_KEY` are the email
    /// address and global API key of [`api_key`](Self::api_key), and `CLOUDFLARE_API_KEY` alone is
    /// used as a token.
    ///
    /// # Errors
    ///
    /// Returns `Config` if a variable is not valid Unicode.
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

    /// Returns true if the account id is set; `build` fails without it.
    pub fn has_account(&self) -> bool {
        self.account.is_some()
    }

    /// Sets the account id: 32 hexadecimal digits, shown on the overview page of the dashboard.
    pub fn account_id(mut self, id: impl Into<String>) -> Self {
        self.account = Some(Setting::new(id));
        self
    }

    /// Sets the API token; surrounding whitespace is removed.
    pub fn api_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Setting::new(token));
        self
    }

    /// Authenticates with an account's email address and global API key instead of a token.
    pub fn api_key(mut self, email: impl Into<String>, key: impl Into<String>) -> Self {
        self.token = None;
        self.email = Some(Setting::new(email));
        self.key = Some(Setting::new(key));
        self
    }

    /// Sends requests through the AI Gateway of this name.
    ///
    /// Headers such as `cf-aig-skip-cache` control how the gateway handles requests. Set them with
    /// [`header`](Self::header), or for one request with
    /// [`ChatRequest::header`](crate::ChatRequest::header).
    pub fn gateway(mut self, name: impl Into<String>) -> Self {
        self.gateway = Some(name.into());
        self
    }

    /// Sets the token of an authenticated gateway, sent as `cf-aig-authorization`.
    pub fn gateway_token(mut self, token: impl Into<String>) -> Self {
        self.gateway_token = Some(Setting::new(token));
        self
    }

    /// Sets the base URL. The default is `https://api.cloudflare.com/client/v4`, or
    /// `https://gateway.ai.cloudflare.com/v1` with a gateway.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets which path of the service is used for requests. The default is [`Endpoint::ByModel`].
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// Returns `Config` if the account id, the key, the base URL or a header is invalid, or if the
    /// account or the transport is missing.
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
                "missing account id for cloudflare: set CLOUDFLARE_ACCOUNT_ID to the id on Cloudflare's dashboard",
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
    /// Uses the playground over HTTP, at `https://playground.ai.cloudflare.com` or at the
    /// [`base_url`](Self::base_url) of another server of the same protocols.
    ///
    /// This is unofficial. It needs no token, but the cookies of a browser session. The page itself
    /// stopped serving these protocols on 2025-10-28.
    pub fn playground(mut self) -> Self {
        self.playground.carrier = Some(Carrier::Http);
        self
    }

    /// Uses the playground over a WebSocket to an agent, as its page does since October 2025.
    ///
    /// This is unofficial. The service requires the session of a browser that passed its check, and
    /// may also reject clients whose TLS handshake is not that of a browser. Each request uses a
    /// new agent with a random name, which keeps the conversation until it has been idle for 15
    /// minutes.
    #[cfg(feature = "playground-agent")]
    #[cfg_attr(docsrs, doc(cfg(feature = "playground-agent")))]
    pub fn playground_agent(mut self) -> Self {
        self.playground.carrier = Some(Carrier::Agent);
        self
    }

    /// Keeps the playground's session in a file, in the JSON format of gpt4free's
    /// `auth_Cloudflare.json` with `headers` and `cookies`.
    ///
    /// The file is written with mode 0600 after a complete response, and deleted after 401, 403 or
    /// a browser challenge. Problems with the file are reported as warnings, and the request is
    /// sent anyway.
    pub fn session_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.playground.session_file = Some(path.into());
        self
    }

    /// Sets the function that gets a new playground session, which is the cookies and headers of a
    /// browser that passed the check. It is called if there is no session, or if the session was
    /// refused.
    ///
    /// Concurrent requests share one call. If it fails, all of them fail, and so do requests in the
    /// next 30 s. A request whose session was refused is sent again with the new one. Without
    /// this function, requests are sent with the default headers, and a refusal is an error.
    ///
    /// The call counts towards the total timeout of the request that makes it, and has no other
    /// timeout here. If it is dropped, or not polled for 10 minutes, another request makes its own
    /// call.
    pub fn refresh(
        mut self,
        refresh: impl Fn() -> BoxFuture<'static, Result<SessionData>> + Send + Sync + 'static,
    ) -> Self {
        self.playground.refresh = Some(Refresher(Arc::new(refresh)));
        self
    }

    /// Sets whether any error discards the playground's session, as in gpt4free. The default is
    /// false: only 401, 403 and browser challenges do.
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
        Error::config(
            "invalid email address or key: expected characters that are allowed in a header",
        )
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
    let message = format!(
        "missing token for cloudflare: set CLOUDFLARE_API_TOKEN; create a token at {login}"
    );
    Error::new(ErrorKind::Auth, message).with_setting("api_token")
}
