//! One client that follows an agent, and what goes over its connection.

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::fault::Fault;

/// How many chunks each connection gets before all of them are cut.
const BEFORE_CUT: usize = 3;

/// One client that follows an agent.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    /// What it is to be told. An answer is all that a script or a seed makes up: it has an end.
    pub(super) words: UnboundedSender<Word>,
    /// The turn that it could resume, and has not said that it will.
    pub(super) unacknowledged: Option<u64>,
    /// The question that is answered when a stream begins.
    pub(super) probe: Option<Probe>,
    /// How many chunks it had of those that all are to be cut after.
    pub(super) chunks: usize,
}

/// What a client gave with a question, to have it back.
#[derive(Debug)]
pub(super) struct Probe(pub(super) Option<Value>);

/// What goes over a connection.
#[derive(Debug)]
pub(super) enum Word {
    Binary(String),
    /// A close frame with this code, and the end.
    Close(u16),
    /// Three fragments, with pings between them.
    Fragments(String),
    /// Half a frame, and the end.
    Half(String),
    Ping,
    Text(String),
}

/// What a message of an answer is.
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
        // Whoever is gone needs not be told; its socket says so in its time.
        let _ = self.words.send(word);
    }

    /// Tells a message of an answer as its fault has it; returns false if that ends the connection.
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
