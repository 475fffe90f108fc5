//! A setting that records which environment variable it came from.

use std::{env, fmt};

use inferstream_core::{Error, Result};

/// The text of a setting, and the environment variable that it came from, for error messages.
///
/// `Debug` does not show the text, which may be a key.
#[derive(Clone)]
pub struct Setting {
    value: String,
    variable: Option<&'static str>,
}

impl Setting {
    /// Creates a setting that did not come from an environment variable.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            variable: None,
        }
    }

    /// Reads the first of the environment variables that is set and not blank.
    ///
    /// # Errors
    ///
    /// `Config` if that variable is not Unicode.
    pub fn from_env(variables: &[&'static str]) -> Result<Option<Self>> {
        for &name in variables {
            match env::var(name) {
                Ok(value) if value.trim().is_empty() => {}
                Ok(value) => {
                    return Ok(Some(Self {
                        value,
                        variable: Some(name),
                    }));
                }
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(Error::config(format!(
                        "invalid {name}: expected Unicode text"
                    )));
                }
            }
        }
        Ok(None)
    }

    /// Returns the text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Adds the name of the variable, if any, to an error about the setting.
    pub fn explain(&self, error: Error) -> Error {
        match self.variable {
            None => error,
            Some(variable) => error.context(variable),
        }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may be the key.
        f.debug_struct("Setting")
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}
