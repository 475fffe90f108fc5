//! What a request is answered with: tokens of a model, or bytes as they are.

use std::time::Duration;

use bytes::Bytes;

use crate::tokens;

/// One scripted answer to one request for a chat, a prediction or an inference of the playground.
///
/// What is said of inferences holds for the answers of the playground's agents.
///
/// [`Answer::text`] is sent as the service would send it: token by token where the request asks for
/// a stream, else whole. [`Answer::raw`] is sent byte for byte.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) kind: Kind,
}

/// How an answer was scripted.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Raw(Raw),
    Tokens(Tokens),
}

/// A response given part by part, not yet checked.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) pieces: Vec<Piece>,
}

/// What a model said.
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
    /// Creates an answer that says `text`.
    ///
    /// It is sent whole, whatever limit on tokens the request states; Workers AI and the playground
    /// cut it there, and Workers AI after 256 tokens where the request states none.
    pub fn text(text: impl Into<String>) -> Self {
        Self::tokens(tokens::split(&text.into()))
    }

    /// Creates an answer that says these tokens, cut as they are here: `"\n"`, `""`, `" Sure"`.
    ///
    /// A line that ends with CR or CRLF ends with LF in a prediction's stream, which has no way to
    /// say otherwise.
    pub fn tokens(tokens: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            kind: Kind::Tokens(Tokens {
                text: tokens.into_iter().map(Into::into).collect(),
                ..Tokens::default()
            }),
        }
    }

    /// Creates an answer of exactly this status, these headers and these bytes.
    ///
    /// It is sent whatever the request says: neither key nor model nor fields are looked at, and no
    /// prediction is created.
    /// Without a `content-length` among the headers, the body is chunked.
    /// An illegal status or header is an error of [`SimulatorBuilder::start`].
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

    /// Lets the model think this aloud before it answers.
    ///
    /// A raw answer stays as it is, here and in the methods below. A prediction has neither
    /// reasoning nor tool calls, finish reason nor end marker.
    #[must_use]
    pub fn reasoning(self, reasoning: impl Into<String>) -> Self {
        self.with(|tokens| tokens.reasoning = reasoning.into())
    }

    /// Adds a call of the tool `name`, with JSON text for its arguments.
    ///
    /// The arguments are not checked: broken ones are sent as they are.
    #[must_use]
    pub fn tool_call(self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.with(|tokens| tokens.tool_calls.push((name.into(), arguments.into())))
    }

    /// Sets the finish reason; else it is `tool_calls` where a tool is called, and `stop`.
    #[must_use]
    pub fn finish_reason(self, reason: impl Into<String>) -> Self {
        self.with(|tokens| tokens.finish_reason = Some(reason.into()))
    }

    /// Ends the stream with `data: [DONE]`, which Cerebras does not do.
    #[must_use]
    pub fn done_marker(self, done_marker: bool) -> Self {
        self.with(|tokens| tokens.done_marker = done_marker)
    }

    /// Answers the first connection to the prediction's stream with exactly these pieces.
    ///
    /// The status is 200 and the type `text/event-stream`. The prediction, and every other connection
    /// to its stream, says what this answer says. The chat protocol has no use for it.
    #[must_use]
    pub fn events(self, pieces: impl Into<Vec<Piece>>) -> Self {
        self.with(|tokens| tokens.events = Some(pieces.into()))
    }

    /// Lets the prediction write these logs when it starts; the chat protocol has none.
    #[must_use]
    pub fn logs(self, logs: impl Into<String>) -> Self {
        self.with(|tokens| tokens.logs = logs.into())
    }

    /// Goes on with another step, as one that has called a tool does.
    ///
    /// The playground says all steps in one stream; the other protocols have one, and say the first.
    /// A raw answer is no step.
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
    /// Breaks the connection (in HTTP/2: resets the stream); what was sent before has arrived.
    Abort,
    /// Sends these bytes at once, as one chunk of the body.
    Bytes(Bytes),
    /// Sends nothing more, and keeps the connection open.
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
