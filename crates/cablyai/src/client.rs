//! The client of CablyAI and its builder.

use inferstream_client::{Client, Setting, Settings, same_host};
use inferstream_core::{Error, ErrorKind, Result, protocol::check_headers};
use inferstream_openai_compat::Chat;

use crate::dialect::{BASE_URL, CablyAiDialect, INFO, Preset};

/// A client of CablyAI, or of a compatible service at another base URL.
///
/// Cloning is cheap; clones share connections and the model list.
#[derive(Clone, Debug)]
pub struct CablyAi {
    client: Client<Chat<CablyAiDialect>>,
}

/// The settings of a [`CablyAi`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CablyAiBuilder {
    preset: Preset,
    settings: Settings,
}

inferstream_client::provider! {
    #[stream doc = "There is no default model: a request without one fails with `Config`."]
    impl CablyAi: this => &this.client
}

inferstream_client::builder!(CablyAiBuilder with key);

impl CablyAi {
    /// Creates a client with the key in `CABLYAI_API_KEY`, for the service at `CABLYAI_BASE_URL` if
    /// that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if the key is missing, unless the base URL has another host; `Config` if the key or the
    /// base URL is invalid.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cablyai = CablyAiBuilder::from_env()?.build()?;
        cablyai.client.check_key()?;
        Ok(cablyai)
    }

    /// Returns a builder with the default settings. No environment variable is read.
    pub fn builder() -> CablyAiBuilder {
        CablyAiBuilder::default()
    }
}

impl CablyAiBuilder {
    /// Reads `CABLYAI_API_KEY` and `CABLYAI_BASE_URL`, if they are set. Later calls of setters override
    /// them.
    ///
    /// # Errors
    ///
    /// `Config` if a variable is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["CABLYAI_API_KEY"], &["CABLYAI_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets the base URL: `https://cablyai.com/v1` by default.
    ///
    /// `/v1` is added to a URL without a path. At another host the key is optional.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets the headers that are sent with every request: [`Preset::Browser`] by default.
    /// [`header`](Self::header) replaces single ones.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Sets whether requests for models that are not in [`CablyAi::known_models`] fail with
    /// `ModelNotSupported` before anything is sent: false by default.
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` if the key, the base URL or a header is invalid, or if the transport is missing.
    pub fn build(self) -> Result<CablyAi> {
        let mut settings = self.settings;
        check_headers(&settings.headers)?;
        let own = std::mem::replace(&mut settings.headers, self.preset.headers());
        for (name, value) in &own {
            settings.headers.insert(name, value.clone());
        }
        let base = settings.base_url_or(BASE_URL);
        let needs_key = same_host(&base, BASE_URL);
        let protocol = Chat::new(CablyAiDialect { needs_key });
        let client = if needs_key {
            Client::with_required_key(protocol, &base, settings, no_key())?
        } else {
            Client::new(protocol, &base, settings)?
        };
        Ok(CablyAi { client })
    }
}

fn no_key() -> Error {
    let login = INFO.login_url();
    let message =
        format!("missing key for cablyai: set CABLYAI_API_KEY; keys were created at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}
