//! The client: requests in, answers out.

use std::{future::ready, time::Duration};

use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatResponse, ChatStream, Error, ErrorKind, Json, Model,
    Provider, ProviderInfo, Result, Timeouts, Unsupported, provider,
};
use inferstream_openai_compat::Chat;

use crate::{
    CloudflareBuilder,
    models::{INFO, Page},
    playground::Playground,
    workers_ai::{WorkersAi, of_document},
};

/// A client of Cloudflare Workers AI, or of the playground.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Cloudflare {
    door: Inner,
}

/// By which door requests go.
#[derive(Clone, Debug)]
enum Inner {
    WorkersAi(Official),
    Playground(Playground),
}

/// What Workers AI is asked with.
#[derive(Clone, Debug)]
struct Official {
    chat: Chat<WorkersAi>,
    has_key: bool,
    /// The URL before the paths of models; a gateway has none.
    models: Option<String>,
}

/// How many models are asked for at once, and how often.
const PAGES: (usize, usize) = (100, 20);

impl Cloudflare {
    /// Creates a client by the environment: see [`CloudflareBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// `Auth` if there is no token; `Config` if there is no account, or a variable cannot be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let client = CloudflareBuilder::from_env()?.build()?;
        if let Inner::WorkersAi(official) = &client.door {
            official.check_key()?;
        }
        Ok(client)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> CloudflareBuilder {
        CloudflareBuilder::default()
    }

    /// Returns the limits of requests where nobody sets others: core's, but that the playground may
    /// be silent for 300 s, as the gpt4free class that this client goes back to had it.
    pub fn default_timeouts(playground: bool) -> Timeouts {
        if playground {
            Timeouts::default().idle(Duration::from_secs(300))
        } else {
            Timeouts::default()
        }
    }

    pub(crate) fn workers_ai(chat: Chat<WorkersAi>, has_key: bool, models: Option<String>) -> Self {
        Self {
            door: Inner::WorkersAi(Official {
                chat,
                has_key,
                models,
            }),
        }
    }

    pub(crate) fn playground(playground: Playground) -> Self {
        Self {
            door: Inner::Playground(playground),
        }
    }

    /// Sends a request and waits for the head of its answer; the events come as the service sends
    /// them.
    ///
    /// A request that states no limit of tokens gets one of 2048.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries; `Auth` at once if
    /// there is no token.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, or the stream, closes the connection.
    pub fn stream(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        match &self.door {
            Inner::Playground(playground) => playground.stream(request.into()),
            Inner::WorkersAi(official) => match official.check_key() {
                Ok(()) => official.chat.stream(request.into()),
                Err(error) => provider::stream(&INFO, "", request.into(), |_| ready(Err(error))),
            },
        }
    }

