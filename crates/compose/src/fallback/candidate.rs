//! One provider of a fallback, and its variant of the request.

use std::{borrow::Cow, sync::Arc};

use inferstream_core::{Capabilities, ChatRequest, Provider, ProviderInfo, provider::OneLine};

/// A provider of a fallback.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) provider: Arc<dyn Provider>,
    naming: Naming,
}

/// The model that a provider is asked for.
#[derive(Clone, Debug)]
pub(super) enum Naming {
    /// This model.
    Always(String),
    /// The model of the request.
    AsAsked,
    /// The model of the request if the provider may know it, or else the default model of the provider.
    IfKnown,
}

impl Candidate {
    pub(super) fn new(provider: Arc<dyn Provider>, naming: Naming) -> Self {
        Self { provider, naming }
    }

    pub(super) fn id(&self) -> Cow<'static, str> {
        self.info().id.clone()
    }

    fn info(&self) -> &ProviderInfo {
        self.provider.info()
    }

    /// Returns the request with the model for this provider.
    pub(super) fn request(&self, first: &Self, mut request: ChatRequest) -> ChatRequest {
        request.model = self.model(first, request.model.as_deref());
        request
    }

    /// Describes in a warning how the request differs from the one for the first provider.
    pub(super) fn told(&self, first: &Self, request: &ChatRequest) -> String {
        let asked = request.model.as_deref();
        let model = match self.model(first, asked) {
            model if model.as_deref() == asked => String::new(),
            None => " for its default model".to_owned(),
            Some(model) => format!(" for `{}`", OneLine(&model)),
        };
        let headers = if request.headers.is_empty() {
            ""
        } else {
            ", without the request's headers"
        };
        format!("asked `{}`{model}{headers}", self.id())
    }

    /// Returns the capabilities for the model that the provider would be asked for.
    pub(super) fn capabilities(&self, first: &Self, model: &str) -> Capabilities {
        let own = self.model(first, Some(model));
        let default = || self.info().default_model().unwrap_or_default();
        self.provider
            .capabilities(own.as_deref().unwrap_or_else(default))
    }

    fn model(&self, first: &Self, asked: Option<&str>) -> Option<String> {
        match &self.naming {
            Naming::Always(model) => Some(model.clone()),
            Naming::AsAsked => asked.map(str::to_owned),
            Naming::IfKnown => asked
                .filter(|model| self.may_know(first, model))
                .map(str::to_owned),
        }
    }

    /// Returns true if this provider may know a model by the name that the first provider uses.
    fn may_know(&self, first: &Self, model: &str) -> bool {
        let info = self.info();
        let is_same_service = info.id == first.info().id;
        // Without a default, an unknown name gives a clearer error than no name.
        let has_no_other = info.default_model.is_none();
        let name = info.resolve(model);
        let knows = || self.provider.known_models().iter().any(|m| m.id == name);
        is_same_service || has_no_other || knows()
    }
}

/// Returns the capabilities that two providers share.
pub(super) fn both(one: Capabilities, other: Capabilities) -> Capabilities {
    let mut both = one;
    both.needs_auth |= other.needs_auth;
    both.supports_stream &= other.supports_stream;
    both.supports_system_message &= other.supports_system_message;
    both.supports_message_history &= other.supports_message_history;
    both.supports_tools &= other.supports_tools;
    both.supports_images &= other.supports_images;
    both
}
