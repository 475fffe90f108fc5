//! Creates providers from settings: those of the file, with others on top.

use std::{path::PathBuf, sync::Arc};

use http::{HeaderName, HeaderValue};
use inferstream::{
    ApiKey, ConcurrencyLimit, Error, ErrorKind, Fallback, Provider, Result, RetryPolicy, Timeouts,
    Transport,
    cablyai::CablyAiBuilder,
    cerebras::{CerebrasBuilder, Cookies},
    cloudflare::{Cloudflare, CloudflareBuilder},
    openai_compat::{Compatible, CompatibleBuilder},
    replicate::{Replicate, ReplicateBuilder},
};

use super::{
    format::{Config, Table},
    route::Target,
    secret::locate,
};
use crate::{kind::Kind, limit::Limit};

/// The settings of a provider.
#[derive(Debug, Default)]
// Each is an independent setting.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Settings {
    /// The name in errors, for compatible services.
    pub(crate) name: Option<String>,
    /// The provider's environment variables are not read: the settings are of another service.
    pub(crate) ignores_environment: bool,
    pub(crate) base_url: Option<String>,
    pub(crate) key: Option<ApiKey>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) max_in_flight: Option<usize>,

    pub(crate) connect_timeout: Option<Limit>,
    pub(crate) first_event_timeout: Option<Limit>,
    pub(crate) idle_timeout: Option<Limit>,
    pub(crate) timeout: Option<Limit>,
    pub(crate) attempts: Option<u32>,

    pub(crate) behind_gateway: bool,
    pub(crate) cookies: Option<Cookies>,
    /// The page with the session of the cookies, for the simulator.
    pub(crate) session_url: Option<String>,

    pub(crate) account: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) gateway_token: Option<ApiKey>,
    pub(crate) playground: bool,
    pub(crate) agent: bool,
    pub(crate) session_file: Option<PathBuf>,

    pub(crate) asks_for_usage: Option<bool>,
    pub(crate) max_tokens_field: Option<String>,
    pub(crate) reasoning_field: Option<String>,

    pub(crate) stream_origins: Vec<String>,
}

impl Config {
    /// Returns the settings of a provider in the file, with its keys, which are read now. Without a
    /// table, the settings are empty.
    ///
    /// # Errors
    ///
    /// `Config` if a file cannot be read or a secret is invalid; `Auth` if a secret is missing.
    pub(crate) fn settings(&self, name: &str) -> Result<Settings> {
        let Some(table) = self.providers.get(name) else {
            return Ok(Settings::default());
        };
        let mut settings = Settings::of(name, table);
        let read = |settings: &mut Settings| {
            let folder = self.folder();
            if let Some(key) = &table.api_key {
                settings.key = Some(ApiKey::new(key.read(folder)?)?);
            }
            if let Some(token) = &table.gateway_token {
                settings.gateway_token = Some(ApiKey::new(token.read(folder)?)?);
            }
            if let Some(cookies) = &table.cookies {
                settings.cookies = Some(Cookies::from_file(locate(cookies, folder))?);
            }
            let session = table.session_file.as_ref();
            settings.session_file = session.map(|path| locate(path, folder));
            for (name, value) in &table.headers.0 {
                settings.headers.push((name.clone(), value.read(folder)?));
            }
            Ok::<(), Error>(())
        };
        read(&mut settings).map_err(|error| error.context(format!("[providers.{name}]")))?;
        Ok(settings)
    }

    /// Returns the settings of a provider in the file that do not depend on a secret or a file.
    pub(crate) fn plain_settings(&self, name: &str) -> Settings {
        let table = self.providers.get(name);
        table.map_or_else(Settings::default, |table| Settings::of(name, table))
    }

    /// Creates the provider with a name, from the file and the environment.
    ///
    /// # Errors
    ///
    /// As [`settings`](Self::settings); `Config` if the name is unknown or a setting is invalid.
    #[cfg(feature = "serve")]
    pub(crate) fn provider(
        &self,
        name: &str,
        transport: impl Transport,
    ) -> Result<Arc<dyn Provider>> {
        let kind = self.kind(name);
        let kind = kind.ok_or_else(|| Error::config(format!("unknown provider `{name}`")))?;
        self.settings(name)?.build(kind, transport)
    }
}

