//! The format of the configuration file, and its parser.

use std::{collections::BTreeMap, num::NonZeroUsize, ops::Range, path::PathBuf};

use inferstream::{Error, Result};
use serde::Deserialize;
use toml::Spanned;

use super::{
    route::Target,
    secret::{Headers, Secret},
};
use crate::{kind::Kind, limit::Limit};

/// The contents of a configuration file, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// The file; `None` without one.
    pub(crate) path: Option<PathBuf>,
    /// The default model: a provider and a model, or several to fall back through.
    pub(crate) default: Option<Vec<Target>>,
    /// The aliases of models.
    pub(crate) models: BTreeMap<String, Vec<Target>>,
    /// The providers, by the name in `provider/model`.
    pub(crate) providers: BTreeMap<String, Table>,
    /// The server of `inferstream serve`.
    #[cfg(feature = "serve")]
    pub(crate) serve: inferstream_gateway::Serve,
    /// The keys of its clients, by name.
    #[cfg(feature = "serve")]
    pub(crate) keys: BTreeMap<String, inferstream_gateway::KeyConfig>,
}

/// A file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    default: Option<Spanned<String>>,
    models: BTreeMap<String, Spanned<Models>>,
    providers: BTreeMap<String, Spanned<Table>>,
    #[cfg(feature = "serve")]
    serve: inferstream_gateway::Serve,
    #[cfg(feature = "serve")]
    keys: BTreeMap<String, inferstream_gateway::KeyConfig>,
}

/// One model, or several to fall back through.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected `provider/model` or a list of them")]
enum Models {
    One(String),
    Several(Vec<String>),
}

/// A table `[providers.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Table {
    /// The kind: the table's name by default.
    pub(crate) kind: Option<Kind>,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) headers: Headers,
    /// The model of requests that name none.
    pub(crate) default_model: Option<String>,
    /// The maximum number of requests at a time; others wait.
    pub(crate) max_in_flight: Option<NonZeroUsize>,

    // Timeouts in seconds, as the flags of the same names.
    pub(crate) connect_timeout: Option<Limit>,
    pub(crate) first_event_timeout: Option<Limit>,
    pub(crate) idle_timeout: Option<Limit>,
    pub(crate) timeout: Option<Limit>,
    /// The maximum number of attempts.
    pub(crate) attempts: Option<Attempts>,

    // Cerebras.
    pub(crate) behind_gateway: Option<bool>,
    pub(crate) cookies: Option<PathBuf>,

    // Cloudflare.
    pub(crate) account: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) gateway_token: Option<Secret>,
    pub(crate) playground: Option<bool>,
    pub(crate) agent: Option<bool>,
    pub(crate) session_file: Option<PathBuf>,

    // Compatible services.
    pub(crate) asks_for_usage: Option<bool>,
    pub(crate) max_tokens_field: Option<String>,
    pub(crate) reasoning_field: Option<String>,

    // Replicate.
    pub(crate) stream_origins: Vec<String>,
}

/// A number of attempts, at least 1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct Attempts(pub(crate) u32);

impl TryFrom<i64> for Attempts {
    type Error = &'static str;

    fn try_from(attempts: i64) -> std::result::Result<Self, Self::Error> {
        match u32::try_from(attempts) {
            Ok(attempts) if 1 <= attempts => Ok(Self(attempts)),
            _ => Err("invalid number of attempts: expected at least 1"),
        }
    }
}

impl Config {
    /// Parses the text of a file.
    ///
    /// # Errors
    ///
    /// `Config` with the line and column. No value of the file is repeated.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let at = |span: Option<Range<usize>>, message: &str| {
            let place = span.map(|span| place(text, span.start));
            let message = format!("{}{}", place.unwrap_or_default(), message);
            Error::config(message).with_setting("config")
        };
        let file: File = toml::from_str(text)
            .map_err(|error| at(error.span(), &without_value(error.message())))?;
        let mut config = Self {
            #[cfg(feature = "serve")]
            serve: file.serve,
            #[cfg(feature = "serve")]
            keys: file.keys,
            ..Self::default()
        };
        for (name, table) in file.providers {
            let span = Some(table.span());
            let mut table = table.into_inner();
            check_name(&name, "provider").map_err(|message| at(span.clone(), &message))?;
            table.settle(&name).map_err(|message| at(span, &message))?;
            config.providers.insert(name, table);
        }
        for (name, models) in file.models {
            let span = Some(models.span());
            let check = |models| {
                check_name(&name, "alias")?;
                if config.kind(&name).is_some() {
                    return Err(format!(
                        "invalid alias `{name}`: it is the name of a provider"
                    ));
                }
                config.targets(models)
            };
            let targets = check(models.into_inner()).map_err(|message| at(span, &message))?;
            config.models.insert(name, targets);
        }
        if let Some(default) = file.default {
            let span = Some(default.span());
            let targets = match config.models.get(default.get_ref()) {
                Some(targets) => Ok(targets.clone()),
                None => config.targets(Models::One(default.into_inner())),
            };
            config.default = Some(targets.map_err(|message| at(span, &message))?);
        }
        Ok(config)
    }

    fn targets(&self, models: Models) -> std::result::Result<Vec<Target>, String> {
        let models = match models {
            Models::One(model) => vec![model],
            Models::Several(models) => models,
        };
        if models.is_empty() {
            return Err("invalid list of models: expected at least one".to_owned());
        }
        let target = |model: &String| {
            self.target(model).ok_or_else(|| {
                format!(
                    "invalid model: expected `provider/model` with one of {}",
                    self.names().join(", ")
                )
            })
        };
        models.iter().map(target).collect()
    }
}

/// Checks a name that stands before the `/` in `provider/model`, or instead of it.
fn check_name(name: &str, what: &str) -> std::result::Result<(), String> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if name.is_empty() || 64 < name.len() || !name.bytes().all(is_name) {
        return Err(format!(
            "invalid name of the {what}: expected 1 to 64 printable ASCII characters without spaces \
             and `/`"
        ));
    }
    Ok(())
}

/// Returns the position of a byte, for the beginning of a message. Columns count characters.
fn place(text: &str, index: usize) -> String {
    let before = text.get(..index).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before[start..].chars().count() + 1;
    format!("line {line}, column {column}: ")
}

/// Removes the value from a message such as "invalid type: string "…", expected a boolean", because
/// a key may be in the wrong place.
fn without_value(message: &str) -> String {
    for problem in ["invalid type", "invalid value", "invalid length"] {
        if !message.starts_with(problem) {
            continue;
        }
        if let Some((value, expected)) = message.rsplit_once(", expected ")
            && value.starts_with(&format!("{problem}: "))
        {
            return format!("{problem}: expected {expected}");
        }
    }
    message.replace('\n', " ")
}
