//! The finish reasons that services send, and their meanings.

use inferstream_core::FinishReason;

/// Finish reasons that report a failure: the response is incomplete, whatever came before.
///
/// A reason counts if it is one of these, or begins or ends with one and a separator, in any case:
/// services send `network_error` as well as `error`, and put a name before the word
/// (`function_call_filter: MALFORMED_FUNCTION_CALL`).
///
/// Sources: `error` OpenRouter and vLLM; `abort` vLLM and SGLang; `network_error` and `model_error`
/// Zhipu; `insufficient_system_resource` DeepSeek's API reference; `MALFORMED_FUNCTION_CALL`,
/// `MALFORMED_RESPONSE`, `UNEXPECTED_TOOL_CALL`, `TOO_MANY_TOOL_CALLS` and
/// `MISSING_THOUGHT_SIGNATURE` Gemini's API reference (`FinishReason`); `cancelled`, `failed` and
/// `incomplete` the status words of the Responses API, which gateways pass on; `ERROR_LIMIT`,
/// `ERROR_TOXIC` and `USER_CANCEL` Cohere's API reference.
const FAILURES: &[&str] = &[
    "abort",
    "aborted",
    "cancel",
    "canceled",
    "cancelled",
    "error",
    "failed",
    "failure",
    "incomplete",
    "insufficient_system_resource",
    "interrupted",
    "malformed_function_call",
    "malformed_response",
    "malformed_tool_call",
    "missing_thought_signature",
    "overloaded",
    "timeout",
    "too_many_tool_calls",
    "unexpected_tool_call",
];

/// Returns true if a finish reason reports a failure of the service.
pub(crate) fn is_failure(word: &str) -> bool {
    let word = word.trim().to_ascii_lowercase().replace('-', "_");
    let is_separated = |next: Option<char>| next.is_none_or(|next| !next.is_ascii_alphanumeric());
    FAILURES.iter().any(|failure| {
        let before = word.strip_suffix(failure);
        let after = word.strip_prefix(failure);
        before.is_some_and(|before| is_separated(before.chars().next_back()))
            || after.is_some_and(|after| is_separated(after.chars().next()))
    })
}

/// Returns the finish reason, or `None` for words that mean that the choice has not finished yet.
///
/// DashScope sends the word `"null"` until the last chunk.
pub(crate) fn read(word: &str) -> Option<FinishReason> {
    match word.trim() {
        "" | "null" | "None" | "false" => None,
        // The older protocol with one function per response.
        "function_call" => Some(FinishReason::ToolCalls),
        // Anthropic's, Gemini's and Mistral's words for the token limit, which gateways pass on.
        "max_tokens" | "MAX_TOKENS" | "max_output_tokens" | "model_length" => {
            Some(FinishReason::Length)
        }
        _ => Some(FinishReason::from(word)),
    }
}