/// Combines the providers of an alias: the first one, or else the next one.
pub(crate) fn fallback<'a>(
    candidates: impl IntoIterator<Item = (&'a Target, Arc<dyn Provider>)>,
    timer: impl Transport,
) -> Result<Arc<dyn Provider>> {
    let mut candidates = candidates.into_iter();
    let Some((target, first)) = candidates.next() else {
        return Err(Error::config("missing provider: expected at least one"));
    };
    let first = match &target.model {
        None => Fallback::new(first),
        Some(model) => Fallback::new_with_model(first, model),
    };
    let all = candidates.fold(first, |all, (target, provider)| match &target.model {
        None => all.or(provider),
        Some(model) => all.or_with_model(provider, model),
    });
    Ok(Arc::new(all.timer(timer)))
}

impl Settings {
    fn of(name: &str, table: &Table) -> Self {
        Self {
            name: Some(name.to_owned()),
            ignores_environment: table.base_url.is_some(),
            base_url: table.base_url.clone(),
            max_in_flight: table.max_in_flight.map(Into::into),
            connect_timeout: table.connect_timeout,
            first_event_timeout: table.first_event_timeout,
            idle_timeout: table.idle_timeout,
            timeout: table.timeout,
            attempts: table.attempts.map(|attempts| attempts.0),
            behind_gateway: table.behind_gateway == Some(true),
            account: table.account.clone(),
            gateway: table.gateway.clone(),
            playground: table.playground == Some(true),
            agent: table.agent == Some(true),
            asks_for_usage: table.asks_for_usage,
            max_tokens_field: table.max_tokens_field.clone(),
            reasoning_field: table.reasoning_field.clone(),
            stream_origins: table.stream_origins.clone(),
            ..Self::default()
        }
    }

    /// Creates the provider.
    ///
    /// # Errors
    ///
    /// `Config` if a setting or an environment variable of the provider is invalid.
    pub(crate) fn build(self, kind: Kind, transport: impl Transport) -> Result<Arc<dyn Provider>> {
        let limit = self.max_in_flight;
        // The client's own error would name a variable, which is not read here.
        let has_key = self.key.is_some() || self.cookies.is_some() || self.gateway_token.is_some();
        let asks_for_key = self.ignores_environment && !has_key;
        let provider = self.create(kind, transport)?;
        if asks_for_key && provider.capabilities("").needs_auth {
            let message = "missing key: set `api_key` beside `base_url`";
            return Err(Error::new(ErrorKind::Auth, message).with_setting("api_key"));
        }
        Ok(match limit {
            None => provider,
            Some(limit) => Arc::new(ConcurrencyLimit::new(provider).max_in_flight(limit)),
        })
    }

    fn create(mut self, kind: Kind, transport: impl Transport) -> Result<Arc<dyn Provider>> {
        let default = match kind {
            Kind::Cloudflare => Cloudflare::default_timeouts(self.playground),
            Kind::Replicate => Replicate::default_timeouts(),
            _ => Timeouts::default(),
        };
        let (timeouts, retry) = (self.timeouts(default), self.retry());
        let headers = std::mem::take(&mut self.headers);
        macro_rules! build {
            ($builder:expr) => {{
                let builder = $builder
                    .transport(transport)
                    .timeouts(timeouts)
                    .retry(retry);
                let headers = headers.into_iter();
                let builder = headers.fold(builder, |builder, (name, value)| {
                    builder.header(name, value)
                });
                Ok(Arc::new(builder.build()?))
            }};
        }
        match kind {
            Kind::Cablyai => build!(self.cablyai()?),
            Kind::Cerebras => build!(self.cerebras()?),
            Kind::Cloudflare if self.playground => build!(self.playground()),
            Kind::Cloudflare => build!(self.cloudflare()?),
            Kind::OpenaiCompat => build!(self.compatible(None)?),
            Kind::Preset(name) => build!(self.compatible(Some(name))?),
            Kind::Replicate => build!(self.replicate()?),
        }
    }

