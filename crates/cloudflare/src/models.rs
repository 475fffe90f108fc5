//! The provider's static data, and the parser for models of its list.

use std::sync::LazyLock;

use inferstream_core::{Model, ProviderInfo};
use serde_json::Value;

const DEFAULT_MODEL: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";

/// Facts about Cloudflare, as of November 2026.
pub(crate) static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new(
        "cloudflare",
        "Cloudflare Workers AI",
        "https://developers.cloudflare.com/workers-ai/",
    );
    info.login_url = Some("https://dash.cloudflare.com/profile/api-tokens".into());
    info.key_variable = Some("CLOUDFLARE_API_TOKEN".into());
    info.default_model = Some(DEFAULT_MODEL.into());
    info.models = &MODELS;
    info.model_aliases = &ALIASES;
    info
});

/// Short names, from gpt4free's table of July 2026.
const ALIASES: [(&str, &str); 56] = [
    (
        "deepseek-coder-6.7b",
        "@hf/thebloke/deepseek-coder-6.7b-instruct-awq",
    ),
    (
        "deepseek-coder-6.7b-base",
        "@hf/thebloke/deepseek-coder-6.7b-base-awq",
    ),
    (
        "deepseek-distill-qwen-32b",
        "@cf/deepseek-ai/deepseek-r1-distill-qwen-32b",
    ),
    (
        "deepseek-math-7b",
        "@cf/deepseek-ai/deepseek-math-7b-instruct",
    ),
    (
        "deepseek-r1-qwen-32b",
        "@cf/deepseek-ai/deepseek-r1-distill-qwen-32b",
    ),
    (
        "discolm-german-7b-v1",
        "@cf/thebloke/discolm-german-7b-v1-awq",
    ),
    ("falcon-7b", "@cf/tiiuae/falcon-7b-instruct"),
    ("gemma-2b-lora", "@cf/google/gemma-2b-it-lora"),
    ("gemma-3-12b", "@cf/google/gemma-3-12b-it"),
    ("gemma-4-26b-a4b-it", "@cf/google/gemma-4-26b-a4b-it"),
    ("gemma-7b", "@hf/google/gemma-7b-it"),
    ("gemma-7b-it-lora", "@cf/google/gemma-7b-it-lora"),
    (
        "gemma-sea-lion-v4-27b",
        "@cf/aisingapore/gemma-sea-lion-v4-27b-it",
    ),
    ("glm-4.7-flash", "@cf/zai-org/glm-4.7-flash"),
    ("glm-5.2", "@cf/zai-org/glm-5.2"),
    ("gpt-oss-120b", "@cf/openai/gpt-oss-120b"),
    ("gpt-oss-20b", "@cf/openai/gpt-oss-20b"),
    ("granite-4.0-h-micro", "@cf/ibm-granite/granite-4.0-h-micro"),
    (
        "hermes-2-pro-mistral-7b",
        "@hf/nousresearch/hermes-2-pro-mistral-7b",
    ),
    ("kimi-k2.6", "@cf/moonshotai/kimi-k2.6"),
    ("kimi-k2.7-code", "@cf/moonshotai/kimi-k2.7-code"),
    ("llama-2-13b", "@hf/thebloke/llama-2-13b-chat-awq"),
    ("llama-2-7b", "@cf/meta/llama-2-7b-chat-int8"),
    ("llama-2-7b-fp16", "@cf/meta/llama-2-7b-chat-fp16"),
    ("llama-2-7b-lora", "@cf/meta-llama/llama-2-7b-chat-hf-lora"),
    ("llama-3-8b", "@hf/meta-llama/meta-llama-3-8b-instruct"),
    ("llama-3.1-8b", "@cf/meta/llama-3.1-8b-instruct-fp8"),
    (
        "llama-3.2-11b-vision",
        "@cf/meta/llama-3.2-11b-vision-instruct",
    ),
    ("llama-3.2-1b", "@cf/meta/llama-3.2-1b-instruct"),
    ("llama-3.2-3b", "@cf/meta/llama-3.2-3b-instruct"),
    ("llama-3.3-70b", "@cf/meta/llama-3.3-70b-instruct-fp8-fast"),
    ("llama-4-scout", "@cf/meta/llama-4-scout-17b-16e-instruct"),
    ("llama-guard-3-8b", "@cf/meta/llama-guard-3-8b"),
    ("llamaguard-7b", "@hf/thebloke/llamaguard-7b-awq"),
    (
        "mistral-7b-v0.1",
        "@hf/thebloke/mistral-7b-instruct-v0.1-awq",
    ),
    ("mistral-7b-v0.2", "@hf/mistral/mistral-7b-instruct-v0.2"),
    (
        "mistral-7b-v0.2-lora",
        "@cf/mistral/mistral-7b-instruct-v0.2-lora",
    ),
    (
        "mistral-small-3.1-24b",
        "@cf/mistralai/mistral-small-3.1-24b-instruct",
    ),
    ("nemotron-3-120b", "@cf/nvidia/nemotron-3-120b-a12b"),
    ("neural-7b-v3-1", "@hf/thebloke/neural-chat-7b-v3-1-awq"),
    ("openchat-3.5-0106", "@cf/openchat/openchat-3.5-0106"),
    (
        "openhermes-2.5-mistral-7b",
        "@hf/thebloke/openhermes-2.5-mistral-7b-awq",
    ),
    ("phi-2", "@cf/microsoft/phi-2"),
    ("qwen-1.5-1.8b", "@cf/qwen/qwen1.5-1.8b-chat"),
    ("qwen-1.5-14b", "@cf/qwen/qwen1.5-14b-chat-awq"),
    ("qwen-1.5-7b", "@cf/qwen/qwen1.5-7b-chat-awq"),
    ("qwen-2.5-coder", "@cf/qwen/qwen2.5-coder-32b-instruct"),
    ("qwen-2.5-coder-32b", "@cf/qwen/qwen2.5-coder-32b-instruct"),
    ("qwen1.5-0.5b", "@cf/qwen/qwen1.5-0.5b-chat"),
    ("qwen3-30b-a3b", "@cf/qwen/qwen3-30b-a3b-fp8"),
    ("qwq-32b", "@cf/qwen/qwq-32b"),
    ("sqlcoder-7b-2", "@cf/defog/sqlcoder-7b-2"),
    ("starling-lm-7b-beta", "@hf/nexusflow/starling-lm-7b-beta"),
    (
        "tinyllama-1.1b-v1.0",
        "@cf/tinyllama/tinyllama-1.1b-chat-v1.0",
    ),
    (
        "una-cybertron-7b-v2-bf16",
        "@cf/fblgit/una-cybertron-7b-v2-bf16",
    ),
    ("zephyr-7b-beta", "@hf/thebloke/zephyr-7b-beta-awq"),
];

