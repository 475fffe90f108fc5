//! The events of a stream.

use std::{collections::VecDeque, fmt};

use crate::{
    json::Json,
    message::ToolCall,
    response::{Timing, Usage},
    text::Text,
};

/// One event of a streamed response.
///
/// Events of content carry the index of their `choice`: 0, unless the request asked for several
/// choices. The last event of each choice is its [`Finish`](Self::Finish).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ChatEvent {
    /// A fragment of the response's text.
    #[non_exhaustive]
    Text {
        /// The index of its choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The text, never empty.
        text: Text,
    },
    /// A fragment of the model's reasoning.
    #[non_exhaustive]
    Reasoning {
        /// The index of its choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The text, never empty.
        text: Text,
    },
    /// The start of a tool call.
    #[non_exhaustive]
    ToolCallStart {
        /// The index of its choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The index of the call in its choice, from 0.
        index: u32,
        /// The call's id, empty if the provider has not sent one yet; `ToolCall` has the final one.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A fragment of a call's arguments; [`Json::from_partial`] parses the fragments so far.
    #[non_exhaustive]
    ToolCallDelta {
        /// The index of its choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The index of the call in its choice.
        index: u32,
        /// A fragment of the arguments' JSON text.
        arguments: Text,
    },
    /// A complete tool call.
    #[non_exhaustive]
    ToolCall {
        /// The index of its choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The index of the call in its choice.
        index: u32,
        /// The call.
        #[cfg_attr(feature = "serde", serde(flatten))]
        call: ToolCall,
    },
    /// Log probabilities, in the provider's format.
    #[non_exhaustive]
    Logprobs {
        /// The index of their choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The provider's value.
        logprobs: Json,
    },
    /// Log probabilities of the reasoning, in the provider's format.
    #[non_exhaustive]
    ReasoningLogprobs {
        /// The index of their choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The provider's value.
        logprobs: Json,
    },
    /// Token usage; a later one replaces an earlier one.
    #[non_exhaustive]
    Usage {
        /// The counts.
        #[cfg_attr(feature = "serde", serde(flatten))]
        usage: Usage,
    },
    /// The service's timing.
    #[non_exhaustive]
    Timing {
        /// The times.
        #[cfg_attr(feature = "serde", serde(flatten))]
        timing: Timing,
    },
    /// The end of a complete choice.
    #[non_exhaustive]
    Finish {
        /// The index of the choice.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// Why it ended.
        reason: FinishReason,
    },
    /// A chunk as it was received, if the request asked for raw chunks.
    #[non_exhaustive]
    Raw {
        /// The chunk.
        chunk: Json,
    },
}

// `serde` passes a reference.
#[cfg(feature = "serde")]
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(choice: &u32) -> bool {
    *choice == 0
}

/// Constructors for protocols and combinators.
impl ChatEvent {
    /// Creates a fragment of text.
    pub fn text(choice: u32, text: impl Into<Text>) -> Self {
        Self::Text {
            choice,
            text: text.into(),
        }
    }

    /// Creates a fragment of reasoning.
    pub fn reasoning(choice: u32, text: impl Into<Text>) -> Self {
        Self::Reasoning {
            choice,
            text: text.into(),
        }
    }

    /// Creates the start of a tool call.
    pub fn tool_call_start(
        choice: u32,
        index: u32,
        id: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        Self::ToolCallStart {
            choice,
            index,
            id: id.into(),
            name: name.into(),
        }
    }

    /// Creates a fragment of a call's arguments.
    pub fn tool_call_delta(choice: u32, index: u32, arguments: impl Into<Text>) -> Self {
        Self::ToolCallDelta {
            choice,
            index,
            arguments: arguments.into(),
        }
    }

    /// Creates a complete call.
    pub fn tool_call(choice: u32, index: u32, call: ToolCall) -> Self {
        Self::ToolCall {
            choice,
            index,
            call,
        }
    }

    /// Creates an event of log probabilities.
    pub fn logprobs(choice: u32, logprobs: Json) -> Self {
        Self::Logprobs { choice, logprobs }
    }

    /// Creates an event of the reasoning's log probabilities.
    pub fn reasoning_logprobs(choice: u32, logprobs: Json) -> Self {
        Self::ReasoningLogprobs { choice, logprobs }
    }

    /// Creates an event of token usage.
    pub fn usage(usage: Usage) -> Self {
        Self::Usage { usage }
    }

    /// Creates an event of timing.
    pub fn timing(timing: Timing) -> Self {
        Self::Timing { timing }
    }