    /// Returns the timeouts, which differ from the default ones where they are set.
    pub(crate) fn timeouts(&self, default: Timeouts) -> Timeouts {
        let mut timeouts = default;
        if let Some(Limit(limit)) = self.connect_timeout {
            timeouts = timeouts.dns(limit).connect(limit).tls(limit);
        }
        if let Some(Limit(limit)) = self.first_event_timeout {
            timeouts = timeouts.head(limit).first_event(limit);
        }
        if let Some(Limit(limit)) = self.idle_timeout {
            timeouts = timeouts.idle(limit);
        }
        if let Some(Limit(limit)) = self.timeout {
            timeouts = timeouts.total(limit);
        }
        timeouts
    }

    fn retry(&self) -> RetryPolicy {
        let policy = RetryPolicy::default();
        policy.max_attempts(self.attempts.unwrap_or(policy.max_attempts))
    }

    fn cablyai(self) -> Result<CablyAiBuilder> {
        let mut builder = if self.ignores_environment {
            CablyAiBuilder::default()
        } else {
            CablyAiBuilder::from_env()?
        };
        if let Some(key) = self.key {
            builder = builder.api_key(key.expose());
        }
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        Ok(builder)
    }

    fn cerebras(self) -> Result<CerebrasBuilder> {
        let mut builder = if self.ignores_environment {
            CerebrasBuilder::default()
        } else {
            CerebrasBuilder::from_env()?
        };
        if self.behind_gateway {
            builder = builder.behind_gateway();
        }
        if let Some(cookies) = self.cookies {
            builder = builder.cookies(cookies);
        }
        if let Some(url) = self.session_url {
            builder = builder.session_url(url);
        }
        if let Some(key) = self.key {
            builder = builder.api_key(key.expose());
        }
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        Ok(builder)
    }

    fn cloudflare(self) -> Result<CloudflareBuilder> {
        let mut builder = if self.ignores_environment {
            CloudflareBuilder::default()
        } else {
            CloudflareBuilder::from_env()?
        };
        if let Some(name) = self.gateway {
            builder = builder.gateway(name);
        }
        if let Some(token) = self.gateway_token {
            builder = builder.gateway_token(token.expose());
        }
        if let Some(id) = self.account {
            builder = builder.account_id(id);
        }
        if let Some(key) = self.key {
            builder = builder.api_token(key.expose());
        }
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        Ok(builder)
    }

    fn playground(self) -> CloudflareBuilder {
        let mut builder = if self.agent {
            CloudflareBuilder::default().playground_agent()
        } else {
            CloudflareBuilder::default().playground()
        };
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        if let Some(path) = self.session_file {
            builder = builder.session_file(path);
        }
        builder
    }

    fn compatible(self, preset: Option<&str>) -> Result<CompatibleBuilder> {
        let mut builder = match (preset, self.ignores_environment) {
            (None, false) => CompatibleBuilder::from_env()?,
            (None, true) => CompatibleBuilder::default(),
            (Some(name), false) => CompatibleBuilder::preset_from_env(name)?,
            (Some(name), true) => Compatible::preset(name)?,
        };
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(key) = self.key {
            builder = builder.api_key(key.expose());
        }
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        if let Some(asks) = self.asks_for_usage {
            builder = builder.asks_for_usage(asks);
        }
        if let Some(field) = self.max_tokens_field {
            builder = builder.max_tokens_field(field);
        }
        if let Some(field) = self.reasoning_field {
            builder = builder.reasoning_field(field);
        }
        Ok(builder)
    }

    fn replicate(self) -> Result<ReplicateBuilder> {
        let mut builder = if self.ignores_environment {
            ReplicateBuilder::default()
        } else {
            ReplicateBuilder::from_env()?
        };
        if let Some(key) = self.key {
            builder = builder.api_key(key.expose());
        }
        if let Some(url) = self.base_url {
            builder = builder.base_url(url);
        }
        for origin in self.stream_origins {
            builder = builder.stream_origin(origin);
        }
        Ok(builder)
    }
}
