//! A client of any compatible service, with its differences as settings.

use http::uri::PathAndQuery;
use inferstream_client::{Client, Setting, Settings, same_host};
use inferstream_core::{Capabilities, Error, ErrorKind, Field, Model, ProviderInfo, Result};

use crate::{chat::Chat, dialect::Dialect, preset::Preset, schema::SchemaRules};

/// Describes the generic client, which has no built-in models and no default model.
fn generic() -> ProviderInfo {
    let mut info = ProviderInfo::new(
        "openai-compat",
        "OpenAI-compatible service",
        "https://platform.openai.com/docs/api-reference/chat",
    );
    info.key_variable = Some("OPENAI_COMPAT_API_KEY".into());
    info
}

/// The longest name of a service, in bytes.
const MAX_NAME: usize = 64;

/// A client of any service that speaks the protocol: Ollama, llama.cpp, vLLM, LiteLLM, a gateway.
///
/// Cloning is cheap; clones share connections and the list of models.
///
/// ```no_run
/// # #[cfg(feature = "transport")]
/// # async fn example() -> inferstream_openai_compat::Result<()> {
/// use inferstream_openai_compat::Compatible;
///
/// let ollama = Compatible::new("http://localhost:11434/v1").default_model("llama3.2").build()?;
/// let response = ollama.chat("Why is the sky blue?").await?;
/// println!("{}", response.text());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Compatible {
    client: Client<Chat<Knobs>>,
}

/// The settings of a [`Compatible`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CompatibleBuilder {
    preset: Option<&'static Preset>,
    /// The key in the preset's variable, which is for the preset's host only.
    preset_key: Option<Setting>,
    models: Vec<Model>,
    settings: Settings,
    knobs: Knobs,
}

/// The dialect of a service, as data.
#[derive(Clone, Debug)]
// The flags are independent of each other.
#[allow(clippy::struct_excessive_bools)]
struct Knobs {
    info: ProviderInfo,
    default_model: Option<String>,
    path: String,
    max_tokens_field: String,
    reasoning_field: Option<String>,
    asks_for_usage: bool,
    ends_with_usage: bool,
    sends_empty_content: bool,
    unknown_fields: Vec<Field>,
    schema_rules: Option<SchemaRules>,
    needs_auth: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            info: generic(),
            default_model: None,
            path: "/chat/completions".to_owned(),
            max_tokens_field: "max_tokens".to_owned(),
            reasoning_field: None,
            asks_for_usage: true,
            ends_with_usage: false,
            sends_empty_content: false,
            unknown_fields: Vec::new(),
            schema_rules: None,
            needs_auth: false,
        }
    }
}

impl Compatible {
    /// Returns a builder for a client of the service at this base URL, without a key.
    ///
    /// The base URL is the part before `/chat/completions`; `/v1` is added to a URL without a path.
    /// No environment variable is read: use [`CompatibleBuilder::from_env`] for that.
    #[expect(
        clippy::new_ret_no_self,
        reason = "the URL is the one setting that has no default"
    )]
    pub fn new(base_url: impl Into<String>) -> CompatibleBuilder {
        CompatibleBuilder::default().base_url(base_url)
    }

    /// Returns a builder for a known service or local engine, such as `groq` or `ollama`: see
    /// [`Preset::all`].
    ///
    /// No environment variable is read: use [`CompatibleBuilder::preset_from_env`] for that. A
    /// service that requires a key can be built without one; then its requests fail with `Auth`.
    /// Setters override the settings of the preset. If the base URL is set to another host, the key
    /// is optional.
    ///
    /// ```
    /// # #[cfg(feature = "transport")]
    /// # fn main() -> inferstream_openai_compat::Result<()> {
    /// use inferstream_openai_compat::{Compatible, Preset};
    ///
    /// let groq = Compatible::preset("groq")?.api_key("gsk_secret").build()?;
    /// assert_eq!(groq.info().id, "groq");
    /// assert_eq!(Preset::find("groq")?.key_variable, Some("GROQ_API_KEY"));
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "transport"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    ///
    /// `Config` with the known names if there is no preset with this name.
    pub fn preset(name: &str) -> Result<CompatibleBuilder> {
        Ok(CompatibleBuilder::of_preset(Preset::find(name)?))
    }
}

inferstream_client::provider! {
    #[stream doc = "A request without a model fails with `Config` unless the client has a default model."]
    impl Compatible: this => &this.client
}