    /// Creates the end of a choice.
    pub fn finish(choice: u32, reason: FinishReason) -> Self {
        Self::Finish { choice, reason }
    }

    /// Creates a raw chunk.
    pub fn raw(chunk: Json) -> Self {
        Self::Raw { chunk }
    }
}

impl ChatEvent {
    /// Returns how many bytes of the response the event holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Text { text, .. } | Self::Reasoning { text, .. } => text.len(),
            Self::ToolCallDelta { arguments, .. } => arguments.len(),
            Self::Logprobs { logprobs, .. } | Self::ReasoningLogprobs { logprobs, .. } => {
                logprobs.as_str().len()
            }
            _ => 0,
        }
    }
}

/// Why a choice ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The service's content filter.
    ContentFilter,
    /// The token limit.
    Length,
    /// The model ended its turn, or a text of `stop` was reached.
    Stop,
    /// The model called tools and waits for their results.
    ToolCalls,
    /// The service gave no reason.
    Unknown,
    /// The provider's own word, as it was sent.
    Other(Box<str>),
}

impl FinishReason {
    /// Returns the name of the reason; the common ones have the name used on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::ContentFilter => "content_filter",
            Self::Length => "length",
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Unknown => "unknown",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(word: &str) -> Self {
        match word {
            "content_filter" => Self::ContentFilter,
            "length" => Self::Length,
            "stop" => Self::Stop,
            "tool_calls" => Self::ToolCalls,
            "unknown" => Self::Unknown,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for FinishReason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for FinishReason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::from(word.as_str()))
    }
}

/// The queue of events that a protocol decoded and that have not been delivered yet.
#[derive(Debug, Default)]
pub struct Events {
    queue: VecDeque<ChatEvent>,
    /// The response's id, once it is known.
    pub id: Option<String>,
    /// The name of the model, once it is known.
    pub model: Option<String>,
    /// Text to be added to [`Meta::logs`](crate::Meta::logs).
    pub logs: String,
    /// Warnings to be added to [`Meta::warnings`](crate::Meta::warnings).
    pub warnings: Vec<String>,
    /// Names of members whose content no event can represent, such as `images`.
    pub(crate) others: Vec<String>,
}

/// The most names of members that are kept for a warning.
const MOST_OTHERS: usize = 8;

impl Events {
    /// Records that a member had content that no event can represent, such as `images`: a response
    /// that has nothing else gets a warning that names it.
    pub fn note_other(&mut self, name: &str) {
        let is_known = self.others.iter().any(|other| other == name);
        if !is_known && self.others.len() < MOST_OTHERS {
            self.others.push(name.chars().take(64).collect());
        }
    }

    /// Takes everything from another queue except its events: id, model, logs, warnings and notes.
    pub fn take_notes(&mut self, other: &mut Self) {
        self.id = other.id.take().or(self.id.take());
        self.model = other.model.take().or(self.model.take());
        self.logs.push_str(&std::mem::take(&mut other.logs));
        self.warnings.append(&mut other.warnings);
        for name in std::mem::take(&mut other.others) {
            self.note_other(&name);
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: ChatEvent) {
        if self.queue.capacity() == 0 {
            // Most chunks have one event, and a queue would make room for four.
            self.queue.reserve_exact(1);
        }
        self.queue.push_back(event);
    }

    /// Removes and returns the oldest event.
    pub fn pop(&mut self) -> Option<ChatEvent> {
        self.queue.pop_front()
    }

    /// Returns true if any event but `Raw` is queued.
    pub fn has_content(&self) -> bool {
        self.queue
            .iter()
            .any(|event| !matches!(event, ChatEvent::Raw { .. }))
    }

    /// Adds all of another queue behind this one.
    pub(crate) fn append(&mut self, mut more: Self) {
        self.queue.append(&mut more.queue);
        self.take_notes(&mut more);
    }

    /// Drops everything but text and reasoning.
    pub(crate) fn keep_text(&mut self) {
        let mut queue = std::mem::take(self).queue;
        queue.retain(|event| matches!(event, ChatEvent::Text { .. } | ChatEvent::Reasoning { .. }));
        self.queue = queue;
    }

    /// Returns true if a fragment of the response itself is queued.
    pub fn has_text(&self) -> bool {
        self.queue.iter().any(|event| {
            matches!(
                event,
                ChatEvent::Text { .. }
                    | ChatEvent::Reasoning { .. }
                    | ChatEvent::ToolCallStart { .. }
                    | ChatEvent::ToolCallDelta { .. }
            )
        })
    }

    /// Returns how many events are queued.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns true if no event is queued.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
