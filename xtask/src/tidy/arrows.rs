//! The dependencies that each package may have. Dependencies of tests are not restricted.

use crate::{run::Result, workspace::Package};

/// A package and the packages of this workspace that it may depend on.
///
/// Every package must be listed: a new crate changes the design.
const ARROWS: &[(&str, &[&str])] = &[
    ("inferstream-core", &[]),
    (
        "inferstream-client",
        &["inferstream-core", "inferstream-transport"],
    ),
    (
        "inferstream-compose",
        &["inferstream-client", "inferstream-core"],
    ),
    ("inferstream-session", &["inferstream-core"]),
    (
        "inferstream-openai-compat",
        &[
            "inferstream-client",
            "inferstream-core",
            "inferstream-transport",
        ],
    ),
    ("inferstream-test", &["inferstream-core"]),
    ("inferstream-transport", &["inferstream-core"]),
    ("inferstream-cablyai", PROVIDER),
    ("inferstream-cerebras", PROVIDER_WITH_SESSION),
    ("inferstream-cloudflare", PROVIDER_WITH_SESSION),
    (
        "inferstream-replicate",
        &[
            "inferstream-client",
            "inferstream-core",
            "inferstream-transport",
        ],
    ),
    ("inferstream", FACADE),
    ("inferstream-chat-json", &["inferstream-core"]),
    (
        "inferstream-batch",
        &["inferstream-chat-json", "inferstream-core"],
    ),
    (
        "inferstream-gateway",
        &["inferstream", "inferstream-chat-json"],
    ),
    ("inferstream-simulator", &[]),
    (
        "inferstream-cli",
        &[
            "inferstream",
            "inferstream-batch",
            "inferstream-chat-json",
            "inferstream-gateway",
            "inferstream-simulator",
        ],
    ),
    ("soak", &["inferstream"]),
    ("tests", EVERYTHING),
    ("xtask", &[]),
];

const PROVIDER: &[&str] = &[
    "inferstream-client",
    "inferstream-core",
    "inferstream-openai-compat",
    "inferstream-transport",
];

/// A provider that can sign in with a browser session.
const PROVIDER_WITH_SESSION: &[&str] = &[
    "inferstream-client",
    "inferstream-core",
    "inferstream-openai-compat",
    "inferstream-session",
    "inferstream-transport",
];

const PROVIDERS: &[&str] = &[
    "inferstream-cablyai",
    "inferstream-cerebras",
    "inferstream-cloudflare",
    "inferstream-replicate",
];

const FACADE: &[&str] = &[
    "inferstream-cablyai",
    "inferstream-cerebras",
    "inferstream-cloudflare",
    "inferstream-compose",
    "inferstream-core",
    "inferstream-openai-compat",
    "inferstream-replicate",
    "inferstream-transport",
];

const EVERYTHING: &[&str] = &[
    "inferstream",
    "inferstream-cablyai",
    "inferstream-cerebras",
    "inferstream-cli",
    "inferstream-client",
    "inferstream-cloudflare",
    "inferstream-compose",
    "inferstream-core",
    "inferstream-openai-compat",
    "inferstream-replicate",
    "inferstream-session",
    "inferstream-simulator",
    "inferstream-test",
    "inferstream-transport",
];

/// Crates that perform I/O or wait, and the packages that may depend on them.
const RUNTIME: &[&str] = &[
    "hyper",
    "hyper-util",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tokio-tungstenite",
];
const MAY_NAME_RUNTIME: &[&str] = &[
    "inferstream-cli",
    "inferstream-gateway",
    "inferstream-simulator",
    "inferstream-transport",
    "soak",
    "tests",
    "xtask",
];
/// The provider with optional features that need a process, a file lock or a WebSocket.
const MAY_NAME_RUNTIME_OPTIONALLY: &[&str] = &["inferstream-cloudflare"];

/// JSON support, which is optional in core.
const JSON: &[&str] = &["serde", "serde_json"];

/// Crates for traces: core writes those of calls, so that each is reported once, and the gateway those
/// of the requests that it serves.
const WATCHING: &[&str] = &["tracing"];
const MAY_WATCH: &[&str] = &["inferstream-core", "inferstream-gateway", "tests"];

/// Crates that no build may contain: C libraries, or a second HTTP client.
const BANNED: &[&str] = &["native-tls", "openssl", "openssl-sys", "reqwest"];

#[expect(clippy::unnecessary_wraps, reason = "the other checks read files")]
pub(crate) fn check(packages: &[Package]) -> Result<Vec<String>> {
    Ok(packages.iter().flat_map(broken).collect())
}

