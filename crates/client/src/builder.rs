//! The settings that all clients share.

use std::sync::Arc;

use http::HeaderMap;
use inferstream_core::{ApiKey, Error, Result, RetryPolicy, Timeouts, Transport};

use crate::{setting::Setting, url::with_version};

/// What a client is set up with, whatever its protocol.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The key, where the service wants one.
    pub key: Option<Setting>,
    /// Where the service is; `None` is the provider's default.
    pub base_url: Option<Setting>,
    /// The headers of every request.
    pub headers: HeaderMap,
    /// The timeouts of requests that have none of their own; `None` is the provider's default.
    pub timeouts: Option<Timeouts>,
    /// The retries of requests that have no policy of their own.
    pub retry: RetryPolicy,
    /// Whether a model that is not among the known ones is refused before anything is sent.
    pub only_known_models: bool,
    /// What requests go through; `None` is the default transport.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Settings {
    /// Creates settings with a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport: Some(transport),
            ..Self::default()
        }
    }

    /// Reads the key and the base URL from the first of these environment variables that is set.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env(key: &[&'static str], base_url: &[&'static str]) -> Result<Self> {
        Ok(Self {
            key: Setting::from_env(key)?,
            base_url: Setting::from_env(base_url)?,
            ..Self::default()
        })
    }

    /// Returns the key.
    ///
    /// # Errors
    ///
    /// `Config` for a key that no header can hold; it names the environment variable.
    pub fn api_key(&self) -> Result<Option<ApiKey>> {
        let read = |key: &Setting| ApiKey::new(key.value()).map_err(|error| key.explain(error));
        self.key.as_ref().map(read).transpose()
    }

    /// Returns the base URL, or else the default one, and `/v1` behind a URL without a path.
    pub fn base_url_or(&self, default: &str) -> String {
        with_version(self.base_url.as_ref().map_or(default, Setting::value))
    }

    /// Puts the environment variable of the base URL before an error about it.
    pub fn explain_base(&self, error: Error) -> Error {
        match &self.base_url {
            Some(url) => url.explain(error),
            None => error,
        }
    }

    /// Returns the transport, or creates the default one.
    ///
    /// # Errors
    ///
    /// `Config` where none is set and the feature `transport` is off, or the default one cannot be
    /// created.
    pub fn transport(&self) -> Result<Arc<dyn Transport>> {
        match &self.transport {
            Some(transport) => Ok(Arc::clone(transport)),
            None => default_transport(),
        }
    }
}

#[cfg(feature = "transport")]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(inferstream_transport::HttpTransport::new()?))
}

#[cfg(not(feature = "transport"))]
fn default_transport() -> Result<Arc<dyn Transport>> {
    Err(
        Error::config("missing transport: set one, or turn on the feature `transport`")
            .with_setting("transport"),
    )
}

/// Adds to a builder the setters that all providers share.
///
/// The builder has a field `settings` of the type [`Settings`]. `with key` adds `api_key`.
#[macro_export]
macro_rules! builder {
    ($builder:ident with key) => {
        $crate::builder!($builder);

        impl $builder {
            /// Sets the key; white space around it is dropped.
            pub fn api_key(mut self, key: impl Into<String>) -> Self {
                self.settings.key = Some($crate::Setting::new(key));
                self
            }
        }
    };
    ($builder:ident) => {
        impl $builder {
            /// Sets what requests go through; with the feature `transport` there is a default.
            pub fn transport(mut self, transport: impl $crate::core::Transport) -> Self {
                self.settings.transport = Some(::std::sync::Arc::new(transport));
                self
            }

            /// Sets a header of every request.
            pub fn header(
                mut self,
                name: $crate::http::HeaderName,
                value: $crate::http::HeaderValue,
            ) -> Self {
                self.settings.headers.insert(name, value);
                self
            }

            /// Sets the timeouts of requests that have none of their own.
            pub fn timeouts(mut self, timeouts: $crate::core::Timeouts) -> Self {
                self.settings.timeouts = Some(timeouts);
                self
            }

            /// Sets the retries of requests that have no policy of their own.
            pub fn retry(mut self, retry: $crate::core::RetryPolicy) -> Self {
                self.settings.retry = retry;
                self
            }
        }
    };
}
