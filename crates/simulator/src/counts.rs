//! How often the server was asked for what.

use std::sync::{Arc, Mutex, PoisonError};

/// How many requests of each kind a server has had, and messages of each kind its agents.
///
/// Each counts that was read in full, whatever it was answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// The most connections that were open at once, those for the streams of predictions apart.
    pub connections_at_once: usize,
    /// Requests for the session of Cerebras' page.
    pub sessions: usize,
    /// Requests to create a prediction.
    pub creates: usize,
    /// Requests for the events of one.
    pub streams: usize,
    /// Requests for the state of one.
    pub gets: usize,
    /// Requests to cancel one.
    pub cancels: usize,
    /// Requests to Workers AI that a model answers, those through a gateway among them.
    pub chats: usize,
    /// Requests to the playground that a model answers.
    pub inferences: usize,
    /// Requests for the playground's page.
    pub pages: usize,
    /// Requests for a connection to one of the playground's agents.
    pub agent_connections: usize,
    /// Messages that ask an agent for an answer.
    pub agent_turns: usize,
    /// Messages that cancel an agent's answer.
    pub agent_cancels: usize,
    /// Messages that acknowledge a stream, so as to have it again.
    pub agent_resumes: usize,
}

/// The counts of a server that runs.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    counts: Mutex<Counts>,
    /// One for each open connection, and one more.
    open: Arc<()>,
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    _open: Arc<()>,
}

impl Counter {
    /// Counts one more of what `kind` picks.
    pub(crate) fn add(&self, kind: impl FnOnce(&mut Counts) -> &mut usize) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *kind(&mut counts) += 1;
    }

    /// Counts a connection that has been opened.
    pub(crate) fn open(&self) -> Open {
        let open = Open {
            _open: Arc::clone(&self.open),
        };
        let at_once = Arc::strong_count(&self.open) - 1;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.connections_at_once = counts.connections_at_once.max(at_once);
        drop(counts);
        open
    }

    pub(crate) fn all(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
