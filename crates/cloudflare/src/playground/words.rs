//! The identifiers of the playground's protocols: codes, types and finish reasons.

use inferstream_core::FinishReason;

/// The end marker of the event streams.
pub(super) const MARKER: &str = "[DONE]";

/// Maps a finish reason of the SDK. `error` is kept, and reported as an error at the end of the
/// response.
pub(super) fn reason(word: &str) -> FinishReason {
    match word {
        "content-filter" => FinishReason::ContentFilter,
        "tool-calls" => FinishReason::ToolCalls,
        word => FinishReason::from(word),
    }
}

/// Returns true for the codes of the data stream, including those of its first versions.
pub(super) fn is_known(code: &str) -> bool {
    matches!(code.as_bytes(), [b'0'..=b'9' | b'a'..=b'k'])
}

/// Returns true for the codes that belong to a step.
pub(super) fn is_of_step(code: &str) -> bool {
    matches!(code.as_bytes(), [b'0' | b'9' | b'a'..=b'c' | b'f'..=b'k'])
}

/// Returns true for the chunk types of the UI message stream, including those that are ignored
/// here.
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

/// Returns true for chunk types that cannot follow the end of a message.
pub(super) fn goes_on(kind: &str) -> bool {
    const BEGINNINGS: [&str; 4] = ["reasoning-", "start", "text-", "tool-input-"];
    BEGINNINGS
        .iter()
        .any(|beginning| kind.starts_with(beginning))
}

/// Returns true for the end marker, either plain or as a JSON string.
pub(super) fn is_marker(data: &str) -> bool {
    let data = data.trim();
    data.strip_prefix('"').unwrap_or(data).starts_with(MARKER)
}
