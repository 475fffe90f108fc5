//! References to models: official models, versions and deployments.

use inferstream_core::{Error, Result};

/// A reference to the model, version or deployment that creates a prediction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ModelRef {
    /// An official model, `owner/name`.
    Model(String),
    /// A version of any model, `owner/name:version` or the version's id alone.
    Version {
        /// The model's name; empty if only the version is known.
        model: String,
        version: String,
    },
    /// A deployment, `deployments/owner/name`.
    Deployment(String),
}

impl ModelRef {
    /// Parses a model name.
    ///
    /// # Errors
    ///
    /// Returns `Config` if the name has none of the three forms.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let parts = name.split('/').collect::<Vec<_>>();
        match *parts.as_slice() {
            ["deployments", owner, name] if is_word(owner) && is_word(name) => {
                Ok(Self::Deployment(format!("{owner}/{name}")))
            }
            // `deployments/name` is an incomplete reference to a deployment, not a model.
            [owner, rest] if is_word(owner) && owner != "deployments" => match rest.split_once(':')
            {
                None if is_word(rest) => Ok(Self::Model(format!("{owner}/{rest}"))),
                Some((name, version)) if is_word(name) && is_word(version) => Ok(Self::Version {
                    model: format!("{owner}/{name}"),
                    version: version.to_owned(),
                }),
                _ => Err(not_a_model()),
            },
            [version] if is_hash(version) => Ok(Self::Version {
                model: String::new(),
                version: version.to_owned(),
            }),
            _ => Err(not_a_model()),
        }
    }

    /// Returns the name of the model or deployment, if it is known.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Model(name) | Self::Deployment(name) => name,
            Self::Version { model, .. } => model,
        }
    }

    /// Returns the path, below the base URL, of the request that creates a prediction.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Model(name) => format!("models/{name}/predictions"),
            Self::Version { .. } => "predictions".to_owned(),
            Self::Deployment(name) => format!("deployments/{name}/predictions"),
        }
    }

    /// Returns the value of the body's `version`, if it is required.
    ///
    /// The service accepts the 64 digits of a version, or `owner/name:version` for other forms of
    /// versions.
    pub(crate) fn version(&self) -> Option<String> {
        match self {
            Self::Version { version, .. } if is_hash(version) => Some(version.clone()),
            Self::Version { model, version } => Some(format!("{model}:{version}")),
            _ => None,
        }
    }
}

/// Returns true if the text can be part of a path without encoding.
pub(crate) fn is_word(word: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !word.is_empty() && word.bytes().all(is_safe) && !word.bytes().all(|byte| byte == b'.')
}

fn is_hash(version: &str) -> bool {
    version.len() == 64 && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn not_a_model() -> Error {
    Error::config(
        "invalid model name for replicate: expected `owner/name`, `owner/name:version` or \
         `deployments/owner/name`",
    )
    .with_setting("model")
}
