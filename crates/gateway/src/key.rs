//! The clients' keys: which request has which key, and what the key may request.

use std::sync::Arc;

use http::{HeaderMap, header};
use inferstream::{ApiKey, Error, Result};

use crate::{config::Config, limit::Limits, refusal::Refusal};

/// The keys of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Arc<Key>>);

/// One client's key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) limits: Limits,
    secret: ApiKey,
    models: Vec<String>,
}

impl Keys {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mut keys: Vec<Arc<Key>> = Vec::with_capacity(config.keys.len());
        for (name, key) in &config.keys {
            let secret = key.key.read(name)?;
            if let Some(same) = keys
                .iter()
                .find(|other| is_same(&other.secret, secret.expose()))
            {
                let message = format!("invalid key `{name}`: `{}` is the same key", same.name);
                return Err(Error::config(message).with_setting("keys"));
            }
            keys.push(Arc::new(Key {
                name: name.clone(),
                limits: Limits::new(key),
                secret,
                models: key.models.clone(),
            }));
        }
        Ok(Self(keys))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key of a request; `None` if there are no keys at all.
    pub(crate) fn find(&self, headers: &HeaderMap) -> Result<Option<Arc<Key>>, Refusal> {
        if self.is_empty() {
            return Ok(None);
        }
        let Some(given) = given(headers) else {
            return Err(Refusal::key(
                "missing key: expected the header `Authorization: Bearer …`",
            ));
        };
        // All are compared, so that the time does not show which one it was.
        let mut found = None;
        for key in &self.0 {
            if is_same(&key.secret, given) {
                found = Some(Arc::clone(key));
            }
        }
        match found {
            None => Err(Refusal::key("invalid key: it is not known here")),
            found => Ok(found),
        }
    }
}

impl Key {
    /// Returns true if the key may request a name: an alias or `provider/model`.
    pub(crate) fn allows(&self, model: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            None => pattern == model,
            Some(prefix) => model.starts_with(prefix),
        };
        self.models.is_empty() || self.models.iter().any(matches)
    }
}

/// Returns the key of a request's headers.
fn given(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let own = || headers.get("x-api-key")?.to_str().ok();
    bearer.or_else(own)
}

/// Compares a key in a time that depends on the lengths alone.
fn is_same(secret: &ApiKey, given: &str) -> bool {
    let (secret, given) = (secret.expose().as_bytes(), given.as_bytes());
    let pairs = secret.iter().zip(given);
    let differences = pairs.fold(0, |differences, (one, other)| {
        std::hint::black_box(differences | (one ^ other))
    });
    secret.len() == given.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use inferstream::ApiKey;

    use super::Keys;
    use crate::config::{Config, KeyConfig, KeySource};

    fn source(key: &str) -> KeyConfig {
        KeyConfig::new(KeySource::Value(ApiKey::new(key).unwrap()))
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let config = Config::default()
            .key("a", source("key-of-a").models(["fast", "cerebras/*"]))
            .key("b", source("key-of-b"));
        let keys = Keys::new(&config).unwrap();
        for (name, value, expected) in [
            ("authorization", "Bearer key-of-a", Some("a")),
            ("authorization", "bearer key-of-b", Some("b")),
            ("x-api-key", "key-of-b", Some("b")),
            ("authorization", "Bearer key-of-", None),
            ("authorization", "Bearer key-of-aa", None),
            ("authorization", "Basic key-of-a", None),
            ("x-api-key", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            let found = keys.find(&headers).ok().flatten();
            assert_eq!(found.as_ref().map(|key| key.name.as_str()), expected);
        }
        assert!(keys.find(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_pattern_ends_with_a_star() {
        let config = Config::default().key("a", source("k-1").models(["fast", "cerebras/*"]));
        let keys = Keys::new(&config).unwrap();
        let allows = |model| keys.0[0].allows(model);
        assert!(allows("fast") && allows("cerebras/x"));
        assert!(!allows("faster") && !allows("cerebras") && !allows("replicate/x"));
    }

    #[test]
    fn one_key_cannot_have_two_names() {
        let config = Config::default()
            .key("a", source("same-key"))
            .key("b", source("same-key"));
        assert!(Keys::new(&config).is_err());
    }
}
