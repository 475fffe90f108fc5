//! The script of an in-memory agent, as data.

use std::time::Duration;

use serde_json::{Value, json};

/// How a connection ends after the bytes that it sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Break {
    Lost,
    Closed,
}

/// How the agent handles a request to resume a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Resume {
    /// The turn is running: this many of its chunks are sent again, and the others are new.
    Runs(usize),
    /// The turn has ended in the meantime.
    Ended,
    /// Like `Ended`, with neighboring texts joined.
    Joined,
    /// Like `Ended`, by an agent that does not reply if no turn is running.
    Silent,
    /// The turn is about to start, after this delay.
    Pending(Duration),
    /// The turn is unknown.
    Gone,
    /// The turn continues where the connection was lost, without the earlier chunks.
    Middle,
    /// A different response is sent.
    Other,
    /// The connection is refused with a status.
    Refused(u16),
}

/// The script of an agent.
#[derive(Clone, Debug)]
// Each is an independent flag.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Plan {
    /// The bodies of its responses.
    pub(super) chunks: Vec<String>,
    /// The messages after them.
    pub(super) last: Vec<Value>,
    /// For each connection, the number of bytes that it sends before it ends, and how; `None` if it
    /// stays open.
    pub(super) cuts: Vec<Option<(usize, Break)>>,
    pub(super) resume: Resume,
    /// The number of bytes per read.
    pub(super) piece: usize,
    /// The status of the first connection, and its body.
    pub(super) status: (u16, &'static str),
    /// Headers that replace those of the response to the handshake.
    pub(super) headers: Vec<(&'static str, &'static str)>,
    /// Bytes that are sent after the handshake, unchanged.
    pub(super) raw: Vec<u8>,
    /// Bytes that the first connection sends, unchanged, before the chunk with this index.
    pub(super) inject: Option<(usize, Vec<u8>)>,
    /// Bytes that are sent again and again when a turn was requested and nothing else is to be sent.
    pub(super) flood: Vec<u8>,
    /// Whether the agent reads nothing after the request.
    pub(super) deaf: bool,
    /// The largest payload of a frame; longer messages are fragmented.
    pub(super) fragment: usize,
    /// The number of chunks after which the first connection is closed, with this code.
    pub(super) close: Option<(usize, u16)>,
    /// Whether a ping precedes each chunk, and each fragment but the first.
    pub(super) pings: bool,
    /// Whether messages are binary instead of text.
    pub(super) binary: bool,
    /// The agent's reply to its settings.
    pub(super) refusal: Option<&'static str>,
    /// The reply to a method call.
    pub(super) reply: Value,
    /// The chunks that are sent again, overriding `resume`.
    pub(super) again: Option<Vec<Value>>,
    /// Whether endless pongs follow the client's close frame.
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
            headers: Vec::new(),
            raw: Vec::new(),
            inject: None,
            flood: Vec::new(),
            deaf: false,
            fragment: usize::MAX,
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
