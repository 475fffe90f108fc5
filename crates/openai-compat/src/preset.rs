//! Known services and local engines, as data.

use inferstream_core::{Error, Field, Result};

/// A service or local engine that speaks the protocol, with its settings: see
/// [`Compatible::preset`](crate::Compatible::preset).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Preset {
    /// The name: the id in errors and spans, and the prefix in `provider/model`.
    pub id: &'static str,
    /// The display name.
    pub label: &'static str,
    /// The base URL: the part before `/chat/completions`.
    pub base_url: &'static str,
    /// The environment variable of the key, or `None` for an engine that needs no key by default.
    pub key_variable: Option<&'static str>,
    /// The page where a key is created, if there is one.
    pub login_url: Option<&'static str>,
    /// The documentation that the settings come from.
    pub docs_url: &'static str,
    /// The name of the field with the token limit.
    pub max_tokens_field: &'static str,
    /// The field in which earlier messages of the assistant return their reasoning, if the service
    /// accepts it.
    pub reasoning_field: Option<&'static str>,
    /// Whether streams request token usage with `stream_options.include_usage`.
    pub asks_for_usage: bool,
    /// The request settings that the service does not support.
    pub unknown_fields: &'static [Field],
}

/// A service of the common protocol, which the rows below change where it differs.
const PLAIN: Preset = Preset {
    id: "",
    label: "",
    base_url: "",
    key_variable: None,
    login_url: None,
    docs_url: "",
    max_tokens_field: "max_tokens",
    reasoning_field: None,
    asks_for_usage: true,
    unknown_fields: &[],
};