inferstream_client::builder!(CompatibleBuilder with key);

impl CompatibleBuilder {
    /// Reads `OPENAI_COMPAT_BASE_URL` and `OPENAI_COMPAT_API_KEY`, if they are set. Later calls of
    /// setters override them.
    ///
    /// `OPENAI_API_KEY` is not read, because it is the key of one service and must not be sent to
    /// another.
    ///
    /// # Errors
    ///
    /// `Config` if a variable is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["OPENAI_COMPAT_API_KEY"], &["OPENAI_COMPAT_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Returns a builder for a known service or local engine, as [`Compatible::preset`], with the
    /// key in the service's environment variable, if that is set. The key is used only if the base
    /// URL has the service's host: for a proxy at another host, set it with
    /// [`api_key`](Self::api_key).
    ///
    /// # Errors
    ///
    /// `Config` if there is no preset with this name, or if the variable is not Unicode.
    pub fn preset_from_env(name: &str) -> Result<Self> {
        let preset = Preset::find(name)?;
        let mut builder = Self::of_preset(preset);
        if let Some(variable) = preset.key_variable {
            builder.preset_key = Setting::from_env(&[variable])?;
        }
        Ok(builder)
    }

    fn of_preset(preset: &'static Preset) -> Self {
        let mut info = ProviderInfo::new(preset.id, preset.label, preset.docs_url);
        info.key_variable = preset.key_variable.map(Into::into);
        info.login_url = preset.login_url.map(Into::into);
        Self {
            preset: Some(preset),
            knobs: Knobs {
                info,
                max_tokens_field: preset.max_tokens_field.to_owned(),
                reasoning_field: preset.reasoning_field.map(str::to_owned),
                asks_for_usage: preset.asks_for_usage,
                unknown_fields: preset.unknown_fields.to_vec(),
                ..Knobs::default()
            },
            ..Self::default()
        }
    }

    /// Returns true if the base URL is set, or known from a preset. Without one,
    /// [`build`](Self::build) fails.
    pub fn has_base_url(&self) -> bool {
        self.settings.base_url.is_some() || self.preset.is_some()
    }

