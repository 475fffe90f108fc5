//! The packages of this workspace, as reported by `cargo metadata`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Result, cargo, stdout, words};

/// A package of this workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder of the manifest.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// The names of the features, including `default` if it exists.
    pub(crate) features: Vec<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) has_library: bool,
    pub(crate) is_published: bool,
}

/// A line of a `[dependencies]` table.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_optional: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Build,
    Development,
    Normal,
}

impl Package {
    /// Returns the required dependencies of users of the package.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let is_required = |dependency: &&Dependency| {
            dependency.kind != Kind::Development && !dependency.is_optional
        };
        self.dependencies
            .iter()
            .filter(is_required)
            .map(|dependency| dependency.name.as_str())
    }

    /// Returns the required and optional dependencies of users of the package.
    pub(crate) fn possible(&self) -> impl Iterator<Item = &str> {
        let is_possible = |dependency: &&Dependency| dependency.kind != Kind::Development;
        self.dependencies
            .iter()
            .filter(is_possible)
            .map(|dependency| dependency.name.as_str())
    }

    /// Returns true for a published library.
    pub(crate) fn is_library(&self) -> bool {
        self.has_library && self.is_published
    }
}

/// Runs `cargo metadata` and returns the packages of this workspace.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let text = stdout(&mut cargo(words(
        "metadata --format-version 1 --no-deps --locked",
    )))?;
    let metadata: Value = serde_json::from_str(&text)?;
    Ok(list(&metadata["packages"]).map(package).collect())
}

fn package(value: &Value) -> Package {
    let manifest = PathBuf::from(string(&value["manifest_path"]));
    let is_library = |target: &Value| list(&target["kind"]).any(|kind| kind == "lib");
    Package {
        name: string(&value["name"]),
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        dependencies: list(&value["dependencies"]).map(dependency).collect(),
        features: value["features"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect(),
        rust_version: value["rust_version"].as_str().map(str::to_owned),
        has_library: list(&value["targets"]).any(is_library),
        // Cargo reports `publish = false` as an empty list of registries.
        is_published: value["publish"].is_null(),
    }
}

fn dependency(value: &Value) -> Dependency {
    let kind = match value["kind"].as_str() {
        Some("build") => Kind::Build,
        Some("dev") => Kind::Development,
        _ => Kind::Normal,
    };
    Dependency {
        name: string(&value["name"]),
        kind,
        is_optional: value["optional"] == true,
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
