//! Selects providers by the name of a model: flags, then `INFERSTREAM_MODEL`, then the file.

use inferstream::{Error, Result};

use super::format::Config;
use crate::kind::Kind;

/// A provider, and the model to request from it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// The provider's name: that of a table `[providers.NAME]`, or of a kind.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// `None` for the provider's default model.
    pub(crate) model: Option<String>,
}

/// The providers that a request may be sent to, in order: one, or those of an alias.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    first: Target,
    others: Vec<Target>,
}

impl Route {
    /// Selects by the flags `-p` and `-m` and the value of `INFERSTREAM_MODEL`.
    ///
    /// A model is an alias, `provider/model`, or else a model of the default's provider. With `-p`,
    /// only that provider's name is split off, because a model's name may contain another
    /// provider's.
    ///
    /// # Errors
    ///
    /// `Config` if the provider is unknown.
    pub(crate) fn new(
        config: &Config,
        provider: Option<&str>,
        model: Option<&str>,
        variable: Option<&str>,
    ) -> Result<Self> {
        let Some(provider) = provider else {
            return Ok(match model.or(variable) {
                Some(model) => Self::of_model(config, model),
                None => Self::default(config),
            });
        };
        let Some(kind) = config.kind(provider) else {
            let names = config.names().join(", ");
            let message = format!("unknown provider `{provider}`: expected one of {names}");
            return Err(Error::config(message).with_setting("provider"));
        };
        let own = |text: &str| Some(text.strip_prefix(provider)?.strip_prefix('/')?.to_owned());
        let model = match model {
            Some(model) => Some(own(model).unwrap_or_else(|| model.to_owned())),
            None => variable.and_then(own).or_else(|| {
                let default = config.default.iter().flatten();
                let mut of_provider = default.filter(|target| target.name == provider);
                of_provider.next()?.model.clone()
            }),
        };
        let name = provider.to_owned();
        Ok(Self::from(config.complete(Target { name, kind, model })))
    }

    fn of_model(config: &Config, model: &str) -> Self {
        if let Some(targets) = config.models.get(model) {
            return Self::of_targets(targets).unwrap_or_else(|| Self::default(config));
        }
        let target = model.split_once('/').and(config.target(model));
        Self::from(target.unwrap_or_else(|| {
            let mut target = Self::default(config).first;
            target.model = Some(model.to_owned());
            target
        }))
    }

    fn default(config: &Config) -> Self {
        let default = config.default.as_deref().and_then(Self::of_targets);
        default.unwrap_or_else(|| {
            let (name, kind) = (Kind::Cerebras.name().to_owned(), config.kind("cerebras"));
            let kind = kind.unwrap_or(Kind::Cerebras);
            Self::from(config.complete(Target {
                name,
                kind,
                model: None,
            }))
        })
    }

    /// Returns a route to several providers, or `None` for an empty list.
    pub(crate) fn of_targets(targets: &[Target]) -> Option<Self> {
        let (first, others) = targets.split_first()?;
        Some(Self {
            first: first.clone(),
            others: others.to_vec(),
        })
    }

    /// Returns the provider that is asked first.
    pub(crate) fn first(&self) -> &Target {
        &self.first
    }

    /// Returns all providers in order.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Returns true if there are providers to fall back to.
    pub(crate) fn has_several(&self) -> bool {
        !self.others.is_empty()
    }
}

impl From<Target> for Route {
    fn from(first: Target) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl Config {
    /// Returns the kind of the provider with a name.
    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        match self.providers.get(name) {
            Some(table) => Some(table.kind()),
            None => Kind::find(name),
        }
    }

    /// Returns the names of all providers: those of the file, then the other kinds.
    pub(crate) fn names(&self) -> Vec<&str> {
        let kinds = Kind::all().map(|kind| -> &str { kind.name() });
        let kinds = kinds.filter(|name| !self.providers.contains_key(*name));
        self.providers
            .keys()
            .map(String::as_str)
            .chain(kinds)
            .collect()
    }

    /// Splits `provider/model`, or `provider` for its default model.
    pub(crate) fn target(&self, text: &str) -> Option<Target> {
        let (name, model) = match text.split_once('/') {
            None => (text, None),
            Some((name, model)) => (name, Some(model.to_owned())),
        };
        let (kind, name) = (self.kind(name)?, name.to_owned());
        Some(self.complete(Target { name, kind, model }))
    }

    /// Adds the model of the provider's table to a target without one.
    fn complete(&self, mut target: Target) -> Target {
        if target.model.is_none() {
            let table = self.providers.get(&target.name);
            target.model = table.and_then(|table| table.default_model.clone());
        }
        target
    }
}
