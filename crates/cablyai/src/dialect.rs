//! The headers that CablyAI expected, and its models.

use std::sync::LazyLock;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_LANGUAGE, ORIGIN, REFERER, USER_AGENT},
};
use inferstream_core::{Capabilities, ProviderInfo};
use inferstream_openai_compat::Dialect;

/// The base URL of the service, with the version that every path begins with.
pub(crate) const BASE_URL: &str = "https://cablyai.com/v1";

/// The models of the gpt4free class of February 2025, in its order.
pub const HISTORICAL_MODELS: [&str; 13] = [
    "gpt-4o-mini",
    "searchgpt",
    "deepseek-r1-uncensored",
    "deepseek-r1",
    "deepseek-reasoner",
    "deepseek-v3",
    "andy-3.5",
    "hermes-3-llama-3.2-3b",
    "llama-3.1-8b-instruct",
    "o3-mini",
    "o3-mini-low",
    "sonar-reasoning",
    "tinyswallow1.5b",
];

/// The model aliases of that class, as pairs of alias and model.
///
/// The first and the last alias are also names of models, which that class replaced. This client sends
/// those names unchanged, and resolves only the second alias.
pub const HISTORICAL_ALIASES: [(&str, &str); 3] = [
    ("gpt-4o-mini", "searchgpt"),
    ("llama-3.1-8b", "llama-3.1-8b-instruct"),
    ("deepseek-r1", "deepseek-r1-uncensored"),
];

/// The description of CablyAI, which was last seen in August 2025.
pub(crate) static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new("cablyai", "CablyAI", "https://cablyai.com/chat");
    info.login_url = Some("https://cablyai.com".into());
    info.key_variable = Some("CABLYAI_API_KEY".into());
    info.models = &HISTORICAL_MODELS;
    info.model_aliases = const { &[HISTORICAL_ALIASES[1]] };
    info
});

/// A set of headers that are sent with every request.
///
/// ```
/// use inferstream_cablyai::{CablyAi, Preset};
///
/// // A gateway that needs no browser headers.
/// let builder = CablyAi::builder().base_url("http://localhost:8080").preset(Preset::Plain);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Preset {
    /// The headers of the gpt4free class of February 2025, corrected to those of a browser: its
    /// `origin` had a path, which is invalid (RFC 6454, section 7). Here it is `https://cablyai.com`.
    #[default]
    Browser,
    /// Exactly the headers of that class, with `origin: https://cablyai.com/chat`.
    Literal,
    /// No headers beyond those that every request has.
    Plain,
}

impl Preset {
    pub(crate) fn headers(self) -> HeaderMap {
        const LIKE_BROWSER: [(HeaderName, &str); 5] = [
            (ACCEPT, "*/*"),
            (ACCEPT_LANGUAGE, "en-US,en;q=0.9"),
            (ORIGIN, "https://cablyai.com"),
            (REFERER, "https://cablyai.com/chat/chat"),
            (
                USER_AGENT,
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/131.0.0.0 Safari/537.36",
            ),
        ];
        if self == Self::Plain {
            return HeaderMap::new();
        }
        let headers = LIKE_BROWSER.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::from_iter(headers);
        if self == Self::Literal {
            headers.insert(ORIGIN, HeaderValue::from_static("https://cablyai.com/chat"));
        }
        headers
    }
}

#[derive(Debug)]
pub(crate) struct CablyAiDialect {
    pub(crate) needs_key: bool,
}

impl Dialect for CablyAiDialect {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = self.needs_key;
        capabilities
    }
}
