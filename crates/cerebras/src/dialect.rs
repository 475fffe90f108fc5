//! How Cerebras speaks the protocol, and its models as data.

use inferstream_core::ProviderInfo;
use inferstream_openai_compat::Dialect;

/// The default model of the time when the service was young; retired in 2026.
pub const HISTORICAL_DEFAULT_MODEL: &str = "llama3.1-70b";

const DEFAULT_MODEL: &str = "gpt-oss-120b";

/// Where the service is, with the version that every path begins with.
pub(crate) const BASE_URL: &str = "https://api.cerebras.ai/v1";

/// What Cerebras is, as of November 2026.
pub(crate) const INFO: ProviderInfo = {
    let mut info = ProviderInfo::new(
        "cerebras",
        "Cerebras Inference",
        "https://inference.cerebras.ai/",
    );
    info.login_url = Some("https://cloud.cerebras.ai");
    info.key_variable = Some("CEREBRAS_API_KEY");
    info.default_model = Some(DEFAULT_MODEL);
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
};

#[derive(Debug)]
pub(crate) struct CerebrasDialect {
    /// Whether the base URL leads elsewhere: to a gateway, or to an engine of another make.
    pub(crate) elsewhere: bool,
}

impl Dialect for CerebrasDialect {
    fn info(&self) -> &ProviderInfo {
        &INFO
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

    // The recorded streams end at the chunk with finish reason, usage and time, without `[DONE]`.
    fn ends_with_usage(&self) -> bool {
        true
    }

    // An unknown field is a 422, at times with an empty body.
    fn knows_field(&self, field: &str) -> bool {
        const FIELDS: [&str; 18] = [
            "frequency_penalty",
            "max_completion_tokens",
            "max_tokens",
            "messages",
            "model",
            "n",
            "parallel_tool_calls",
            "presence_penalty",
            "reasoning_effort",
            "response_format",
            "seed",
            "stop",
            "stream",
            "stream_options",
            "temperature",
            "tool_choice",
            "tools",
            "top_p",
        ];
        field == "user" || FIELDS.contains(&field)
    }
}