fn broken(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!(
            "{name}: missing in tidy/arrows.rs: add its allowed dependencies"
        )];
    };
    let mut broken = Vec::new();
    let mut complain = |to: &str, why: &str| broken.push(format!("{name} ─▶ {to}: {why}"));

    for to in package.possible() {
        let is_ours = to.starts_with("inferstream");
        let is_runtime = RUNTIME.contains(&to);
        let may_name_runtime =
            MAY_NAME_RUNTIME.contains(&name) || MAY_NAME_RUNTIME_OPTIONALLY.contains(&name);
        if is_ours && !allowed.contains(&to) {
            complain(to, "not allowed by the design");
        }
        if is_runtime && !may_name_runtime {
            complain(
                to,
                "only transports, servers, programs and tests may depend on the runtime",
            );
        }
        if WATCHING.contains(&to) && !MAY_WATCH.contains(&name) {
            complain(
                to,
                "only core writes traces, for all providers, and the gateway",
            );
        }
        if BANNED.contains(&to) {
            complain(to, "banned");
        }
    }
    for to in package.required() {
        let is_protocol = name == "inferstream-openai-compat" || PROVIDERS.contains(&name);
        if is_protocol && to == "inferstream-transport" {
            complain(
                to,
                "must be an optional feature, so that users can provide a transport",
            );
        }
        if name == "inferstream" && PROVIDERS.contains(&to) {
            complain(to, "must be an optional feature of the facade");
        }
        if MAY_NAME_RUNTIME_OPTIONALLY.contains(&name) && RUNTIME.contains(&to) {
            complain(to, "must be optional");
        }
        if name == "inferstream-core" && JSON.contains(&to) {
            complain(to, "core must not require JSON");
        }
        if WATCHING.contains(&to) {
            complain(to, "must be optional");
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::broken;
    use crate::workspace::{Dependency, Kind, Package};

    #[track_caller]
    fn check(name: &str, to: &str, kind: Kind, is_optional: bool, is_allowed: bool) {
        let package = Package {
            name: name.to_owned(),
            folder: "nowhere".into(),
            dependencies: vec![Dependency {
                name: to.to_owned(),
                kind,
                is_optional,
            }],
            features: Vec::new(),
            rust_version: None,
            has_library: true,
            is_published: true,
        };
        assert_eq!(broken(&package).is_empty(), is_allowed, "{name} to {to}");
    }

    #[test]
    fn core_knows_no_json_and_no_runtime() {
        check("inferstream-core", "bytes", Kind::Normal, false, true);
        check("inferstream-core", "serde_json", Kind::Normal, false, false);
        check("inferstream-core", "serde_json", Kind::Normal, true, true);
        check("inferstream-core", "tokio", Kind::Normal, true, false);
        check("inferstream-core", "tokio", Kind::Development, false, true);
    }

    #[test]
    fn calls_are_watched_by_core_alone_and_if_asked() {
        check("inferstream-core", "tracing", Kind::Normal, true, true);
        check("inferstream-core", "tracing", Kind::Normal, false, false);
        check("inferstream-cerebras", "tracing", Kind::Normal, true, false);
        check("tests", "tracing", Kind::Development, false, true);
    }

    #[test]
    fn providers_do_not_know_each_other() {
        check(
            "inferstream-cerebras",
            "inferstream-openai-compat",
            Kind::Normal,
            false,
            true,
        );
        check(
            "inferstream-cerebras",
            "inferstream-replicate",
            Kind::Normal,
            true,
            false,
        );
        check(
            "inferstream-openai-compat",
            "inferstream-cerebras",
            Kind::Normal,
            true,
            false,
        );
    }

    #[test]
    fn combinators_and_sessions_know_core_alone() {
        for name in ["inferstream-compose", "inferstream-session"] {
            check(name, "inferstream-core", Kind::Normal, false, true);
            check(name, "inferstream-cerebras", Kind::Normal, true, false);
            check(name, "inferstream-transport", Kind::Normal, true, false);
        }
        check(
            "inferstream-cerebras",
            "inferstream-session",
            Kind::Normal,
            false,
            true,
        );
        check(
            "inferstream-replicate",
            "inferstream-session",
            Kind::Normal,
            false,
            false,
        );
    }

    #[test]
    fn a_transport_is_optional() {
        check(
            "inferstream-cerebras",
            "inferstream-transport",
            Kind::Normal,
            true,
            true,
        );
        check(
            "inferstream-cerebras",
            "inferstream-transport",
            Kind::Normal,
            false,
            false,
        );
    }

    #[test]
    fn a_new_crate_must_be_listed() {
        check("inferstream-new", "bytes", Kind::Normal, false, false);
    }
}
