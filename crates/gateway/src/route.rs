//! The names that clients request: `provider/model`, and aliases.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use inferstream::{Error, Fallback, Hub, Provider, Result, RetryPolicy};

use crate::{config::Config, refusal::Refusal};

/// The providers and the aliases.
#[derive(Debug)]
pub(crate) struct Routes {
    hub: Hub,
    aliases: BTreeMap<String, Route>,
    known: HashSet<String>,
}

/// Where a request is sent.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) provider: Arc<dyn Provider>,
    /// The model, or `None` for the provider's default.
    pub(crate) model: Option<String>,
    /// The provider's name in metrics and logs.
    pub(crate) label: String,
    pub(crate) retry: RetryPolicy,
}

impl Routes {
    pub(crate) fn new(hub: Hub, config: &Config) -> Result<Self> {
        let mut aliases = BTreeMap::new();
        for (name, models) in &config.models {
            let route = alias(&hub, models).map_err(|error| {
                let alias = format!("invalid alias `{name}`");
                error.context(alias).with_setting("models")
            })?;
            aliases.insert(name.clone(), route);
        }
        let mut routes = Self {
            hub,
            aliases,
            known: HashSet::new(),
        };
        routes.known = routes.models().into_iter().map(|(id, ..)| id).collect();
        Ok(routes)
    }

    /// Returns true for an alias, and for a model that its provider lists.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Finds where a requested name leads.
    pub(crate) fn find(&self, name: &str) -> Result<Route, Refusal> {
        if let Some(route) = self.aliases.get(name) {
            return Ok(route.clone());
        }
        let (provider, model) = split(name);
        let Ok(found) = self.hub.provider(provider) else {
            let mut known: Vec<_> = self.aliases.keys().cloned().collect();
            known.extend(self.hub.names().map(|name| format!("{name}/…")));
            let known = known.join(", ");
            let message = format!("unknown model: expected one of {known}");
            return Err(Refusal::not_found("model_not_found", message));
        };
        Ok(Route {
            provider: found,
            model,
            label: provider.to_owned(),
            retry: retry(),
        })
    }

    /// Returns the models with their owner and creation time, the aliases first.
    pub(crate) fn models(&self) -> Vec<(String, String, u64)> {
        let own = self.aliases.keys();
        let own = own.map(|name| (name.clone(), "inferstream".to_owned(), 0));
        let mut models: Vec<_> = own.collect();
        for name in self.hub.names() {
            let Ok(provider) = self.hub.provider(name) else {
                continue;
            };
            for model in provider.known_models() {
                let owner = model.owned_by.unwrap_or_else(|| name.to_owned());
                let id = format!("{name}/{}", model.id);
                models.push((id, owner, model.created.unwrap_or(0)));
            }
        }
        models
    }
}

/// Clients retry, too, so the gateway retries once, and only for a short time.
fn retry() -> RetryPolicy {
    const SHORT: Duration = Duration::from_secs(5);
    RetryPolicy::default()
        .max_attempts(2)
        .max_elapsed(SHORT)
        .max_retry_after(SHORT)
}

/// Splits `provider/model`; without a model, it is the provider's default.
fn split(name: &str) -> (&str, Option<String>) {
    match name.split_once('/') {
        None => (name, None),
        Some((provider, "")) => (provider, None),
        Some((provider, model)) => (provider, Some(model.to_owned())),
    }
}

fn alias(hub: &Hub, models: &[String]) -> Result<Route> {
    let mut targets = Vec::with_capacity(models.len());
    for model in models {
        let (provider, model) = split(model);
        targets.push((provider, hub.provider(provider)?, model));
    }
    let mut targets = targets.into_iter();
    let Some((label, first, model)) = targets.next() else {
        return Err(Error::config("missing model: expected at least one"));
    };
    if targets.len() == 0 {
        return Ok(Route {
            provider: first,
            model,
            label: label.to_owned(),
            retry: retry(),
        });
    }
    let fallback = match model {
        None => Fallback::new(first),
        Some(model) => Fallback::new_with_model(first, model),
    };
    let fallback = targets.fold(fallback, |fallback, (_, provider, model)| match model {
        None => fallback.or(provider),
        Some(model) => fallback.or_with_model(provider, model),
    });
    Ok(Route {
        provider: Arc::new(fallback),
        model: None,
        label: "fallback".to_owned(),
        // The next provider is tried instead.
        retry: RetryPolicy::never(),
    })
}
