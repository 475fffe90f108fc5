//! Providers selected by name.

use std::{collections::BTreeMap, sync::Arc};

use inferstream_core::{
    BoxFuture, ChatRequest, ChatResponse, ChatStream, Error, Provider, Result, Unsupported,
};

/// A set of providers, selected by the prefix in `provider/model`.
///
/// The prefix ends at the first `/`; the rest is the provider's model name, which may contain
/// slashes. Nothing is guessed: a model without a provider, or with an unknown one, is an error
/// that lists the known providers.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    providers: BTreeMap<String, Arc<dyn Provider>>,
}

impl Hub {
    /// Creates a hub without providers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a hub with every provider that is compiled in. Keys and base URLs are read from the
    /// environment.
    ///
    /// A provider whose key is missing is included; its requests fail with `Auth` and state what is
    /// missing. Cloudflare is included only if its account id is set, and a compatible service only
    /// if its base URL is set. Known compatible services and local engines, such as `groq` and
    /// `ollama`, are included under the names of their presets.
    ///
    /// # Errors
    ///
    /// Returns `Config` if an environment variable is invalid.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let hub = Self::new();
        #[cfg(feature = "cablyai")]
        let hub = hub.with(inferstream_cablyai::CablyAiBuilder::from_env()?.build()?);
        #[cfg(feature = "cerebras")]
        let hub = hub.with(inferstream_cerebras::CerebrasBuilder::from_env()?.build()?);
        // Without an account id there is no URL to send requests to.
        #[cfg(feature = "cloudflare")]
        let hub = match inferstream_cloudflare::CloudflareBuilder::from_env()? {
            builder if builder.has_account() => hub.with(builder.build()?),
            _ => hub,
        };
        // Likewise, a compatible service needs a URL.
        #[cfg(feature = "openai-compat")]
        let hub = match inferstream_openai_compat::CompatibleBuilder::from_env()? {
            builder if builder.has_base_url() => hub.with(builder.build()?),
            _ => hub,
        };
        #[cfg(feature = "openai-compat")]
        let hub = hub.with_presets()?;
        #[cfg(feature = "replicate")]
        let hub = hub.with(inferstream_replicate::ReplicateBuilder::from_env()?.build()?);
        Ok(hub)
    }

    /// Adds the known compatible services, which share a transport.
    #[cfg(all(feature = "openai-compat", feature = "transport"))]
    fn with_presets(self) -> Result<Self> {
        use inferstream_openai_compat::{CompatibleBuilder, Preset};

        let transport = inferstream_transport::HttpTransport::new()?;
        Preset::all().iter().try_fold(self, |hub, preset| {
            let builder = CompatibleBuilder::preset_from_env(preset.id)?;
            Ok(hub.with(builder.transport(transport.clone()).build()?))
        })
    }

    /// Adds a provider under its own name. It replaces a provider of the same name.
    #[must_use]
    pub fn with(self, provider: impl Provider) -> Self {
        let name = provider.info().id.clone();
        self.with_name(name, Arc::new(provider))
    }

    /// Adds a provider under another name, such as `local`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>, provider: Arc<dyn Provider>) -> Self {
        self.providers.insert(name.into(), provider);
        self
    }

    /// Returns the names of the providers, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Returns the provider with a name.
    ///
    /// # Errors
    ///
    /// Returns `Config` with the known names.
    pub fn provider(&self, name: &str) -> Result<Arc<dyn Provider>> {
        self.providers
            .get(name)
            .cloned()
            .ok_or_else(|| self.unknown(name))
    }

    /// Sends a request to `provider/model`, or to the provider's default model if there is no `/`,
    /// and returns the stream once the headers have arrived.
    ///
    /// # Errors
    ///
    /// Returns `Config` for an unknown provider, and the errors of [`Provider::stream`].
    pub fn stream(
        &self,
        model: &str,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        match self.route(model, request.into()) {
            Ok((provider, request)) => provider.stream(request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Sends a request for a complete response to `provider/model`, and waits for all of it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`stream`](Self::stream) and of [`Provider::chat`].
    pub fn chat(
        &self,
        model: &str,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatResponse>> {
        match self.route(model, request.into()) {
            Ok((provider, request)) => provider.chat(request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Returns the settings of a request to `provider/model` that the provider does not support, as
    /// [`Provider::check`] does.
    ///
    /// # Errors
    ///
    /// Returns `Config` for an unknown provider, and the errors of [`Provider::check`].
    pub fn check(&self, model: &str, request: impl Into<ChatRequest>) -> Result<Vec<Unsupported>> {
        let (provider, request) = self.route(model, request.into())?;
        provider.check(&request)
    }

    fn route(
        &self,
        model: &str,
        mut request: ChatRequest,
    ) -> Result<(Arc<dyn Provider>, ChatRequest)> {
        let (name, model) = match model.split_once('/') {
            None => (model, None),
            Some((name, model)) => (name, Some(model)),
        };
        let provider = self.provider(name)?;
        if let Some(model) = model {
            request.model = Some(model.to_owned());
        }
        Ok((provider, request))
    }

    fn unknown(&self, name: &str) -> Error {
        let known = match self.names().collect::<Vec<_>>() {
            names if names.is_empty() => "no provider is compiled in or added".to_owned(),
            names => format!("expected one of {}", names.join(", ")),
        };
        Error::config(format!("unknown provider `{name}`: {known}"))
    }
}
