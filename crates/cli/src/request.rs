//! Requests, and what is read before one is sent.

use inferstream::{ChatRequest, Error, Message, Part, ResponseFormat, Result, Role, Tool};

use crate::{
    args::Chat,
    check,
    config::{Config, Route, Target},
    conversation::Conversation,
    files::Files,
    images, prompt, schema,
    service::route,
    tools,
};

/// What is read before a request is sent.
pub(crate) struct Input {
    pub(crate) selected: Selected,
    pub(crate) conversation: Conversation,
    pub(crate) settings: Settings,
    pub(crate) files: Files,
}

impl Input {
    /// Reads the files and standard input.
    ///
    /// # Errors
    ///
    /// Returns `Config` for what is invalid or cannot be read.
    pub(crate) fn read(args: &Chat) -> Result<Self> {
        let selected = Selected::new(args)?;
        // Check the arguments before waiting for standard input.
        check::options(args, &args.prompt.join(" "))?;
        let settings = Settings::read(args)?;
        let mut conversation = Conversation::open(args)?;
        conversation.add_results(&args.tool_result)?;
        let prompt = prompt::read(args)?;
        check::options(args, &prompt)?;
        if prompt.is_empty() && args.image.is_empty() {
            if !conversation.asks() && !check::asks_by_option(args) {
                return Err(Error::config(
                    "missing prompt: pass it as arguments or on standard input",
                ));
            }
        } else {
            conversation.push(user(prompt, images(args)?));
        }
        Ok(Self {
            selected,
            conversation,
            settings,
            files: Files::read(&args.service)?,
        })
    }
}

/// The configuration, and the providers and the model that it and the flags select.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) config: Config,
    pub(crate) route: Route,
}

impl Selected {
    /// Reads the configuration, and selects by the flags.
    ///
    /// # Errors
    ///
    /// Returns `Config` for an invalid file, an unknown provider, and flags of another provider.
    pub(crate) fn new(args: &Chat) -> Result<Self> {
        let config = Config::load(args.service.config.as_deref())?;
        let route = route(&config, &args.service, args.model.as_deref())?;
        check::flags(&route, &args.service)?;
        Ok(Self { config, route })
    }
}

/// Returns the images of the request.
pub(crate) fn images(args: &Chat) -> Result<Vec<Part>> {
    args.image.iter().map(|image| images::read(image)).collect()
}

/// Returns a user's message.
pub(crate) fn user(prompt: String, images: Vec<Part>) -> Message {
    let mut message = Message::empty(Role::User);
    if !prompt.is_empty() {
        message = message.part(prompt);
    }
    message.content.extend(images);
    message
}

/// The settings of requests that are read from files.
#[derive(Debug)]
pub(crate) struct Settings {
    format: Option<ResponseFormat>,
    tools: Vec<Tool>,
}

impl Settings {
    /// Reads the files of `--schema` and `--tool`.
    ///
    /// # Errors
    ///
    /// Returns `Config` for what is invalid or cannot be read.
    pub(crate) fn read(args: &Chat) -> Result<Self> {
        Ok(Self {
            format: args.schema.as_deref().map(schema::read).transpose()?,
            tools: tools::read(&args.tool)?,
        })
    }

    /// Returns the request for the next response of a conversation.
    pub(crate) fn request(
        &self,
        args: &Chat,
        target: &Target,
        conversation: &Conversation,
    ) -> ChatRequest {
        let mut request = ChatRequest::default()
            .messages(conversation.messages())
            .stop(args.stop.iter().cloned());
        request.model.clone_from(&target.model);
        request.max_tokens = args.max_tokens;
        request.temperature = args.temperature;
        request.seed = args.seed;
        request.response_format.clone_from(&self.format);
        request.tools.clone_from(&self.tools);
        request.on_unsupported = args.on_unsupported.map(Into::into);
        request.extra.clone_from(&args.option);
        request
    }
}
