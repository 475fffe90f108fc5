//! Descriptions of models and providers.

use std::borrow::Cow;

/// A model that a service offers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[non_exhaustive]
pub struct Model {
    /// The name to use in requests.
    pub id: String,
    /// The author or vendor.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub owned_by: Option<String>,
    /// The creation time, in seconds since 1970.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub created: Option<u64>,
    /// The maximum number of tokens of prompt and response together.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub context_length: Option<u64>,
}

impl Model {
    /// Creates a model that has only a name.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            owned_by: None,
            created: None,
            context_length: None,
        }
    }
}

/// A description of a provider, known without a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProviderInfo {
    /// The name in `provider/model`, in errors and in spans.
    pub id: Cow<'static, str>,
    /// The display name.
    pub label: Cow<'static, str>,
    /// The web site.
    pub url: Cow<'static, str>,
    /// The page where a key is created.
    pub login_url: Option<Cow<'static, str>>,
    /// The environment variable that the key is read from.
    pub key_variable: Option<Cow<'static, str>>,
    /// The model of requests that do not name one.
    pub default_model: Option<Cow<'static, str>>,
    /// The models known when this version was released.
    pub models: &'static [&'static str],
    /// Aliases of models: alias, then the provider's name.
    pub model_aliases: &'static [(&'static str, &'static str)],
    /// Retired models: name, then the model to use instead.
    pub retired_models: &'static [(&'static str, &'static str)],
}

impl ProviderInfo {
    /// Creates a description without models.
    pub fn new(
        id: impl Into<Cow<'static, str>>,
        label: impl Into<Cow<'static, str>>,
        url: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            id: id.into(),
            label: label.into(),
            url: url.into(),
            login_url: None,
            key_variable: None,
            default_model: None,
            models: &[],
            model_aliases: &[],
            retired_models: &[],
        }
    }

    /// Returns the model of requests that do not name one.
    pub fn default_model(&self) -> Option<&str> {
        self.default_model.as_deref()
    }

    /// Returns the page where a key is created, or else the site.
    pub fn login_url(&self) -> &str {
        self.login_url.as_deref().unwrap_or(&self.url)
    }

    /// Returns the provider's name for a model: aliases are resolved, and other names are returned
    /// unchanged.
    pub fn resolve<'a>(&self, model: &'a str) -> &'a str {
        self.model_aliases
            .iter()
            .find(|(alias, _)| *alias == model)
            .map_or(model, |(_, name)| name)
    }

    /// Returns the model to use instead of a retired one.
    pub fn successor(&self, model: &str) -> Option<&'static str> {
        self.retired_models
            .iter()
            .find(|(name, _)| *name == model)
            .map(|(_, successor)| *successor)
    }
}

/// What a provider supports for a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
// The flags are independent.
#[allow(clippy::struct_excessive_bools)]
pub struct Capabilities {
    /// Whether a key is required.
    pub needs_auth: bool,
    /// Whether streaming is supported.
    pub supports_stream: bool,
    /// Whether system messages are supported.
    pub supports_system_message: bool,
    /// Whether more than one message is supported.
    pub supports_message_history: bool,
    /// Whether tools are supported.
    pub supports_tools: bool,
    /// Whether images are supported.
    pub supports_images: bool,
}

impl Default for Capabilities {
    /// Returns what most chat services support: everything except images.
    fn default() -> Self {
        Self {
            needs_auth: true,
            supports_stream: true,
            supports_system_message: true,
            supports_message_history: true,
            supports_tools: true,
            supports_images: false,
        }
    }
}
