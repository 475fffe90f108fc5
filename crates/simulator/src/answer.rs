//! Scripted answers: the tokens of a model, or raw bytes.

use std::time::Duration;

use bytes::Bytes;

use crate::tokens;

/// One scripted response to a chat request, a prediction or an inference of the playground.
///
/// Statements about inferences also apply to the responses of the playground's agents.
///
/// [`Answer::text`] is sent in the service's protocol: token by token if the request asks for a
/// stream, otherwise as one document. [`Answer::raw`] is sent byte for byte.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) kind: Kind,
}

/// The form of a scripted answer.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Raw(Raw),
    Tokens(Tokens),
}

/// A raw response that is not validated yet.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) pieces: Vec<Piece>,
}

/// The scripted output of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) reasoning: String,
    pub(crate) text: Vec<String>,
    pub(crate) tool_calls: Vec<(String, String)>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) done_marker: bool,
    pub(crate) logs: String,
    pub(crate) events: Option<Vec<Piece>>,
    pub(crate) next: Option<Box<Tokens>>,
}

impl Answer {
    /// Creates an answer with this text, split into tokens.
    ///
    /// The token limit of a request is ignored, except by Workers AI and the playground, which
    /// truncate the text; the default limit of Workers AI is 256 tokens.
    pub fn text(text: impl Into<String>) -> Self {
        Self::tokens(tokens::split(&text.into()))
    }

    /// Creates an answer with exactly these tokens, such as `"\n"`, `""` or `" Sure"`.
    ///
    /// In a prediction's stream, CR and CRLF are sent as LF, because the stream's format cannot
    /// represent them.
    pub fn tokens(tokens: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            kind: Kind::Tokens(Tokens {
                text: tokens.into_iter().map(Into::into).collect(),
                ..Tokens::default()
            }),
        }
    }

    /// Creates an answer with exactly this status, these headers and these bytes.
    ///
    /// It is sent for any request: the key, the model and the fields are not checked, and no
    /// prediction is created. Without a `content-length` header, the body is chunked. An invalid
    /// status or header is an error of [`SimulatorBuilder::start`].
    ///
    /// [`SimulatorBuilder::start`]: crate::SimulatorBuilder::start
    pub fn raw(status: u16, headers: &[(&str, &str)], pieces: impl Into<Vec<Piece>>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            kind: Kind::Raw(Raw {
                status,
                headers: headers.iter().map(owned).collect(),
                pieces: pieces.into(),
            }),
        }
    }

    /// Sets the reasoning that is sent before the text.
    ///
    /// This and the following methods have no effect on a raw answer. Predictions ignore reasoning,
    /// tool calls, the finish reason and the end marker.
    #[must_use]
    pub fn reasoning(self, reasoning: impl Into<String>) -> Self {
        self.with(|tokens| tokens.reasoning = reasoning.into())
    }

    /// Adds a call of the tool `name` with its arguments as JSON text.
    ///
    /// The arguments are not validated: invalid JSON is sent as it is.
    #[must_use]
    pub fn tool_call(self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.with(|tokens| tokens.tool_calls.push((name.into(), arguments.into())))
    }

    /// Sets the finish reason; the default is `tool_calls` if a tool is called, otherwise `stop`.
    #[must_use]
    pub fn finish_reason(self, reason: impl Into<String>) -> Self {
        self.with(|tokens| tokens.finish_reason = Some(reason.into()))
    }

    /// Sets whether the stream ends with `data: [DONE]`, which Cerebras does not send.
    #[must_use]
    pub fn done_marker(self, done_marker: bool) -> Self {
        self.with(|tokens| tokens.done_marker = done_marker)
    }

    /// Sets the exact body of the first connection to the prediction's stream.
    ///
    /// The status is 200 and the content type `text/event-stream`. The prediction, and all other
    /// connections to its stream, have the text of this answer. The chat protocol ignores it.
    #[must_use]
    pub fn events(self, pieces: impl Into<Vec<Piece>>) -> Self {
        self.with(|tokens| tokens.events = Some(pieces.into()))
    }

    /// Sets the logs that the prediction writes when it starts; the chat protocol ignores them.
    #[must_use]
    pub fn logs(self, logs: impl Into<String>) -> Self {
        self.with(|tokens| tokens.logs = logs.into())
    }

    /// Adds a further step, such as the response to a tool result.
    ///
    /// The playground sends all steps in one stream; the other protocols send the first only. A raw
    /// answer cannot be a step and is ignored.
    #[must_use]
    pub fn step(self, next: Self) -> Self {
        let Kind::Tokens(next) = next.kind else {
            return self;
        };
        self.with(|tokens| tokens.append(next))
    }

    fn with(mut self, change: impl FnOnce(&mut Tokens)) -> Self {
        match &mut self.kind {
            Kind::Raw(_) => {}
            Kind::Tokens(tokens) => change(tokens),
        }
        self
    }
}

impl Tokens {
    fn append(&mut self, step: Self) {
        match &mut self.next {
            Some(next) => next.append(step),
            none => *none = Some(Box::new(step)),
        }
    }
}

/// One step of a body that is sent byte for byte.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Piece {
    /// Aborts the connection (in HTTP/2, resets the stream) after the bytes before it were sent.
    Abort,
    /// Sends these bytes as one chunk of the body.
    Bytes(Bytes),
    /// Sends nothing more and keeps the connection open.
    Hang,
    /// Waits before the next piece.
    Wait(Duration),
}

impl From<&'static str> for Piece {
    fn from(text: &'static str) -> Self {
        Self::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}
