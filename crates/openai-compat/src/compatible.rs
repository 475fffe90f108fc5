//! Any compatible service: where it is, and how it differs, as data.

use http::uri::PathAndQuery;
use inferstream_client::{Client, Setting, Settings};
use inferstream_core::{Capabilities, Error, Field, Model, ProviderInfo, Result};

use crate::{chat::Chat, dialect::Dialect, schema::SchemaRules};

/// Describes the generic client: it knows no models and has no default.
fn generic() -> ProviderInfo {
    let mut info = ProviderInfo::new(
        "openai-compat",
        "OpenAI-compatible service",
        "https://platform.openai.com/docs/api-reference/chat",
    );
    info.key_variable = Some("OPENAI_COMPAT_API_KEY".into());
    info
}

/// The most bytes in the name of a service.
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
/// let answer = ollama.chat("Why is the sky blue?").await?;
/// println!("{}", answer.text());
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
    models: Vec<Model>,
    settings: Settings,
    knobs: Knobs,
}

/// How a service differs, as data.
#[derive(Clone, Debug)]
// Each is a fact of its own.
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
    /// Begins to set up a client for the service at this URL, without a key: no environment variable
    /// is read.
    ///
    /// The URL is what stands before `/chat/completions`; one without a path gets `/v1`. Those of the
    /// environment are taken by [`CompatibleBuilder::from_env`].
    #[expect(
        clippy::new_ret_no_self,
        reason = "the URL is the one setting that has no default"
    )]
    pub fn new(base_url: impl Into<String>) -> CompatibleBuilder {
        CompatibleBuilder::default().base_url(base_url)
    }
}

inferstream_client::provider! {
    #[stream doc = "`Config` is the error of a request that names no model where there is no default one."]
    impl Compatible: this => &this.client
}

inferstream_client::builder!(CompatibleBuilder with key);

impl CompatibleBuilder {
    /// Takes `OPENAI_COMPAT_BASE_URL` and `OPENAI_COMPAT_API_KEY` where they are set; what is set
    /// afterwards wins.
    ///
    /// `OPENAI_API_KEY` is not read: it is the key of one service, and this may be any.
    ///
    /// # Errors
    ///
    /// `Config` if one is not Unicode.
    pub fn from_env() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(&["OPENAI_COMPAT_API_KEY"], &["OPENAI_COMPAT_BASE_URL"])?,
            ..Self::default()
        })
    }

    /// Returns true if it is set where the service is: without it there is nothing to build.
    pub fn has_base_url(&self) -> bool {
        self.settings.base_url.is_some()
    }

    /// Sets where the service is: what stands before `/chat/completions`. A URL without a path gets
    /// `/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.settings.base_url = Some(Setting::new(url));
        self
    }

    /// Sets the name of the service in errors and spans, and its prefix in a hub: by default
    /// `openai-compat`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.knobs.info.label = name.clone().into();
        self.knobs.info.id = name.into();
        self
    }

    /// Sets the model of requests that name none; there is no other default.
    pub fn default_model(mut self, model: impl Into<String>) -> Self {
        self.knobs.default_model = Some(model.into());
        self
    }

    /// Sets the models that are known before the service is asked for them.
    pub fn known_models<T: Into<String>>(mut self, models: impl IntoIterator<Item = T>) -> Self {
        self.models = models.into_iter().map(Model::new).collect();
        self
    }

    /// Sets whether a model that is not among the known ones is refused before anything is sent:
    /// false.
    ///
    /// The known ones are those that [`Compatible::models`] last gave, else those of
    /// [`known_models`](Self::known_models).
    pub fn only_known_models(mut self, only: bool) -> Self {
        self.settings.only_known_models = only;
        self
    }

    /// Sets the path below the base URL that is asked: `/chat/completions`. It may have a query.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.knobs.path = path.into();
        self
    }

    /// Sets the name of the field that limits the answer's tokens: `max_tokens`. OpenAI's reasoning
    /// models know `max_completion_tokens` alone.
    pub fn max_tokens_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.max_tokens_field = field.into();
        self
    }

    /// Sets the name under which a message of the model carries its reasoning back, such as
    /// `reasoning_content`; by default it is left out.
    pub fn reasoning_field(mut self, field: impl Into<String>) -> Self {
        self.knobs.reasoning_field = Some(field.into());
        self
    }

    /// Sets whether a stream is asked for its usage (`stream_options.include_usage`): true. Old
    /// services refuse the field.
    pub fn asks_for_usage(mut self, asks: bool) -> Self {
        self.knobs.asks_for_usage = asks;
        self
    }

    /// Sets whether the chunk with the finish reason has the usage too, so that the stream ends there:
    /// false.
    pub fn ends_with_usage(mut self, ends: bool) -> Self {
        self.knobs.ends_with_usage = ends;
        self
    }

    /// Sets whether a message that only calls tools has an empty content in place of none: false.
    pub fn sends_empty_content(mut self, sends: bool) -> Self {
        self.knobs.sends_empty_content = sends;
        self
    }

    /// Sets what the service takes of JSON Schema: all of it by default.
    pub fn schema_rules(mut self, rules: SchemaRules) -> Self {
        self.knobs.schema_rules = Some(rules);
        self
    }

    /// Sets the settings that the service does not know, such as [`Field::Seed`]. A request with one is
    /// handled by its [`on_unsupported`](inferstream_core::ChatRequest::on_unsupported): by default it
    /// is refused.
    pub fn unknown_fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.knobs.unknown_fields = fields.into_iter().collect();
        self
    }

    /// Creates the client.
    ///
    /// # Errors
    ///
    /// `Config` for a name, key, URL, path or header that cannot be used, or where there is no transport.
    pub fn build(self) -> Result<Compatible> {
        let Self {
            models,
            settings,
            mut knobs,
        } = self;
        if settings.base_url.is_none() {
            return Err(Error::config(
                "openai-compat needs to know where the service is: set OPENAI_COMPAT_BASE_URL, such as to \
                 http://localhost:11434/v1",
            ));
        }
        check_name(&knobs.info.id)?;
        if !knobs.path.starts_with('/') {
            return Err(Error::config("the path must begin with `/`"));
        }
        // A fragment would be left out unsaid.
        if knobs.path.contains('#') || knobs.path.parse::<PathAndQuery>().is_err() {
            return Err(Error::config(
                "the path has a character that cannot stand in a URL's path or query",
            ));
        }
        knobs.needs_auth = settings.key.is_some();
        let base = settings.base_url_or("");
        let client = Client::new(Chat::new(knobs), &base, settings)?;
        if !models.is_empty() {
            client.set_known_models(models);
        }
        Ok(Compatible { client })
    }
}

/// Checks that a name can be the prefix in `provider/model` and stand in one line.
fn check_name(name: &str) -> Result<()> {
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    if name.is_empty() || MAX_NAME < name.len() || !name.bytes().all(is_name) {
        let expected = "1 to 64 printable ASCII characters without spaces and `/`";
        return Err(Error::config(format!(
            "invalid name of the service: expected {expected}"
        )));
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
