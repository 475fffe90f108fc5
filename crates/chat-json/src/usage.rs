//! Token usage in OpenAI's protocol.

use inferstream_core::Usage;
use serde::Serialize;

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

// The names are the protocol's.
#[allow(clippy::struct_field_names)]
#[derive(Clone, Copy, Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_prediction_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_prediction_tokens: Option<u64>,
}

/// Returns usage as JSON, or `None` if the service reported too little of it, because the protocol
/// requires three counts and none of them is invented here.
pub fn usage_json(usage: &Usage) -> Option<String> {
    serde_json::to_string(&wire(usage)?).ok()
}

/// Converts usage, see [`usage_json`].
pub(crate) fn wire(usage: &Usage) -> Option<WireUsage> {
    let total = usage.total_tokens;
    let rest = |part: Option<u64>| Some(total?.saturating_sub(part?));
    let prompt_tokens = usage.input_tokens.or_else(|| rest(usage.output_tokens))?;
    let completion_tokens = usage.output_tokens.or_else(|| rest(usage.input_tokens))?;
    let has_details = usage.reasoning_tokens.is_some()
        || usage.accepted_prediction_tokens.is_some()
        || usage.rejected_prediction_tokens.is_some();
    Some(WireUsage {
        prompt_tokens,
        completion_tokens,
        total_tokens: total.unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
        prompt_tokens_details: usage
            .cached_tokens
            .map(|cached_tokens| PromptDetails { cached_tokens }),
        completion_tokens_details: has_details.then(|| CompletionDetails {
            reasoning_tokens: usage.reasoning_tokens.unwrap_or(0),
            accepted_prediction_tokens: usage.accepted_prediction_tokens,
            rejected_prediction_tokens: usage.rejected_prediction_tokens,
        }),
    })
}
