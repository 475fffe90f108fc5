//! Where the key of a provider comes from, without the key.

use std::{env, fmt};

use inferstream::openai_compat::Preset;

use super::{format::Config, route::Target, secret::Secret};
use crate::kind::Kind;

/// Where the key of a provider comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// Cookies, with which the key is requested.
    Cookies,
    /// A required key is not set. Contains the variables that are read.
    Missing(&'static [&'static str]),
    /// No key is set, and none is required.
    NotRequired,
    /// The variable or file that the configuration names.
    Secret(Secret),
    /// The provider's own environment variable.
    Variable(&'static str),
}

impl Config {
    /// Returns where the key of a provider comes from, by the file and the environment.
    pub(crate) fn key_origin(&self, target: &Target) -> Origin {
        let table = self.providers.get(&target.name);
        let has = |is: fn(&super::format::Table) -> bool| table.is_some_and(is);
        if let Some(secret) = table.and_then(|table| table.api_key.clone()) {
            return Origin::Secret(secret);
        }
        let has_base_url = has(|table| table.base_url.is_some());
        let variables = target.kind.key_variables();
        let is_set = |name: &&&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        if let Some(name) = variables.iter().find(is_set).filter(|_| !has_base_url) {
            return Origin::Variable(name);
        }
        if has(|table| table.cookies.is_some()) {
            return Origin::Cookies;
        }
        let is_playground = has(|table| table.playground == Some(true));
        if is_playground || target.kind == Kind::OpenaiCompat || variables.is_empty() {
            return Origin::NotRequired;
        }
        match target.kind {
            Kind::Cloudflare if has_base_url => Origin::Missing(&[]),
            // At another URL, the service may have no key, or a proxy may add it.
            _ if has_base_url => Origin::NotRequired,
            _ => Origin::Missing(variables),
        }
    }
}

impl Kind {
    /// Returns the environment variables that the key is read from, in order.
    pub(crate) fn key_variables(self) -> &'static [&'static str] {
        match self {
            Self::Cablyai => &["CABLYAI_API_KEY"],
            Self::Cerebras => &["CEREBRAS_API_KEY"],
            Self::Cloudflare => &["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_API_KEY"],
            Self::OpenaiCompat => &["OPENAI_COMPAT_API_KEY"],
            Self::Preset(name) => Preset::all()
                .iter()
                .find(|preset| preset.id == name)
                .map_or(&[], |preset| preset.key_variable.as_slice()),
            Self::Replicate => &["REPLICATE_API_TOKEN", "REPLICATE_API_KEY"],
        }
    }

    /// Returns true if a variable of the key is set.
    pub(crate) fn has_key_variable(self) -> bool {
        let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
        self.key_variables().iter().any(is_set)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookies => f.write_str("from cookies"),
            Self::Missing(_) => f.write_str("missing"),
            Self::NotRequired => f.write_str("none, and none is required"),
            Self::Secret(secret) => write!(f, "from {secret}"),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
        }
    }
}
