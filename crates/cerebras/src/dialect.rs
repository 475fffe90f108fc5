//! How Cerebras speaks the protocol, and its models as data.

use std::sync::LazyLock;

use bytes::Bytes;
use http::HeaderValue;
use inferstream_client::Dropped;
use inferstream_core::{
    ChatRequest, Error, ErrorKind, Field, Message, ProviderInfo, Result, Role, ToolChoice,
};
use inferstream_openai_compat::{Dialect, SchemaRules};

use crate::gzip;

/// The default model of the time when the service was young; retired in 2026.
pub const HISTORICAL_DEFAULT_MODEL: &str = "llama3.1-70b";

const DEFAULT_MODEL: &str = "gpt-oss-120b";

/// Where the service is, with the version that every path begins with.
pub(crate) const BASE_URL: &str = "https://api.cerebras.ai/v1";

/// Where keys are made.
pub(crate) const KEYS: &str = "https://cloud.cerebras.ai";

/// What Cerebras is, as of November 2026.
pub(crate) static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new(
        "cerebras",
        "Cerebras Inference",
        "https://inference.cerebras.ai/",
    );
    info.login_url = Some(KEYS.into());
    info.key_variable = Some("CEREBRAS_API_KEY".into());
    info.default_model = Some(DEFAULT_MODEL.into());
    info.models = &[DEFAULT_MODEL, "qwen-3.8-27b", "gemma-4-31b"];
    info.model_aliases = &[
        ("llama-3.1-70b", "llama3.1-70b"),
        ("llama-3.1-8b", "llama3.1-8b"),
        ("deepseek-r1", "deepseek-r1-distill-llama-70b"),
    ];
    info.retired_models = &[
        (HISTORICAL_DEFAULT_MODEL, DEFAULT_MODEL),
        ("llama3.1-8b", DEFAULT_MODEL),
        ("llama-3.3-70b", DEFAULT_MODEL),
        ("deepseek-r1-distill-llama-70b", DEFAULT_MODEL),
        ("qwen-3-coder-480b", DEFAULT_MODEL),
        ("zai-glm-4.7", DEFAULT_MODEL),
    ];
    info
});

#[derive(Debug)]
pub(crate) struct CerebrasDialect {
    /// Whether the service is another one, such as an engine of another make at another host.
    elsewhere: bool,
    /// Whether the key comes from the page's session.
    pub(crate) by_session: bool,
    /// The strict rules of its structured outputs: nothing beyond the smallest set (documentation of
    /// 2026, and the refusals of `format`, `maxLength`, `minItems`, `maxItems`, `definitions`, lists of
    /// types and open objects that users told of from July 2025 to September 2026).
    schema_rules: SchemaRules,
    /// Whether the service is the one that lists its models without a key.
    pub(crate) has_public_models: bool,
    /// From how many bytes on a request is compressed.
    pub(crate) gzip_from: Option<usize>,
}

impl CerebrasDialect {
    pub(crate) fn new(elsewhere: bool) -> Self {
        Self {
            elsewhere,
            by_session: false,
            has_public_models: false,
            schema_rules: SchemaRules::new(),
            gzip_from: None,
        }
    }
}

impl Dialect for CerebrasDialect {
    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    // What another engine makes of these, it says itself.
    fn adapt(&self, _: &str, request: &mut ChatRequest, _: &mut Dropped) -> Result<()> {
        if self.elsewhere {
            return Ok(());
        }
        if request.tools.is_empty() && !request.has_extra("tools") {
            match request.tool_choice {
                // Without tools they say nothing, and the service refuses them.
                Some(ToolChoice::Auto | ToolChoice::None) => request.tool_choice = None,
                Some(_) => {
                    return Err(Error::config(
                        "`tool_choice` asks for a tool, and the request has none: add it to `tools`",
                    )
                    .with_setting("tool_choice"));
                }
                None => {}
            }
        }
        check_calls(&request.messages)
    }

    fn schema_rules(&self, _: &str) -> Option<&SchemaRules> {
        (!self.elsewhere).then_some(&self.schema_rules)
    }

