//! The settings of a gateway, which are members of the program's configuration file.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use inferstream::{ApiKey, Error, OnUnsupported, Result};
use serde::{Deserialize, Deserializer, de};

/// The settings of a gateway.
///
/// With `serde`, unknown members are errors, and durations are numbers of seconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The server and its limits.
    pub serve: Serve,
    /// Aliases: a name, and the models `provider/model` that it means. Without `/model`, it is the
    /// provider's default model. If there are several, the
    /// next one is used if one fails before the first content of its response.
    pub models: BTreeMap<String, Vec<String>>,
    /// The clients' keys, by name. Without keys, every client is allowed.
    pub keys: BTreeMap<String, KeyConfig>,
}

impl Config {
    /// Adds an alias for one model, or for several that are tried in order.
    #[must_use]
    pub fn alias<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        models: impl IntoIterator<Item = T>,
    ) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        self.models.insert(name.into(), models);
        self
    }

    /// Adds a key under a name, which appears in logs.
    #[must_use]
    pub fn key(mut self, name: impl Into<String>, key: KeyConfig) -> Self {
        self.keys.insert(name.into(), key);
        self
    }
}

/// The settings of the server.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Serve {
    /// The address to listen on: `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Whether an address that other machines can reach is allowed without keys: false.
    pub allow_without_keys: bool,
    /// Values of the header `Host` that are accepted in addition to loopback addresses, without port.
    /// Without keys, all others are refused, because of DNS rebinding. With keys, an empty list
    /// accepts all.
    pub hosts: Vec<String>,
    /// Origins of web pages that may send requests, such as `https://app.example.com`. Requests with
    /// another `Origin` than the gateway's own are refused.
    pub cors: Vec<String>,
    /// The maximum size of a request's body in bytes: 32 MiB.
    pub max_body_bytes: usize,
    /// The maximum number of responses in flight: 10,000. Further requests get status 503.
    pub max_in_flight: usize,
    /// The maximum time from the first byte of a request to the end of its headers: 10 s.
    #[serde(deserialize_with = "duration")]
    pub head_timeout: Duration,
    /// The maximum time that a connection may be idle, before its first request and between requests:
    /// 75 s. Load balancers in front of the gateway should close idle connections earlier.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// The maximum time without progress while the body of a request is read: 30 s.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// The maximum time in which a client takes no bytes of its response: 60 s. After that the
    /// connection is closed.
    #[serde(deserialize_with = "duration")]
    pub write_timeout: Duration,
    /// The time that the headers of a stream wait for its first event, so that an error before it has
    /// its own status: 10 s. After that, the status is 200 and an error is reported in the stream.
    #[serde(deserialize_with = "duration")]
    pub head_wait: Duration,
    /// The time without an event after which a comment is sent, so that proxies keep the connection:
    /// 15 s.
    #[serde(deserialize_with = "duration")]
    pub keep_alive: Duration,
    /// The time that new connections are still accepted, and refused with status 503, after the
    /// shutdown begins: 5 s. Load balancers need it to notice.
    #[serde(deserialize_with = "duration")]
    pub linger: Duration,
    /// The time that responses in flight may take after the shutdown begins: 120 s.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// How to handle settings that a provider does not support. By default, the request is refused
    /// for a setting that shapes the response.
    #[serde(deserialize_with = "policy")]
    pub on_unsupported: Option<OnUnsupported>,
    /// The responses that are kept for requests with `Idempotency-Key`.
    pub kept_responses: KeptResponses,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_without_keys: false,
            hosts: Vec::new(),
            cors: Vec::new(),
            max_body_bytes: 32 << 20,
            max_in_flight: 10_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            head_wait: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            linger: Duration::from_secs(5),
            drain: Duration::from_secs(120),
            on_unsupported: None,
            kept_responses: KeptResponses::default(),
        }
    }
}

/// The limits of kept responses, and the file that has them.
///
/// A complete response to a request with the header `Idempotency-Key` that is not streamed is kept, so
/// that the request is sent to a provider only once. Above a limit, the oldest responses are dropped;
/// a limit of 0 keeps none.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KeptResponses {
    /// A file that has the kept responses after the process has ended or was killed. By default they
    /// are in memory only. The file contains responses, and no prompts; only its owner can read it.
    ///
    /// Beside it, `FILE.lock` keeps other processes from using the file. Responses reach the disk
    /// within 1 s, so a loss of power may lose those of the last second.
    pub file: Option<PathBuf>,
    /// The time that a response is kept: 24 h.
    #[serde(deserialize_with = "duration")]
    pub time: Duration,
    /// The maximum number of kept responses: 100,000.
    pub entries: usize,
    /// The maximum size of all kept responses in bytes, which are in memory even if there is a file:
    /// 1 GiB.
    pub bytes: u64,
}

impl Default for KeptResponses {
    fn default() -> Self {
        Self {
            file: None,
            time: Duration::from_secs(24 * 60 * 60),
            entries: 100_000,
            bytes: 1 << 30,
        }
    }
}

/// A client's key and its limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyConfig {
    /// Where the key is.
    pub key: KeySource,
    /// The names that the key may request: aliases and `provider/model`. A `*` at the end matches
    /// everything after it. An empty list allows all.
    #[serde(default)]
    pub models: Vec<String>,
    /// The maximum number of requests per minute.
    #[serde(default)]
    pub requests_per_minute: Option<NonZeroU32>,
    /// The maximum number of tokens per minute, of prompts and responses together. A request is first
    /// charged with its `max_tokens`, or 1,024 without it, and finally with its usage. If the usage
    /// is unknown, because the response was canceled or failed, the first charge remains.
    #[serde(default)]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// The maximum number of responses in flight.
    #[serde(default)]
    pub max_in_flight: Option<NonZeroU32>,
    /// The time that a request above a limit waits before it is refused with status 429: none.
    #[serde(default, deserialize_with = "duration")]
    pub wait: Duration,
}

