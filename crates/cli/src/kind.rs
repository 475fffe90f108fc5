//! The kinds of providers: those with a crate of their own, and presets of compatible services.

use inferstream::openai_compat::Preset;
use serde::{Deserialize, Deserializer, de};

/// A kind of provider.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Cablyai,
    Cerebras,
    Cloudflare,
    /// Any OpenAI-compatible service, at its base URL.
    OpenaiCompat,
    /// A known OpenAI-compatible service.
    Preset(&'static str),
    Replicate,
}

impl Kind {
    /// The kinds that are not presets.
    const OWN: [Self; 5] = [
        Self::Cablyai,
        Self::Cerebras,
        Self::Cloudflare,
        Self::OpenaiCompat,
        Self::Replicate,
    ];

    /// Returns the name on the command line and in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cablyai => "cablyai",
            Self::Cerebras => "cerebras",
            Self::Cloudflare => "cloudflare",
            Self::OpenaiCompat => "openai-compat",
            Self::Preset(name) => name,
            Self::Replicate => "replicate",
        }
    }

    /// Returns all kinds.
    pub(crate) fn all() -> impl Iterator<Item = Self> + use<> {
        let presets = Preset::all().iter().map(|preset| Self::Preset(preset.id));
        Self::OWN.into_iter().chain(presets)
    }

    /// Returns the kind with a name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// Returns true for services of the protocol of `openai-compat` without a crate of their own.
    pub(crate) fn is_compatible(self) -> bool {
        matches!(self, Self::OpenaiCompat | Self::Preset(_))
    }

    /// Returns the names of all kinds, for messages.
    pub(crate) fn names() -> String {
        let names: Vec<&str> = Self::all().map(Self::name).collect();
        names.join(", ")
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        // The text is not repeated: it may be a key in the wrong place.
        Self::find(&name).ok_or_else(|| {
            let names = Self::names();
            de::Error::custom(format!("invalid kind: expected one of {names}"))
        })
    }
}
