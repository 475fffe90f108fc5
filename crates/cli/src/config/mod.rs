//! The configuration file: where it is, what it contains, and how a model's name selects providers.

mod build;
mod format;
mod members;
mod origin;
mod place;
mod route;
mod secret;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use inferstream::{Error, Result};

pub(crate) use self::{
    build::{Settings, fallback},
    format::Config,
    origin::Origin,
    route::{Route, Target},
};

impl Config {
    /// Reads the file, or else the default file if that exists. Without a file, the configuration is
    /// empty.
    ///
    /// # Errors
    ///
    /// `Config` with the path, line and column. Values of the file are not repeated, because a key
    /// may be among them.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file.map(Path::to_owned).or_else(place::default_file) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                return Err(Error::config(message).with_setting("config"));
            }
        };
        let mut config = Self::parse(&text).map_err(|error| error.context(path.display()))?;
        config.path = Some(path);
        Ok(config)
    }

    /// Returns the path of the file that [`load`](Self::load) reads, if it can be determined.
    pub(crate) fn path(file: Option<&Path>) -> Result<PathBuf> {
        file.map(Path::to_owned)
            .or_else(place::default_file)
            .ok_or_else(|| {
                Error::config(format!(
                    "unknown configuration folder: set {}",
                    place::VARIABLE
                ))
            })
    }

    /// Returns the folder that relative paths in the file start from.
    pub(crate) fn folder(&self) -> &Path {
        let folder = self.path.as_deref().and_then(Path::parent);
        folder.unwrap_or(Path::new(""))
    }
}
