//! OpenRouter: a provider of the chat protocol that has two headers of its own.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use inferstream_client::{Client, Settings};
use inferstream_openai_compat::{Chat, Dialect, Error, ErrorKind, ProviderInfo, Result};

static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new("openrouter", "OpenRouter", "https://openrouter.ai/docs");
    info.key_variable = Some("OPENROUTER_API_KEY".into());
    info
});

#[derive(Debug)]
struct OpenRouterDialect;

impl Dialect for OpenRouterDialect {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }
}

/// A client of OpenRouter.
#[derive(Clone, Debug)]
pub struct OpenRouter(Client<Chat<OpenRouterDialect>>);

inferstream_client::provider! { impl OpenRouter: this => &this.0 }

/// The settings of an [`OpenRouter`].
#[derive(Debug, Default)]
pub struct OpenRouterBuilder {
    pub(crate) settings: Settings,
}

inferstream_client::builder!(OpenRouterBuilder with key);

impl OpenRouterBuilder {
    /// Reads `OPENROUTER_API_KEY` and `OPENROUTER_BASE_URL`.
    pub fn from_env() -> Result<Self> {
        let settings = Settings::from_env(&["OPENROUTER_API_KEY"], &["OPENROUTER_BASE_URL"])?;
        Ok(Self { settings })
    }

    /// Sets the URL and the title of the program, for OpenRouter's statistics.
    pub fn app(self, url: HeaderValue, title: HeaderValue) -> Self {
        self.header(HeaderName::from_static("http-referer"), url)
            .header(HeaderName::from_static("x-title"), title)
    }

    /// Creates the client.
    pub fn build(self) -> Result<OpenRouter> {
        let url = self.settings.base_url_or("https://openrouter.ai/api/v1");
        let missing = Error::new(ErrorKind::Auth, "missing key: set OPENROUTER_API_KEY");
        let chat = Chat::new(OpenRouterDialect);
        Client::with_required_key(chat, &url, self.settings, missing).map(OpenRouter)
    }
}