/// The presets, by name. A fact that `docs_url` does not have names its source.
const PRESETS: &[Preset] = &[
    Preset {
        id: "deepseek",
        label: "DeepSeek",
        base_url: "https://api.deepseek.com",
        key_variable: Some("DEEPSEEK_API_KEY"),
        login_url: Some("https://platform.deepseek.com/api_keys"),
        docs_url: "https://api-docs.deepseek.com",
        // Messages that call tools must return their reasoning; elsewhere it is ignored
        // (api-docs.deepseek.com/guides/thinking_mode).
        reasoning_field: Some("reasoning_content"),
        ..PLAIN
    },
    Preset {
        id: "fireworks",
        label: "Fireworks AI",
        base_url: "https://api.fireworks.ai/inference/v1",
        key_variable: Some("FIREWORKS_API_KEY"),
        login_url: Some("https://fireworks.ai/account/api-keys"),
        docs_url: "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        ..PLAIN
    },
    Preset {
        id: "groq",
        label: "Groq",
        base_url: "https://api.groq.com/openai/v1",
        key_variable: Some("GROQ_API_KEY"),
        login_url: Some("https://console.groq.com/keys"),
        docs_url: "https://console.groq.com/docs/openai",
        // The documentation lists them as fields that result in a 400 error; `n` must be 1.
        unknown_fields: &[
            Field::LogitBias,
            Field::Logprobs,
            Field::TopLogprobs,
            Field::N,
        ],
        ..PLAIN
    },
    Preset {
        id: "huggingface",
        label: "Hugging Face Inference Providers",
        base_url: "https://router.huggingface.co/v1",
        key_variable: Some("HF_TOKEN"),
        login_url: Some("https://huggingface.co/settings/tokens"),
        docs_url: "https://huggingface.co/docs/inference-providers",
        ..PLAIN
    },
    Preset {
        id: "litellm",
        label: "LiteLLM",
        base_url: "http://localhost:4000/v1",
        docs_url: "https://docs.litellm.ai/docs/proxy/docker_quick_start",
        ..PLAIN
    },
    Preset {
        id: "llama-cpp",
        label: "llama.cpp",
        base_url: "http://localhost:8080/v1",
        docs_url: "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        ..PLAIN
    },
    Preset {
        id: "lm-studio",
        label: "LM Studio",
        base_url: "http://localhost:1234/v1",
        docs_url: "https://lmstudio.ai/docs/developer/openai-compat",
        ..PLAIN
    },
    Preset {
        id: "mistral",
        label: "Mistral",
        base_url: "https://api.mistral.ai/v1",
        key_variable: Some("MISTRAL_API_KEY"),
        login_url: Some("https://console.mistral.ai/api-keys"),
        docs_url: "https://docs.mistral.ai/api",
        // Additional fields are refused with 422 (mistralai/platform-docs-public#7), among them
        // `stream_options`, without which streams have the usage too (posit-dev/chatlas#145). The
        // fields are those of the official client (mistralai/client-python,
        // `ChatCompletionStreamRequest`), in which the seed is `random_seed`.
        asks_for_usage: false,
        unknown_fields: &[
            Field::LogitBias,
            Field::Logprobs,
            Field::Seed,
            Field::ServiceTier,
            Field::TopK,
            Field::TopLogprobs,
            Field::UserId,
        ],
        ..PLAIN
    },
    Preset {
        id: "ollama",
        label: "Ollama",
        base_url: "http://localhost:11434/v1",
        docs_url: "https://docs.ollama.com/api/openai-compatibility",
        // The documentation lists them as unsupported; the engine ignores them.
        unknown_fields: &[Field::LogitBias, Field::N, Field::ToolChoice, Field::UserId],
        ..PLAIN
    },
    Preset {
        id: "openai",
        label: "OpenAI",
        base_url: "https://api.openai.com/v1",
        key_variable: Some("OPENAI_API_KEY"),
        login_url: Some("https://platform.openai.com/api-keys"),
        docs_url: "https://platform.openai.com/docs/api-reference/chat",
        // Reasoning models refuse `max_tokens` (openai/openai-python#2046).
        max_tokens_field: "max_completion_tokens",
        ..PLAIN
    },
    Preset {
        id: "openrouter",
        label: "OpenRouter",
        base_url: "https://openrouter.ai/api/v1",
        key_variable: Some("OPENROUTER_API_KEY"),
        login_url: Some("https://openrouter.ai/settings/keys"),
        docs_url: "https://openrouter.ai/docs/api-reference/overview",
        ..PLAIN
    },
    Preset {
        id: "perplexity",
        label: "Perplexity",
        base_url: "https://api.perplexity.ai",
        key_variable: Some("PERPLEXITY_API_KEY"),
        login_url: Some("https://www.perplexity.ai/account/api/keys"),
        docs_url: "https://docs.perplexity.ai/docs/sonar/openai-compatibility",
        ..PLAIN
    },
    Preset {
        id: "together",
        label: "Together AI",
        base_url: "https://api.together.ai/v1",
        key_variable: Some("TOGETHER_API_KEY"),
        login_url: Some("https://api.together.ai/settings/api-keys"),
        docs_url: "https://docs.together.ai/docs/inference/openai-compatibility",
        ..PLAIN
    },
    Preset {
        id: "vllm",
        label: "vLLM",
        base_url: "http://localhost:8000/v1",
        docs_url: "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        ..PLAIN
    },
    Preset {
        id: "xai",
        label: "xAI",
        base_url: "https://api.x.ai/v1",
        key_variable: Some("XAI_API_KEY"),
        login_url: Some("https://console.x.ai"),
        docs_url: "https://docs.x.ai/docs/api-reference",
        ..PLAIN
    },
];

impl Preset {
    /// Returns all presets, sorted by name.
    pub fn all() -> &'static [Self] {
        PRESETS
    }

    /// Returns the preset with a name.
    ///
    /// # Errors
    ///
    /// `Config` with the known names.
    pub fn find(name: &str) -> Result<&'static Self> {
        PRESETS
            .iter()
            .find(|preset| preset.id == name)
            .ok_or_else(|| {
                let names: Vec<&str> = PRESETS.iter().map(|preset| preset.id).collect();
                let message = format!("unknown preset: expected one of {}", names.join(", "));
                Error::config(message).with_setting("preset")
            })
    }
}