    /// Sends a request for a whole answer and waits for all of it.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream) and its events.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub fn chat(
        &self,
        request: impl Into<ChatRequest>,
    ) -> BoxFuture<'static, Result<ChatResponse>> {
        match &self.door {
            Inner::Playground(playground) => playground.chat(request.into()),
            Inner::WorkersAi(official) => match official.check_key() {
                Ok(()) => official.chat.chat(request.into()),
                Err(error) => provider::chat(&INFO, "", request.into(), |_| ready(Err(error))),
            },
        }
    }

    /// Asks for the models that make text.
    ///
    /// # Errors
    ///
    /// As any request; `Unsupported` through a gateway, which has no list.
    pub fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        match self.door.clone() {
            Inner::Playground(playground) => Box::pin(async move { playground.models().await }),
            Inner::WorkersAi(official) => Box::pin(async move {
                let models = official.search_in("task=Text%20Generation").await?;
                official.chat.set_known_models(models.clone());
                Ok(models)
            }),
        }
    }

    /// Asks for the models, of whatever task, that a text finds.
    ///
    /// # Errors
    ///
    /// As [`models`](Self::models).
    pub fn search(&self, text: &str) -> BoxFuture<'static, Result<Vec<Model>>> {
        let official = self.official();
        let query = format!("search={}", encoded(text));
        Box::pin(async move { official?.search_in(&query).await })
    }

    /// Asks for the schema of a model's input and output.
    ///
    /// # Errors
    ///
    /// As [`models`](Self::models); `NotFound` if there is no such model.
    pub fn schema(&self, model: &str) -> BoxFuture<'static, Result<Json>> {
        let official = self.official();
        let query = format!("models/schema?model={}", encoded(INFO.resolve(model)));
        Box::pin(async move {
            let official = official?;
            official.check_key()?;
            let url = official.models_url(&query)?;
            let body = official.chat.document(url).await?;
            let broken = || Error::protocol("cloudflare told no schema of the model");
            let value = serde_json::from_slice::<serde_json::Value>(&body);
            let value = value.map_err(|_| broken())?;
            if let Some(error) = of_document(&value) {
                return Err(error);
            }
            match &value["result"] {
                schema @ serde_json::Value::Object(_) => Ok(Json::from_text(schema.to_string())),
                _ => Err(broken()),
            }
        })
    }

    /// Returns the models known without asking: those last asked for, else the built-in ones.
    pub fn known_models(&self) -> Vec<Model> {
        match &self.door {
            Inner::WorkersAi(official) => official.chat.known_models(),
            Inner::Playground(playground) => playground
                .known_models()
                .unwrap_or_else(|| INFO.models.iter().copied().map(Model::new).collect()),
        }
    }

    /// Returns what Cloudflare is.
    pub fn info(&self) -> &ProviderInfo {
        &INFO
    }

    /// Returns what Cloudflare can do with a model.
    pub fn capabilities(&self, model: &str) -> Capabilities {
        match &self.door {
            Inner::WorkersAi(official) => official.chat.capabilities(model),
            Inner::Playground(_) => {
                let mut capabilities = Capabilities::default();
                capabilities.needs_auth = false;
                capabilities
            }
        }
    }

    /// Returns what a request would have to do without at Cloudflare, whatever its policy
    /// ([`on_unsupported`](ChatRequest::on_unsupported)) then makes of that. Nothing is sent, no key is
    /// needed.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    pub fn check(&self, request: impl Into<ChatRequest>) -> Result<Vec<Unsupported>> {
        let request = request.into();
        match &self.door {
            Inner::WorkersAi(official) => official.chat.check(&request),
            Inner::Playground(playground) => playground.check(&request),
        }
    }

    fn official(&self) -> Result<Official> {
        match &self.door {
            Inner::WorkersAi(official) => Ok(official.clone()),
            Inner::Playground(_) => Err(Error::new(
                ErrorKind::Unsupported,
                "the playground tells its models' names alone",
            )),
        }
    }
}

impl Official {
    async fn search_in(&self, query: &str) -> Result<Vec<Model>> {
        self.check_key()?;
        let (per_page, pages) = PAGES;
        let mut models = Vec::new();
        for page in 1..=pages {
            let path = format!("models/search?{query}&page={page}&per_page={per_page}");
            let body = self.chat.document(self.models_url(&path)?).await?;
            let page = Page::read(&body)?;
            models.extend(page.models);
            if !page.has_more {
                break;
            }
        }
        Ok(models)
    }

    fn models_url(&self, path: &str) -> Result<String> {
        match &self.models {
            Some(base) => Ok(format!("{base}/{path}")),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "a gateway has no list of models: ask without one",
            )),
        }
    }

    fn check_key(&self) -> Result<()> {
        if self.has_key {
            return Ok(());
        }
        let login = INFO.login_url.unwrap_or(INFO.url);
        let message =
            format!("cloudflare needs a token: set CLOUDFLARE_API_TOKEN; tokens are at {login}");
        Err(Error::new(ErrorKind::Auth, message))
    }
}

/// Encodes a text for a query (RFC 3986, section 2.1).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

impl Provider for Cloudflare {
    fn info(&self) -> &ProviderInfo {
        Cloudflare::info(self)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        Cloudflare::capabilities(self, model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        Cloudflare::check(self, request.clone())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        Cloudflare::stream(self, request)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        Cloudflare::chat(self, request)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        Cloudflare::models(self)
    }

    fn known_models(&self) -> Vec<Model> {
        Cloudflare::known_models(self)
    }
}
