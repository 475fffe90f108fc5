//! The checks that need no network: the configuration, keys, proxies and certificates.

use std::{env, io, path::Path};

use http::Uri;
use inferstream::Error;

use crate::{
    args::Service as Flags,
    config::{Config, Origin, Target},
    report::Report,
};

/// Reports the file, the default model and the aliases.
pub(crate) fn configuration(report: &mut Report, config: &Config) -> io::Result<()> {
    match &config.path {
        None => report.ok("configuration", "no file, which is optional")?,
        Some(path) => report.ok("configuration", &path.display().to_string())?,
    }
    if let Some(default) = &config.default {
        report.ok("default model", &names(default))?;
    }
    for (alias, targets) in &config.models {
        report.ok(&format!("model {alias}"), &names(targets))?;
    }
    Ok(())
}

fn names(targets: &[Target]) -> String {
    let name = |target: &Target| match &target.model {
        None => target.name.clone(),
        Some(model) => format!("{}/{model}", target.name),
    };
    targets.iter().map(name).collect::<Vec<_>>().join(", then ")
}

/// Reports where a provider's key comes from. `problem` is the error of reading it.
pub(crate) fn key(
    report: &mut Report,
    name: &str,
    origin: &Origin,
    problem: Option<&Error>,
) -> io::Result<()> {
    let what = format!("{name} key");
    match (origin, problem) {
        (Origin::Secret(secret), Some(error)) => report.fail(
            &what,
            &error.to_string(),
            &format!("put the key into {secret}"),
        ),
        (Origin::Variable(variable), Some(error)) => {
            report.fail(&what, &error.to_string(), &format!("correct {variable}"))
        }
        (Origin::Missing(variables), _) => report.fail(&what, "missing", &set_key(name, variables)),
        (_, Some(error)) => report.fail(&what, &error.to_string(), &set_key(name, &[])),
        (origin, None) => report.ok(&what, &origin.to_string()),
    }
}

/// Returns the remedy for a missing key.
fn set_key(name: &str, variables: &[&str]) -> String {
    let member = format!("`api_key = \"env:NAME\"` in [providers.{name}]");
    match variables.first() {
        None => format!("set {member}"),
        Some(variable) => format!("set {variable}, or {member}"),
    }
}

/// Reports the proxies, without their credentials.
pub(crate) fn proxies(report: &mut Report, flags: &Flags) -> io::Result<()> {
    if flags.no_proxy {
        return report.ok("proxy", "none, by `--no-proxy`");
    }
    if let Some(url) = &flags.proxy {
        return report.ok(
            "proxy",
            &format!("{}, by `--proxy`", without_credentials(url)),
        );
    }
    let mut found = Vec::new();
    for name in ["https_proxy", "http_proxy", "all_proxy", "no_proxy"] {
        let value = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let upper = name.to_uppercase();
        let (name, value) = match (value(name), value(&upper)) {
            (Some(value), _) => (name, value),
            (None, Some(value)) => (upper.as_str(), value),
            (None, None) => continue,
        };
        let shown = match name.to_lowercase().as_str() {
            "no_proxy" => value,
            _ => without_credentials(&value),
        };
        found.push(format!("{name}={shown}"));
    }
    if found.is_empty() {
        found.push("none".to_owned());
    }
    report.ok("proxy", &found.join(" "))
}

/// Returns the scheme, host and port of a proxy's URL.
fn without_credentials(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    let Some(authority) = authority else {
        return "(an invalid URL)".to_owned();
    };
    let authority = authority.as_str();
    let place = authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place);
    match uri.as_ref().and_then(Uri::scheme_str) {
        None => place.to_owned(),
        Some(scheme) => format!("{scheme}://{place}"),
    }
}

/// Reports which certificate authorities are trusted.
pub(crate) fn certificates(report: &mut Report, flags: &Flags) -> io::Result<()> {
    let mut found = "those bundled and those of the operating system".to_owned();
    if let Some(path) = &flags.cacert {
        found = format!("{found}, and {}", path.display());
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let Some(path) = env::var_os(name).filter(|path| !path.is_empty()) else {
            continue;
        };
        let path = Path::new(&path);
        found = format!("{found}; {name}={}", path.display());
        // `SSL_CERT_DIR` may be a list.
        if name == "SSL_CERT_FILE" && std::fs::File::open(path).is_err() {
            let problem = format!("cannot read {name}={}", path.display());
            return report.fail(
                "certificates",
                &problem,
                &format!("correct or unset {name}"),
            );
        }
    }
    report.ok("certificates", &found)
}
