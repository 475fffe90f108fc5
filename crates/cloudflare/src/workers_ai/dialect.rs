//! How Workers AI differs from the OpenAI-compatible chat protocol, for both of its paths.

use inferstream_client::{Call, Dropped};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, Error, ErrorKind, Field, Model, ProviderInfo,
    ResponseFormat, Result, protocol::Decode,
};
use inferstream_openai_compat::{Chat, ChatDecode, Dialect};

use super::{
    decode::{DEFAULT_MAX_TOKENS, WorkersAiDecode},
    error, families,
    search::search,
};
use crate::models::INFO;

/// The path of the service that requests are sent to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/ai/run/{model}` for LoRA adapters and the service's oldest models, and
    /// `/ai/v1/chat/completions` for all others.
    #[default]
    ByModel,
    /// `/ai/v1/chat/completions`, which reports a finish reason.
    OpenAi,
    /// `/ai/run/{model}`, which accepts fields that the other path does not: `lora`, `raw` and
    /// `prompt`.
    Native,
}

impl Endpoint {
    /// Returns true if the model is requested at `/ai/run/{model}`.
    fn is_native(self, model: &str) -> bool {
        match self {
            Self::ByModel => families::is_native(model),
            Self::OpenAi => false,
            Self::Native => true,
        }
    }
}

#[derive(Debug)]
pub(crate) struct WorkersAi {
    pub(crate) endpoint: Endpoint,
    /// Whether the base URL is that of an AI Gateway, whose paths differ.
    pub(crate) is_gateway: bool,
}

impl WorkersAi {
    /// Returns an error for a gateway, because gateways have no list of models.
    pub(crate) fn check_lists(&self) -> Result<()> {
        if self.is_gateway {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "an AI Gateway has no list of models: use a client without `gateway`",
            ));
        }
        Ok(())
    }
}

impl Dialect for WorkersAi {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.supports_images = families::takes_images(model);
        capabilities
    }

    fn path(&self, model: &str) -> String {
        match (self.endpoint.is_native(model), self.is_gateway) {
            (true, true) => format!("/{model}"),
            (true, false) => format!("/run/{model}"),
            (false, _) => "/v1/chat/completions".to_owned(),
        }
    }

    fn names_model(&self, model: &str) -> bool {
        !self.endpoint.is_native(model)
    }

    // The native path documents a bare schema, and its models accept no other form.
    fn names_schema(&self, model: &str) -> bool {
        !self.endpoint.is_native(model)
    }

    fn adapt(&self, model: &str, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"@/-_.".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && !part.bytes().all(|byte| byte == b'.');
        if !model.bytes().all(is_safe) || !model.split('/').all(is_part) {
            return Err(Error::config(
                "invalid model name for cloudflare: expected one like `@cf/meta/llama-3.1-8b-instruct-fp8`",
            )
            .with_setting("model"));
        }
        if request.n.is_some_and(|n| n != 1) {
            dropped.take(request, Field::N, "Workers AI returns one choice");
        }
        if self.endpoint.is_native(model) {
            let reason = "unknown at the model's own path, `/ai/run`";
            dropped.keep(request, reason, families::is_native_setting);
            if let Some(ResponseFormat::JsonSchema { strict, .. }) = &mut request.response_format {
                if strict.take() == Some(true) {
                    let reason = "the model's own path, `/ai/run`, does not guarantee the schema";
                    dropped.detail("response_format#strict", reason);
                }
            }
        }
        let states_limit = |name: &&str| request.has_extra(name);
        let limits = ["max_tokens", "max_completion_tokens"];
        if request.max_tokens.is_none() && !limits.iter().any(states_limit) {
            request.max_tokens = Some(DEFAULT_MAX_TOKENS);
        }
        families::adapt(model, request, dropped)
    }

    // Many models refuse a message whose content is `null` or missing.
    fn sends_empty_content(&self) -> bool {
        true
    }

    fn decode(&self, chat: ChatDecode, request: &ChatRequest) -> Box<dyn Decode> {
        Box::new(WorkersAiDecode::new(chat, request))
    }

    fn models<'a>(
        &'a self,
        chat: &'a Chat<Self>,
        call: &'a Call,
    ) -> Option<BoxFuture<'a, Result<Vec<Model>>>> {
        Some(Box::pin(async move {
            self.check_lists()?;
            search(call, chat, "task=Text%20Generation").await
        }))
    }

    fn refine(&self, error: Error) -> Error {
        error::refine(error)
    }
}