    /// Sets the base URL: the part before `/chat/completions`. `/v1` is added to a URL without a
    /// path.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets the name of the service in errors and spans, and its prefix in `provider/model`:
    /// `openai-compat` by default. It has 1 to 64 printable ASCII characters without spaces and
    /// `/`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.knobs.info.label = name.clone().into();
        self.knobs.info.id = name.into();
        self
    }

    /// Sets the model of requests that do not name one. Without it, such a request fails.
    pub fn default_model(mut self, model: impl Into<String>) -> Self {
        self.knobs.default_model = Some(model.into());
        self
    }

    /// Sets the models that are known before the first call of [`Compatible::models`].
    pub fn known_models<T: Into<String>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = models.into_iter().map(Model::new).collect();
        self
    }

    /// Sets whether requests for unknown models are refused before anything is sent: false by
    /// default.
    ///
    /// The known models are those that [`Compatible::models`] last returned, or else those of
    /// [`known_models`](Self::known_models).
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Sets the path of chat requests below the base URL: `/chat/completions` by default. It may
    /// have a query.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.knobs.path = path.into();
        self
    }

    /// Sets the name of the field with the token limit: `max_tokens` by default. OpenAI's reasoning
    /// models accept only `max_completion_tokens`.
    pub fn max_tokens_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.max_tokens_field = field.into();
        self
    }

    /// Sets the field in which earlier messages of the assistant return their reasoning to the
    /// service, such as `reasoning_content`. By default, reasoning is not sent.
    pub fn reasoning_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.reasoning_field = Some(field.into());
        self
    }

    /// Sets whether streams request token usage (`stream_options.include_usage`): true by default.
    /// Turn it off for older services that refuse the field.
    pub fn asks_for_usage(mut self, asks: bool) -> Self {
        self.knobs.asks_for_usage = asks;
        self
    }

    /// Sets whether a stream ends at the chunk that has both the finish reason and the usage,
    /// without waiting for the end marker: false by default.
    pub fn ends_with_usage(mut self, ends: bool) -> Self {
        self.knobs.ends_with_usage = ends;
        self
    }

    /// Sets whether a message that only calls tools is sent with an empty `content` instead of
    /// without one: false by default.
    pub fn sends_empty_content(mut self, sends: bool) -> Self {
        self.knobs.sends_empty_content = sends;
        self
    }

    /// Sets the part of JSON Schema that the service supports: all of it by default.
    pub fn schema_rules(mut self, rules: SchemaRules) -> Self {
        self.knobs.schema_rules = Some(rules);
        self
    }

    /// Sets the request settings that the service does not support, such as [`Field::Seed`]. The
    /// [`on_unsupported`](inferstream_core::ChatRequest::on_unsupported) of a request decides
    /// whether they are refused, which is the default, or dropped.
    pub fn unknown_fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.knobs.unknown_fields = fields.into_iter().collect();
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` if the base URL (of a builder without a preset) or the transport is missing, or if the name, key, base URL, path or
    /// a header is invalid.
    pub fn build(self) -> Result<Compatible> {
        let Self {
            preset,
            preset_key,
            models,
            mut settings,
            mut knobs,
        } = self;
        if settings.base_url.is_none() && preset.is_none() {
            return Err(Error::config(
                "missing base URL of openai-compat: set OPENAI_COMPAT_BASE_URL, for example to \
                 http://localhost:11434/v1",
            )
            .with_setting("base_url"));
        }
        check_name(&knobs.info.id)?;
        if !knobs.path.starts_with('/') {
            return Err(Error::config("invalid path: expected a leading `/`").with_setting("path"));
        }
        // `PathAndQuery` drops a fragment without an error.
        if knobs.path.contains('#') || knobs.path.parse::<PathAndQuery>().is_err() {
            return Err(Error::config(
                "invalid path: expected a path with an optional query, and no fragment",
            )
            .with_setting("path"));
        }
        let default = preset.map_or("", |preset| preset.base_url);
        // The base URL of a preset is complete: not every service has `/v1` in it.
        let base = match settings.base_url {
            None => default.to_owned(),
            Some(_) => settings.base_url_or(""),
        };
        let missing = match preset {
            Some(preset) if same_host(&base, default) => {
                settings.key = settings.key.or(preset_key);
                missing_key(preset, &knobs.info)
            }
            _ => None,
        };
        knobs.needs_auth = settings.key.is_some() || missing.is_some();
        let protocol = Chat::new(knobs);
        let client = match missing {
            None => Client::new(protocol, &base, settings)?,
            Some(missing) => Client::with_required_key(protocol, &base, settings, missing)?,
        };
        if !models.is_empty() {
            client.set_known_models(models);
        }
        Ok(Compatible { client })
    }
}

/// Returns the error of calls without the key that a service requires, or `None` if it requires no
/// key.
fn missing_key(preset: &Preset, info: &ProviderInfo) -> Option<Error> {
    let variable = preset.key_variable?;
    let (id, login) = (&info.id, info.login_url());
    let message = format!("missing key for {id}: set {variable}; create a key at {login}");
    Some(Error::new(ErrorKind::Auth, message).with_setting("api_key"))
}

/// Checks that a name is usable as the prefix in `provider/model`, and on one line of an error.
fn check_name(name: &str) -> Result<()> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if name.is_empty() || MAX_NAME < name.len() || !name.bytes().all(is_name) {
        let expected = "1 to 64 printable ASCII characters without spaces and `/`";
        return Err(
            Error::config(format!("invalid name of the service: expected {expected}"))
                .with_setting("name"),
        );
    }
    Ok(())
}

impl Dialect for Knobs {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn capabilities(&self, _: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = self.needs_auth;
        capabilities.supports_images = true;
        capabilities
    }

    fn default_model(&self) -> Option<&str> {
        self.default_model.as_deref()
    }

    fn path(&self, _: &str) -> String {
        self.path.clone()
    }

    fn sends_empty_content(&self) -> bool {
        self.sends_empty_content
    }

    fn max_tokens_field(&self) -> &str {
        &self.max_tokens_field
    }

    fn reasoning_field(&self) -> Option<&str> {
        self.reasoning_field.as_deref()
    }

    fn asks_for_usage(&self) -> bool {
        self.asks_for_usage
    }

    fn ends_with_usage(&self) -> bool {
        self.ends_with_usage
    }

    fn schema_rules(&self, _: &str) -> Option<&SchemaRules> {
        self.schema_rules.as_ref()
    }

    fn knows_field(&self, field: Field) -> bool {
        !self.unknown_fields.contains(&field)
    }
}
