//! A client connected to an agent, and its outgoing messages.

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::fault::Fault;

/// The number of chunks that each connection gets before it is cut.
const BEFORE_CUT: usize = 3;

/// A client connected to an agent.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    /// The outgoing messages. The channel is unbounded because every response has an end.
    pub(super) words: UnboundedSender<Word>,
    /// A turn that was offered for resuming and not acknowledged yet.
    pub(super) unacknowledged: Option<u64>,
    /// A resume request that is answered when a stream starts.
    pub(super) probe: Option<Probe>,
    /// The number of chunks sent, counted for [`Fault::CutAll`] only.
    pub(super) chunks: usize,
}

/// The probe id of a resume request, returned with its response.
#[derive(Debug)]
pub(super) struct Probe(pub(super) Option<Value>);

/// An outgoing message or action.
#[derive(Debug)]
pub(super) enum Word {
    Binary(String),
    /// A close frame with this code; the connection ends.
    Close(u16),
    /// Three fragments, with pings between them.
    Fragments(String),
    /// Half a frame; the connection ends.
    Half(String),
    Ping,
    Text(String),
}

/// The kind of a response message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Chunk,
    End,
}

impl Connection {
    pub(super) fn tell(&self, text: String) {
        self.say(Word::Text(text));
    }

    pub(super) fn say(&self, word: Word) {
        // An error means that the client is gone; its socket task removes it.
        let _ = self.words.send(word);
    }

    /// Sends a response message with the fault applied; returns false if that ends the connection.
    pub(super) fn follow(&mut self, fault: Option<&Fault>, kind: Kind, text: &str) -> bool {
        let text = text.to_owned();
        match fault {
            Some(Fault::Binary) => self.say(Word::Binary(text)),
            Some(Fault::CutAll) if kind == Kind::Chunk && self.chunks == BEFORE_CUT => {
                self.say(Word::Half(text));
                return false;
            }
            Some(Fault::CutAll) => {
                self.chunks += usize::from(kind == Kind::Chunk);
                self.tell(text);
            }
            Some(Fault::Fragments) => self.say(Word::Fragments(text)),
            Some(Fault::Pings) if kind == Kind::Chunk => {
                self.say(Word::Ping);
                self.tell(text);
            }
            _ => self.tell(text),
        }
        true
    }

    pub(super) fn forget(&mut self, turn: u64) {
        if self.unacknowledged == Some(turn) {
            self.unacknowledged = None;
        }
    }
}
