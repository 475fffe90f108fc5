//! The script of an in-memory agent, as data.

use std::time::Duration;

use serde_json::{Value, json};

/// How a connection ends behind the bytes that it sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    Lost,
    Closed,
}

/// How the agent handles a request to resume a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Resume {
    /// It runs: so many of its chunks come again, the others are new.
    Runs(usize),
    /// It has ended meanwhile.
    Ended,
    /// As `Ended`, with neighbouring texts joined.
    Joined,
    /// As `Ended`, of an agent that says nothing of turns that do not run.
    Silent,
    /// It is about to begin, for as long as this.
    Pending(Duration),
    /// Nothing is known of it.
    Gone,
    /// It goes on where the connection was lost, without what came before.
    Middle,
    /// Another answer comes.
    Other,
    /// The connection is refused with a status.
    Refused(u16),
}

/// What an agent does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The bodies of its responses.
    pub(super) chunks: Vec<String>,
    /// The messages behind them.
    pub(super) last: Vec<Value>,
    /// Of each connection, how many bytes it sends before it ends, and how; `None` is that it stays.
    pub(super) cuts: Vec<Option<(usize, Break)>>,
    pub(super) resume: Resume,
    /// How many bytes come at once.
    pub(super) piece: usize,
    /// The status of the first connection, and its body.
    pub(super) status: (u16, &'static str),
    /// What stands for the right answer to the key.
    pub(super) accept: Option<&'static str>,
    /// Bytes that are sent behind the greeting, as they are.
    pub(super) raw: Vec<u8>,
    /// After so many chunks, the code that the first connection is closed with.
    pub(super) close: Option<(usize, u16)>,
    /// A ping before each chunk.
    pub(super) pings: bool,
    /// As bytes in place of text.
    pub(super) binary: bool,
    /// What the agent says of its settings.
    pub(super) refusal: Option<&'static str>,
    /// The answer to a call of a method.
    pub(super) reply: Value,
    /// What comes again, in place of what `resume` says.
    pub(super) again: Option<Vec<Value>>,
    /// After the client's goodbye pongs come without end.
    pub(super) never_ends: bool,
}

impl Plan {
    pub(super) fn new(chunks: &[&str]) -> Self {
        Self {
            chunks: chunks.iter().map(|chunk| (*chunk).to_owned()).collect(),
            last: vec![json!({"body": "", "done": true})],
            cuts: Vec::new(),
            resume: Resume::Ended,
            piece: usize::MAX,
            status: (101, ""),
            accept: None,
            raw: Vec::new(),
            close: None,
            pings: false,
            binary: false,
            refusal: None,
            reply: Value::Null,
            again: None,
            never_ends: false,
        }
    }
}
