//! The words of the playground's protocols: codes, types and reasons.

use inferstream_core::FinishReason;

/// The end marker of its event streams.
pub(super) const MARKER: &str = "[DONE]";

/// Returns the reason that a word of the SDK's is; `error` stays one, and is none at the end.
pub(super) fn reason(word: &str) -> FinishReason {
    match word {
        "content-filter" => FinishReason::ContentFilter,
        "tool-calls" => FinishReason::ToolCalls,
        word => FinishReason::from(word),
    }
}

/// Returns true for the codes of the data stream, those of its first versions included.
pub(super) fn is_known(code: &str) -> bool {
    matches!(code.as_bytes(), [b'0'..=b'9' | b'a'..=b'k'])
}

/// Returns true for the codes of what is a part of a step.
pub(super) fn is_of_step(code: &str) -> bool {
    matches!(code.as_bytes(), [b'0' | b'9' | b'a'..=b'c' | b'f'..=b'k'])
}

/// Returns true for the types of chunks of the message stream, also those that say nothing here.
pub(super) fn is_of_messages(kind: &str) -> bool {
    const WHOLE: [&str; 7] = [
        "abort",
        "file",
        "finish",
        "finish-step",
        "message-metadata",
        "start",
        "start-step",
    ];
    const BEGINNINGS: [&str; 5] = ["data-", "reasoning-", "source-", "text-", "tool-"];
    WHOLE.contains(&kind)
        || BEGINNINGS
            .iter()
            .any(|beginning| kind.starts_with(beginning))
}

/// Returns true for the types of what cannot come behind the end of a message.
pub(super) fn goes_on(kind: &str) -> bool {
    const BEGINNINGS: [&str; 4] = ["reasoning-", "start", "text-", "tool-input-"];
    BEGINNINGS
        .iter()
        .any(|beginning| kind.starts_with(beginning))
}

/// The end marker, as it is and as a JSON string.
pub(super) fn is_marker(data: &str) -> bool {
    let data = data.trim();
    data.strip_prefix('"').unwrap_or(data).starts_with(MARKER)
}
