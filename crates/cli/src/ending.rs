//! Finish reasons of responses that ended before the model was done.

use inferstream::{ChatResponse, FinishReason};

/// What ended a response early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Early {
    Context,
    Filter,
    Length,
    Repetition,
    /// An unknown finish reason.
    Unknown,
}

/// Finish reasons of services, in lower case and without punctuation.
///
/// Sources: OpenAI (`length`, `content_filter`), Anthropic (`max_tokens`, `end_turn`, `tool_use`,
/// `stop_sequence`, `refusal`, `model_context_window_exceeded`), Gemini (`MAX_TOKENS`, `SAFETY`,
/// `RECITATION`, `BLOCKLIST`, `PROHIBITED_CONTENT`, `SPII`), Mistral (`model_length`), Zhipu
/// (`sensitive`), vLLM (`repetition`), Together (`eos`), Text Generation Inference (`eos_token`), the
/// AI SDK (`content-filter`), Bedrock (`guardrail_intervened`, `content_filtered`).
const WORDS: [(Early, &[&str]); 4] = [
    (
        Early::Context,
        &[
            "contextlength",
            "contextlengthexceeded",
            "contextwindowexceeded",
            "modelcontextwindowexceeded",
        ],
    ),
    (
        Early::Filter,
        &[
            "blocked",
            "blocklist",
            "contentfilter",
            "contentfiltered",
            "contentpolicyviolation",
            "filtered",
            "guardrailintervened",
            "imagesafety",
            "moderation",
            "prohibitedcontent",
            "recitation",
            "refusal",
            "safety",
            "sensitive",
            "spii",
        ],
    ),
    (
        Early::Length,
        &[
            "length",
            "maxcompletiontokens",
            "maxlength",
            "maxnewtokens",
            "maxoutputtokens",
            "maxtokens",
            "modellength",
            "tokenlimit",
        ],
    ),
    (Early::Repetition, &["repetition", "repetitive"]),
];

/// Finish reasons of complete responses.
const COMPLETE: [&str; 23] = [
    "",
    "complete",
    "completed",
    "done",
    "endofsequence",
    "endoftext",
    "endofturn",
    "endturn",
    "eos",
    "eostoken",
    "eot",
    "finished",
    "functioncall",
    "functioncalls",
    "null",
    "stop",
    "stopsequence",
    "stoptoken",
    "succeeded",
    "success",
    "toolcall",
    "toolcalls",
    "tooluse",
];

impl Early {
    fn of(reason: &FinishReason) -> Option<Self> {
        match reason {
            FinishReason::ContentFilter => return Some(Self::Filter),
            FinishReason::Length => return Some(Self::Length),
            FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Unknown => return None,
            _ => {}
        }
        let word = reason
            .as_str()
            .chars()
            .filter(|char| char.is_alphanumeric());
        let word = word.collect::<String>().to_lowercase();
        if COMPLETE.contains(&word.as_str()) {
            return None;
        }
        let known = WORDS
            .iter()
            .find(|(_, words)| words.contains(&word.as_str()));
        Some(known.map_or(Self::Unknown, |(early, _)| *early))
    }
}

/// How a stream ended whose text may be incomplete.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Warnings for standard error, one per choice.
    pub(crate) warnings: Vec<String>,
    /// True unless the only cause was the token limit that the user set.
    pub(crate) is_early: bool,
}

impl Ending {
    /// Evaluates the finish reasons of a response. `limited` is true if the user set a token limit.
    pub(crate) fn of(response: &ChatResponse, limited: bool) -> Self {
        let mut ending = Self::default();
        for choice in &response.choices {
            let Some(reason) = &choice.finish_reason else {
                continue;
            };
            let Some(early) = Early::of(reason) else {
                continue;
            };
            let what = match response.choices.len() {
                1 => "the response".to_owned(),
                _ => format!("choice {}", choice.index),
            };
            let why = match early {
                Early::Context => "is incomplete: it reached the model's context limit",
                Early::Filter => "is incomplete: stopped by a content filter of the service",
                Early::Length if limited => {
                    "is incomplete: it reached the token limit of the request"
                }
                Early::Length => {
                    "is incomplete: it reached the service's token limit; set another with `--max-tokens`"
                }
                Early::Repetition => "is incomplete: stopped by the service because of repetition",
                Early::Unknown => "may be incomplete: unknown finish reason",
            };
            ending
                .warnings
                .push(format!("{what} {why} (finish reason `{reason}`)"));
            ending.is_early |= !(limited && early == Early::Length);
        }
        ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &[&str], early: Option<Early>) {
        for word in words {
            assert_eq!(Early::of(&FinishReason::from(*word)), early, "{word}");
        }
    }

    #[test]
    fn finish_reasons_are_known_in_each_spelling() {
        let complete = [
            "stop",
            "STOP",
            "end_turn",
            "eos",
            "eos_token",
            "tool-calls",
            "tool_use",
        ];
        check(&complete, None);
        check(
            &["stop_sequence", "function_call", "unknown", "tool_calls"],
            None,
        );
        check(
            &["length", "max_tokens", "MAX_TOKENS", "model_length"],
            Some(Early::Length),
        );
        check(&["content_filter", "content-filter"], Some(Early::Filter));
        check(&["sensitive", "SAFETY", "refusal"], Some(Early::Filter));
        check(&["context_length_exceeded"], Some(Early::Context));
        check(&["repetition"], Some(Early::Repetition));
        check(&["gone_fishing", "OTHER"], Some(Early::Unknown));
    }
}