    fn compress(&self, body: &Bytes) -> Option<(Bytes, HeaderValue)> {
        self.gzip_from.filter(|from| *from <= body.len())?;
        Some((gzip::compress(body)?, HeaderValue::from_static("gzip")))
    }

    // Cerebras accepts `max_tokens` too, but calls it deprecated; other engines know nothing else.
    fn max_tokens_field(&self) -> &'static str {
        if self.elsewhere {
            "max_tokens"
        } else {
            "max_completion_tokens"
        }
    }

    // `reasoning_content` in a message is refused as an unknown field.
    fn reasoning_field(&self) -> Option<&'static str> {
        Some("reasoning")
    }

    fn models_url(&self, base: &str, has_key: bool) -> String {
        if self.has_public_models && !has_key {
            return public_models_url(base);
        }
        format!("{base}/models")
    }

    fn lists_without_key(&self) -> bool {
        self.has_public_models
    }

    // There is no variable to check where the key is not the user's.
    fn refine(&self, error: Error) -> Error {
        let is_refusal = matches!(error.kind(), ErrorKind::Auth | ErrorKind::Permission);
        let status = error.status().filter(|_| is_refusal && self.by_session);
        let Some(status) = status else {
            return error;
        };
        let words = error
            .provider_message()
            .map(|words| format!(": {}", words.trim_end_matches('.')));
        let words = words.unwrap_or_default();
        error.map_message(|_| {
            format!(
                "cerebras answered {status}{words} (the key is of the page's session; keys of your own \
                 are at {KEYS})"
            )
        })
    }

    // The recorded streams end at the chunk with finish reason, usage and time, without `[DONE]`.
    fn ends_with_usage(&self) -> bool {
        true
    }

    // An unknown field is a 422, at times with an empty body; another engine reports what it lacks.
    fn knows_field(&self, field: Field) -> bool {
        let is_known = matches!(
            field,
            Field::FrequencyPenalty
                | Field::LogitBias
                | Field::Logprobs
                | Field::MaxTokens
                | Field::N
                | Field::ParallelToolCalls
                | Field::Prediction
                | Field::PresencePenalty
                | Field::ReasoningEffort
                | Field::ReasoningFormat
                | Field::ResponseFormat
                | Field::Seed
                | Field::ServiceTier
                | Field::Stop
                | Field::Temperature
                | Field::ToolChoice
                | Field::Tools
                | Field::TopLogprobs
                | Field::TopP
                | Field::UserId
        );
        is_known || self.elsewhere
    }
}

/// Puts `/public` before the version: `https://api.cerebras.ai/public/v1/models`.
pub(crate) fn public_models_url(base: &str) -> String {
    match base.strip_suffix("/v1") {
        Some(root) => format!("{root}/public/v1/models"),
        None => format!("{base}/public/v1/models"),
    }
}

/// Checks what the service's second version is strict about: a tool's message answers a call of the
/// message of the model right before it, each call is answered, and no two calls of a message have one
/// id.
///
/// Messages are counted from 0.
fn check_calls(messages: &[Message]) -> Result<()> {
    // Those that wait for their answer, and whose they are.
    let mut open = Vec::<&str>::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role == Role::Tool {
            let Some(id) = message.tool_call_id.as_deref() else {
                return Err(Error::config(format!(
                    "message {index} is a tool's, and does not say which call it answers"
                )));
            };
            match open.iter().position(|call| *call == id) {
                Some(place) => open.swap_remove(place),
                None => {
                    return Err(Error::config(format!(
                        "message {index} answers the tool call `{id}`, which no message right before it \
                         has open"
                    )));
                }
            };
            continue;
        }
        check_answered(&open, index)?;
        for call in &message.tool_calls {
            if open.contains(&&*call.id) {
                return Err(Error::config(format!(
                    "message {index} has two tool calls of the id `{}`: each needs its own",
                    call.id
                )));
            }
            open.push(&call.id);
        }
    }
    check_answered(&open, messages.len())
}

fn check_answered(open: &[&str], index: usize) -> Result<()> {
    match open {
        [] => Ok(()),
        [id, ..] => Err(Error::config(format!(
            "the tool call `{id}` is not answered before message {index}: put a tool's message there"
        ))),
    }
}
