//! The client of CablyAI and its builder.

use inferstream_client::{Client, Setting, Settings, same_host};
use inferstream_core::{Error, ErrorKind, Result, protocol::check_headers};
use inferstream_openai_compat::Chat;

use crate::dialect::{BASE_URL, CablyAiDialect, INFO, Preset};

/// A client of CablyAI, or of a service that answers in its place.
///
/// Cloning is cheap; clones share connections and the list of models.
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
    #[stream doc = "There is no default model: a request that names none is `Config`."]
    impl CablyAi: this => &this.client
}

inferstream_client::builder!(CablyAiBuilder with key);

impl CablyAi {
    /// Creates a client with the key in `CABLYAI_API_KEY`, for the service at `CABLYAI_BASE_URL` if
    /// that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key, unless the URL leads elsewhere; `Config` if the key or the URL cannot
    /// be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let cablyai = CablyAiBuilder::from_env()?.build()?;
        cablyai.client.check_key()?;
        Ok(cablyai)
    }

    /// Returns a builder without any setting: no environment variable is read.
    pub fn builder() -> CablyAiBuilder {
        CablyAiBuilder::default()
    }
}

impl CablyAiBuilder {
    /// Reads `CABLYAI_API_KEY` and `CABLYAI_BASE_URL` where they are set; what is set afterwards wins.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["CABLYAI_API_KEY"], &["CABLYAI_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Sets where the service is: `https://cablyai.com/v1`.
    ///
    /// A URL without a path gets `/v1`. A service elsewhere is asked without a key if none is set.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets which headers go with every request, unless [`header`](Self::header) sets one of them:
    /// [`Preset::Browser`].
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// Sets whether a model that is not among [`CablyAi::known_models`] is refused, with
    /// `ModelNotSupported`, before anything is sent: false.
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a key, URL or header that cannot be used, or where there is no transport.
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
    let message = format!("cablyai needs a key: set CABLYAI_API_KEY; keys were at {login}");
    Error::new(ErrorKind::Auth, message).with_setting("api_key")
}
