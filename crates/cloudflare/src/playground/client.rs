//! The client of the playground, over HTTP or a WebSocket.

use std::sync::{Arc, Mutex, PoisonError};

use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Model, Provider, ProviderInfo,
    Result, Unsupported, provider,
};

#[cfg(feature = "playground-agent")]
use super::agent;
use super::{
    http,
    requests::{Requests, Settings},
};
use crate::models::INFO;

/// A client for the playground.
///
/// Cloning is cheap; clones share the session and the list of models.
#[derive(Clone, Debug)]
pub(crate) struct Playground {
    carrier: Carrier,
    requests: Requests,
    known: Arc<Mutex<Option<Vec<Model>>>>,
}

/// How requests and responses are transported.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Carrier {
    #[default]
    Http,
    /// A WebSocket.
    #[cfg(feature = "playground-agent")]
    Agent,
}

impl Playground {
    pub(crate) fn new(carrier: Carrier, settings: Settings) -> Self {
        Self {
            carrier,
            requests: Requests::new(settings),
            known: Arc::default(),
        }
    }

    async fn open(&self, request: ChatRequest) -> Result<ChatStream> {
        request.validate()?;
        match self.carrier {
            Carrier::Http => http::open(&self.requests, request).await,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::open(&self.requests, request).await,
        }
    }
}

impl Provider for Playground {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = false;
        capabilities
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        request.validate()?;
        let mut request = request.clone();
        let dropped = match self.carrier {
            Carrier::Http => http::body(&mut request)?.1,
            #[cfg(feature = "playground-agent")]
            Carrier::Agent => agent::check(&self.requests, &mut request)?,
        };
        Ok(dropped.into_list())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::stream(&INFO, self.requests.base(), request, open)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        let this = self.clone();
        let open = |request| async move { this.open(request).await };
        provider::chat(&INFO, self.requests.base(), request, open)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        Box::pin(async move {
            let models = match this.carrier {
                Carrier::Http => http::models(&this.requests).await?,
                #[cfg(feature = "playground-agent")]
                Carrier::Agent => agent::models(&this.requests).await?,
            };
            *this.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(models.clone());
            Ok(models)
        })
    }

    fn known_models(&self) -> Vec<Model> {
        let known = self.known.lock();
        let known = known.unwrap_or_else(PoisonError::into_inner).clone();
        known.unwrap_or_else(|| INFO.models.iter().copied().map(Model::new).collect())
    }
}
