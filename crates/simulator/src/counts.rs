//! Counts of requests and messages by kind.

use std::sync::{Arc, Mutex, PoisonError};

/// The number of requests and agent messages of each kind.
///
/// Every request that was read completely counts, whatever its response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// The most connections that were open at once, except those for streams of predictions.
    pub connections_at_once: usize,
    /// The connections that are open now, except those for streams of predictions.
    pub connections: usize,
    /// Requests to the Cerebras session endpoint.
    pub sessions: usize,
    /// Requests to create a prediction.
    pub creates: usize,
    /// Requests for the events of a prediction.
    pub streams: usize,
    /// Requests for the state of a prediction.
    pub gets: usize,
    /// Requests to cancel a prediction.
    pub cancels: usize,
    /// Requests to run a model at Workers AI, including those through a gateway.
    pub chats: usize,
    /// Inference requests to the playground.
    pub inferences: usize,
    /// Requests for the playground's page.
    pub pages: usize,
    /// Requests for a connection to one of the playground's agents.
    pub agent_connections: usize,
    /// Messages that request a response from an agent.
    pub agent_turns: usize,
    /// Messages that cancel a response of an agent.
    pub agent_cancels: usize,
    /// Messages that acknowledge a stream to resume it.
    pub agent_resumes: usize,
}

/// The counts of a running server.
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
    /// Increments the count that `kind` selects.
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
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Counts {
            connections: Arc::strong_count(&self.open) - 1,
            ..counts
        }
    }
}
