//! An environment variable in; a setting that knows where it is from out.

use std::{env, fmt};

use inferstream_core::{Error, Result};

/// A setting's text, and the variable that it is from, for the errors about it.
#[derive(Clone)]
pub struct Setting {
    value: String,
    variable: Option<&'static str>,
}

impl Setting {
    /// Creates a setting that is written in the program.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            variable: None,
        }
    }

    /// Reads the first of the variables that is set to more than white space.
    ///
    /// # Errors
    ///
    /// `Config` if that one is not Unicode.
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
                    return Err(Error::config(format!("{name} is not Unicode")));
                }
            }
        }
        Ok(None)
    }

    /// Returns the text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Puts the variable's name before an error about the setting.
    pub fn explain(&self, error: Error) -> Error {
        match self.variable {
            None => error,
            Some(variable) => error.context(variable),
        }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be the key.
        f.debug_struct("Setting")
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}
