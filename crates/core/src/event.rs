//! What a stream yields.

use std::{collections::VecDeque, fmt};

use crate::{
    json::Json,
    message::ToolCall,
    response::{Timing, Usage},
    text::Text,
};

/// One event of an answer.
///
/// Each event of the content says which `choice` it belongs to: 0, unless the request asked for
/// several answers.
/// The last event of each choice is its [`Finish`](Self::Finish).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ChatEvent {
    /// Text of the answer.
    #[non_exhaustive]
    Text {
        /// The answer it belongs to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The text, never empty.
        text: Text,
    },
    /// Text of the model's thoughts.
    #[non_exhaustive]
    Reasoning {
        /// The answer it belongs to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The text, never empty.
        text: Text,
    },
    /// The model begins to ask for a tool.
    #[non_exhaustive]
    ToolCallStart {
        /// The answer it belongs to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// Which of the answer's calls, from 0.
        index: u32,
        /// The call's id, empty where the provider has given none by now; that of `ToolCall` holds.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More of a call's arguments: [`Json::from_beginning`] reads what has come of them.
    #[non_exhaustive]
    ToolCallDelta {
        /// The answer it belongs to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// Which of the answer's calls.
        index: u32,
        /// A piece of the arguments' JSON text.
        arguments: Text,
    },
    /// A call is whole.
    #[non_exhaustive]
    ToolCall {
        /// The answer it belongs to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// Which of the answer's calls.
        index: u32,
        /// The call.
        #[cfg_attr(feature = "serde", serde(flatten))]
        call: ToolCall,
    },
    /// How likely the words were, in the provider's form.
    #[non_exhaustive]
    Logprobs {
        /// The answer they belong to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The provider's value.
        logprobs: Json,
    },
    /// As `Logprobs`, of the model's thoughts.
    #[non_exhaustive]
    ReasoningLogprobs {
        /// The answer they belong to.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// The provider's value.
        logprobs: Json,
    },
    /// What was counted; the last one holds.
    #[non_exhaustive]
    Usage {
        /// The counts.
        #[cfg_attr(feature = "serde", serde(flatten))]
        usage: Usage,
    },
    /// How long the service took.
    #[non_exhaustive]
    Timing {
        /// The times.
        #[cfg_attr(feature = "serde", serde(flatten))]
        timing: Timing,
    },
    /// A choice is whole.
    #[non_exhaustive]
    Finish {
        /// The answer that is whole.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
        choice: u32,
        /// Why it ended there.
        reason: FinishReason,
    },
    /// A chunk as it came, where the request asked for it.
    #[non_exhaustive]
    Raw {
        /// The chunk.
        chunk: Json,
    },
}

// `serde` hands over a reference.
#[cfg(feature = "serde")]
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(choice: &u32) -> bool {
    *choice == 0
}

/// Constructors, for those who write a protocol or a combinator.
impl ChatEvent {
    /// Creates a piece of text.
    pub fn text(choice: u32, text: impl Into<Text>) -> Self {
        Self::Text {
            choice,
            text: text.into(),
        }
    }

    /// Creates a piece of reasoning.
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

    /// Creates a piece of a call's arguments.
    pub fn tool_call_delta(choice: u32, index: u32, arguments: impl Into<Text>) -> Self {
        Self::ToolCallDelta {
            choice,
            index,
            arguments: arguments.into(),
        }
    }

    /// Creates a whole call.
    pub fn tool_call(choice: u32, index: u32, call: ToolCall) -> Self {
        Self::ToolCall {
            choice,
            index,
            call,
        }
    }

    /// Creates a report of likelihoods.
    pub fn logprobs(choice: u32, logprobs: Json) -> Self {
        Self::Logprobs { choice, logprobs }
    }

    /// Creates a report of likelihoods of the model's thoughts.
    pub fn reasoning_logprobs(choice: u32, logprobs: Json) -> Self {
        Self::ReasoningLogprobs { choice, logprobs }
    }

    /// Creates a report of counts.
    pub fn usage(usage: Usage) -> Self {
        Self::Usage { usage }
    }

    /// Creates a report of times.
    pub fn timing(timing: Timing) -> Self {
        Self::Timing { timing }
    }

    /// Creates the end of a choice.
    pub fn finish(choice: u32, reason: FinishReason) -> Self {
        Self::Finish { choice, reason }
    }

    /// Creates a chunk as it came.
    pub fn raw(chunk: Json) -> Self {
        Self::Raw { chunk }
    }
}

impl ChatEvent {
    /// Returns how many bytes of the answer the event holds.
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

/// Why an answer ended where it did.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The service's filter stopped it.
    ContentFilter,
    /// The limit of tokens.
    Length,
    /// The model had said all, or came to a text of `stop`.
    Stop,
    /// The model waits for tools.
    ToolCalls,
    /// The service ended the answer without saying why.
    Unknown,
    /// The provider's own word, as it came.
    Other(Box<str>),
}

impl FinishReason {
    /// Returns the reason's name, which for the common ones is that of the wire.
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

/// The events that a protocol has made of frames and that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Events {
    queue: VecDeque<ChatEvent>,
    /// The answer's id, once a chunk has told it.
    pub id: Option<String>,
    /// The model that answers, once a chunk has told it.
    pub model: Option<String>,
    /// What has been told of [`Meta::logs`](crate::Meta::logs).
    pub logs: String,
    /// What is to be added to [`Meta::warnings`](crate::Meta::warnings).
    pub warnings: Vec<String>,
    /// Names of members that carried something that no event can hold, such as `images`.
    pub(crate) others: Vec<String>,
}

/// The most names of members that are kept for a warning.
const MOST_OTHERS: usize = 8;

impl Events {
    /// Notes that a member carried something that no event can hold, such as `images`: a response
    /// that brings nothing else gets a warning that names it.
    pub fn note_other(&mut self, name: &str) {
        let is_known = self.others.iter().any(|other| other == name);
        if !is_known && self.others.len() < MOST_OTHERS {
            self.others.push(name.chars().take(64).collect());
        }
    }

    /// Takes what another list holds beside its events: id, model, logs, warnings and notes.
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
        self.queue.push_back(event);
    }

    /// Takes the oldest event.
    pub fn pop(&mut self) -> Option<ChatEvent> {
        self.queue.pop_front()
    }

    /// Returns true if an event waits that says something of the answer: any but `Raw`.
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

    /// Returns true if an event waits that is a piece of the answer itself.
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

    /// Returns how many events wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns true if no event waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
