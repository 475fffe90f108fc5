//! The settings that all clients share.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use inferstream_core::{
    ApiKey, Error, Result, RetryPolicy, Timeouts, Transport, protocol::is_credential,
};

use crate::{setting::Setting, url::with_version};

/// The settings of a client that do not depend on its protocol.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The API key; `None` if the service needs none.
    pub key: Option<Setting>,
    /// The base URL of the service; `None` for the provider's default.
    pub base_url: Option<Setting>,
    /// Headers that are sent with every request.
    pub headers: HeaderMap,
    /// The timeouts of requests without their own; `None` for the provider's default.
    pub timeouts: Option<Timeouts>,
    /// The retry policy of requests without their own.
    pub retry: RetryPolicy,
    /// Whether requests for unknown models are refused before anything is sent: false by default.
    pub only_known_models: bool,
    /// The transport; `None` for the default transport.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Settings {
    /// Sets a header that is sent with every request, and marks its value sensitive if the header
    /// usually carries a credential ([`is_credential`]).
    pub fn set_header(&mut self, name: HeaderName, mut value: HeaderValue) {
        if is_credential(&name) {
            value.set_sensitive(true);
        }
        self.headers.insert(name, value);
    }

    /// Creates settings with a transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport: Some(transport),
            ..Self::default()
        }
    }

    /// Reads the key and the base URL, each from the first of its environment variables that is set.
    ///
    /// # Errors
    ///
    /// `Config` if a variable is not Unicode.
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
    /// `Config` if the key is not valid in a header. The message names the environment variable.
    pub fn api_key(&self) -> Result<Option<ApiKey>> {
        let read = |key: &Setting| ApiKey::new(key.value()).map_err(|error| key.explain(error));
        self.key.as_ref().map(read).transpose()
    }

    /// Returns the base URL, or else the default one. `/v1` is added to a URL without a path.
    pub fn base_url_or(&self, default: &str) -> String {
        with_version(self.base_url.as_ref().map_or(default, Setting::value))
    }

    /// Adds the environment variable of the base URL, if it came from one, to an error about it.
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
    /// `Config` if none is set and the feature `transport` is off, or if the default one cannot be
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
    Err(Error::config(
        "missing transport: set one with `transport`, or turn on the feature `transport`",
    )
    .with_setting("transport"))
}

/// Adds to a builder the setters that all providers share: `transport`, `header`, `timeouts` and
/// `retry`; `with key` also adds `api_key`.
///
/// The builder must have a field `settings` of the type [`Settings`].
#[macro_export]
macro_rules! builder {
    ($builder:ident with key) => {
        $crate::builder!($builder);

        impl $builder {
            /// Sets the API key. White space around it is removed.
            pub fn api_key(mut self, key: impl Into<String>) -> Self {
                self.settings.key = Some($crate::Setting::new(key));
                self
            }
        }
    };
    ($builder:ident) => {
        impl $builder {
            /// Sets the transport. It has a default only with the feature `transport`.
            pub fn transport(mut self, transport: impl $crate::core::Transport) -> Self {
                self.settings.transport = Some(::std::sync::Arc::new(transport));
                self
            }

            /// Sets a header that is sent with every request, replacing an earlier one of that name.
            ///
            /// A value that is marked sensitive is redacted in errors, and `Debug` does not show it.
            /// Values are marked if the header's name contains `auth`, `cookie`, `key`, `secret` or
            /// `token`.
            pub fn header(
                mut self,
                name: $crate::http::HeaderName,
                value: $crate::http::HeaderValue,
            ) -> Self {
                self.settings.set_header(name, value);
                self
            }

            /// Sets the timeouts of requests without their own.
            pub fn timeouts(mut self, timeouts: $crate::core::Timeouts) -> Self {
                self.settings.timeouts = Some(timeouts);
                self
            }

            /// Sets the retry policy of requests without their own.
            pub fn retry(mut self, retry: $crate::core::RetryPolicy) -> Self {
                self.settings.retry = retry;
                self
            }
        }
    };
}