/// The models that the short names refer to.
const MODELS: [&str; 54] = [
    "@cf/aisingapore/gemma-sea-lion-v4-27b-it",
    "@cf/deepseek-ai/deepseek-math-7b-instruct",
    "@cf/deepseek-ai/deepseek-r1-distill-qwen-32b",
    "@cf/defog/sqlcoder-7b-2",
    "@cf/fblgit/una-cybertron-7b-v2-bf16",
    "@cf/google/gemma-2b-it-lora",
    "@cf/google/gemma-3-12b-it",
    "@cf/google/gemma-4-26b-a4b-it",
    "@cf/google/gemma-7b-it-lora",
    "@cf/ibm-granite/granite-4.0-h-micro",
    "@cf/meta-llama/llama-2-7b-chat-hf-lora",
    "@cf/meta/llama-2-7b-chat-fp16",
    "@cf/meta/llama-2-7b-chat-int8",
    "@cf/meta/llama-3.1-8b-instruct-fp8",
    "@cf/meta/llama-3.2-11b-vision-instruct",
    "@cf/meta/llama-3.2-1b-instruct",
    "@cf/meta/llama-3.2-3b-instruct",
    "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    "@cf/meta/llama-4-scout-17b-16e-instruct",
    "@cf/meta/llama-guard-3-8b",
    "@cf/microsoft/phi-2",
    "@cf/mistral/mistral-7b-instruct-v0.2-lora",
    "@cf/mistralai/mistral-small-3.1-24b-instruct",
    "@cf/moonshotai/kimi-k2.6",
    "@cf/moonshotai/kimi-k2.7-code",
    "@cf/nvidia/nemotron-3-120b-a12b",
    "@cf/openai/gpt-oss-120b",
    "@cf/openai/gpt-oss-20b",
    "@cf/openchat/openchat-3.5-0106",
    "@cf/qwen/qwen1.5-0.5b-chat",
    "@cf/qwen/qwen1.5-1.8b-chat",
    "@cf/qwen/qwen1.5-14b-chat-awq",
    "@cf/qwen/qwen1.5-7b-chat-awq",
    "@cf/qwen/qwen2.5-coder-32b-instruct",
    "@cf/qwen/qwen3-30b-a3b-fp8",
    "@cf/qwen/qwq-32b",
    "@cf/thebloke/discolm-german-7b-v1-awq",
    "@cf/tiiuae/falcon-7b-instruct",
    "@cf/tinyllama/tinyllama-1.1b-chat-v1.0",
    "@cf/zai-org/glm-4.7-flash",
    "@cf/zai-org/glm-5.2",
    "@hf/google/gemma-7b-it",
    "@hf/meta-llama/meta-llama-3-8b-instruct",
    "@hf/mistral/mistral-7b-instruct-v0.2",
    "@hf/nexusflow/starling-lm-7b-beta",
    "@hf/nousresearch/hermes-2-pro-mistral-7b",
    "@hf/thebloke/deepseek-coder-6.7b-base-awq",
    "@hf/thebloke/deepseek-coder-6.7b-instruct-awq",
    "@hf/thebloke/llama-2-13b-chat-awq",
    "@hf/thebloke/llamaguard-7b-awq",
    "@hf/thebloke/mistral-7b-instruct-v0.1-awq",
    "@hf/thebloke/neural-chat-7b-v3-1-awq",
    "@hf/thebloke/openhermes-2.5-mistral-7b-awq",
    "@hf/thebloke/zephyr-7b-beta-awq",
];

/// Parses one model of the service's list.
pub(crate) fn model(value: &Value) -> Option<Model> {
    let name = value["name"].as_str().filter(|name| !name.is_empty())?;
    let mut model = Model::new(name);
    model.owned_by = name.split('/').nth(1).map(str::to_owned);
    let properties = value["properties"].as_array();
    let window = properties.into_iter().flatten().find(|property| {
        let id = property["property_id"].as_str();
        matches!(id, Some("context_window" | "max_total_tokens"))
    });
    model.context_length = window.and_then(|property| match &property["value"] {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    });
    Some(model)
}