impl KeyConfig {
    /// Creates a key without limits.
    pub fn new(key: KeySource) -> Self {
        Self {
            key,
            models: Vec::new(),
            requests_per_minute: None,
            tokens_per_minute: None,
            max_in_flight: None,
            wait: Duration::ZERO,
        }
    }

    /// Sets the names that the key may request.
    #[must_use]
    pub fn models<T: Into<String>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the maximum number of requests per minute; 0 means no limit.
    #[must_use]
    pub fn requests_per_minute(mut self, requests: u32) -> Self {
        self.requests_per_minute = NonZeroU32::new(requests);
        self
    }

    /// Sets the maximum number of tokens per minute; 0 means no limit.
    #[must_use]
    pub fn tokens_per_minute(mut self, tokens: u32) -> Self {
        self.tokens_per_minute = NonZeroU32::new(tokens);
        self
    }

    /// Sets the maximum number of responses in flight; 0 means no limit.
    #[must_use]
    pub fn max_in_flight(mut self, responses: u32) -> Self {
        self.max_in_flight = NonZeroU32::new(responses);
        self
    }

    /// Sets the time that a request above a limit waits.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// Where a client's key is. In a configuration file it is a reference: `env:NAME` or `file:PATH`.
#[derive(Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// An environment variable.
    Env(String),
    /// A file; white space at its end is not part of the key.
    File(PathBuf),
    /// The key itself, which a configuration file cannot contain.
    Value(ApiKey),
}

impl FromStr for KeySource {
    type Err = Error;

    /// Parses a reference, `env:NAME` or `file:PATH`.
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // The text may be a key, so it is not part of the message.
            _ => Err(
                Error::config("invalid key: expected a reference, `env:NAME` or `file:PATH`")
                    .with_setting("keys"),
            ),
        }
    }
}

impl KeySource {
    /// Makes a relative path of a file start from a folder, such as that of the configuration file.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            other => other,
        }
    }

    /// Reads the key.
    pub(crate) fn read(&self, name: &str) -> Result<ApiKey> {
        let key = match self {
            Self::Value(key) => return Ok(key.clone()),
            Self::Env(variable) => std::env::var(variable).map_err(|_| {
                let message =
                    format!("missing key `{name}`: expected the environment variable {variable}");
                Error::config(message).with_setting("keys")
            })?,
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| {
                let message = format!("reading key `{name}` failed: {}", path.display());
                Error::config(message)
                    .with_setting("keys")
                    .with_source(error)
            })?,
        };
        ApiKey::new(key.trim()).map_err(|error| error.context(format!("key `{name}`")))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(f, "env:{variable}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Value(_) => f.write_str("(hidden)"),
        }
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| de::Error::custom("invalid duration: expected a number of seconds"))
}

fn policy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OnUnsupported>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "error" => Ok(Some(OnUnsupported::Error)),
        "warn" => Ok(Some(OnUnsupported::Warn)),
        "ignore" => Ok(Some(OnUnsupported::Ignore)),
        _ => Err(de::Error::custom(
            "invalid `on_unsupported`: expected `error`, `warn` or `ignore`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Config, KeySource};

    #[test]
    fn the_members_are_those_of_a_configuration_file() {
        let json = r#"{
            "serve": {"listen": "127.0.0.1:9000", "drain": 1.5, "cors": ["https://a.example"],
                "on_unsupported": "warn", "kept_responses": {"file": "kept.jsonl", "time": 60}},
            "models": {"fast": ["cerebras/a", "replicate/b"]},
            "keys": {"team": {"key": "file:keys/team", "requests_per_minute": 60, "wait": 2}}
        }"#;
        let config: Config = serde_json::from_str(json).unwrap();
        assert_eq!(config.serve.drain, Duration::from_millis(1_500));
        let kept = &config.serve.kept_responses;
        assert_eq!(kept.file.as_deref(), Some("kept.jsonl".as_ref()));
        assert_eq!((kept.time, kept.bytes), (Duration::from_secs(60), 1 << 30));
        assert_eq!(config.models["fast"].len(), 2);
        let key = config.keys["team"].clone();
        assert_eq!(key.wait, Duration::from_secs(2));
        let key = key.key.relative_to("/etc/inferstream".as_ref());
        assert_eq!(format!("{key:?}"), "file:/etc/inferstream/keys/team");
    }

    #[test]
    fn unknown_members_and_keys_in_the_file_are_refused() {
        for json in [
            r#"{"serv": {}}"#,
            r#"{"serve": {"drain": -1}}"#,
            r#"{"serve": {"on_unsupported": "x"}}"#,
            r#"{"keys": {"a": {"key": "sk-secret"}}}"#,
            r#"{"keys": {"a": {}}}"#,
            r#"{"keys": {"a": {"key": "env:A", "requests_per_minute": 0}}}"#,
        ] {
            let error = serde_json::from_str::<Config>(json)
                .unwrap_err()
                .to_string();
            assert!(!error.contains("sk-secret"), "{error}");
        }
        assert!("sk-secret".parse::<KeySource>().is_err());
    }
}
