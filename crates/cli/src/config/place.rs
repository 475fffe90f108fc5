//! The location of the default configuration file on each platform.

use std::{env, path::PathBuf};

/// The environment variable that decides the location.
pub(crate) const VARIABLE: &str = if cfg!(windows) {
    "APPDATA"
} else if cfg!(target_os = "macos") {
    "HOME"
} else {
    "XDG_CONFIG_HOME or HOME"
};

/// Returns the path of the default file, or `None` if the environment does not determine it.
pub(crate) fn default_file() -> Option<PathBuf> {
    Some(folder()?.join("inferstream").join("config.toml"))
}

fn folder() -> Option<PathBuf> {
    if cfg!(windows) {
        return absolute("APPDATA");
    }
    if cfg!(target_os = "macos") {
        return Some(
            absolute("HOME")?
                .join("Library")
                .join("Application Support"),
        );
    }
    // The XDG base directory specification says to ignore relative paths.
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}

/// Returns the path in an environment variable, if it is absolute.
fn absolute(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os(variable)?);
    path.is_absolute().then_some(path)
}
