//! A provider by its name.

use std::{collections::BTreeMap, sync::Arc};

use inferstream_core::{
    BoxFuture, ChatRequest, ChatResponse, ChatStream, Error, Provider, Result, Unsupported,
};

/// Providers by name, so that a model is `provider/model`.
///
/// The name ends at the first `/`; what follows is the provider's, slashes and all. Nothing is
/// guessed: a model without a provider, or with an unknown one, is an error that lists the known.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    providers: BTreeMap<String, Arc<dyn Provider>>,
}

impl Hub {
    /// Creates a hub without providers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a hub with every provider that is compiled in, keys and base URLs from the
    /// environment.
    ///
    /// A provider without its key is there too: its requests fail with `Auth`, which says what is
    /// missing. Cloudflare is there only with its account, a compatible service only with its URL.
    ///
    /// # Errors
    ///
    /// `Config` if a variable that is set cannot be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let hub = Self::new();
        #[cfg(feature = "cablyai")]
        let hub = hub.with(inferstream_cablyai::CablyAiBuilder::from_env()?.build()?);
        #[cfg(feature = "cerebras")]
        let hub = hub.with(inferstream_cerebras::CerebrasBuilder::from_env()?.build()?);
        // Without an account there is no URL to ask at, and so no provider.
        #[cfg(feature = "cloudflare")]
        let hub = match inferstream_cloudflare::CloudflareBuilder::from_env()? {
            builder if builder.has_account() => hub.with(builder.build()?),
            _ => hub,
        };
        // Nor is there one that is anywhere.
        #[cfg(feature = "openai-compat")]
        let hub = match inferstream_openai_compat::CompatibleBuilder::from_env()? {
            builder if builder.has_base_url() => hub.with(builder.build()?),
            _ => hub,
        };
        #[cfg(feature = "replicate")]
        let hub = hub.with(inferstream_replicate::ReplicateBuilder::from_env()?.build()?);
        Ok(hub)
    }

    /// Adds a provider under its own name; one of the same name is replaced.
    #[must_use]
    pub fn with(self, provider: impl Provider) -> Self {
        let name = provider.info().id.clone();
        self.with_name(name, Arc::new(provider))
    }

    /// Adds a provider under a name of the caller's, such as `local`.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>, provider: Arc<dyn Provider>) -> Self {
        self.providers.insert(name.into(), provider);
        self
    }

    /// Returns the names of the providers, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Returns the provider of a name.
    ///
    /// # Errors
    ///
    /// `Config` that lists the known names.
    pub fn provider(&self, name: &str) -> Result<Arc<dyn Provider>> {
        self.providers
            .get(name)
            .cloned()
            .ok_or_else(|| self.unknown(name))
    }

    /// Sends a request to `provider/model`, or to the provider's default model if there is no `/`,
    /// and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// `Config` for an unknown provider, and as [`Provider::stream`].
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

    /// Sends a request to `provider/model` for a whole answer and waits for all of it.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream), and as [`Provider::chat`].
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

    /// Returns what a request to `provider/model` would have to do without, as [`Provider::check`].
    ///
    /// # Errors
    ///
    /// `Config` for an unknown provider, and as [`Provider::check`].
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
            names if names.is_empty() => "none is compiled in or added".to_owned(),
            names => format!("known are {}", names.join(", ")),
        };
        Error::config(format!("there is no provider `{name}`; {known}"))
    }
}
