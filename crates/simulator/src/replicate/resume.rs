//! How a stream responds to a client that reconnects.

/// How a stream responds to a client that reconnects with `Last-Event-ID`.
///
/// Without that header, the client gets all events from the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resume {
    /// Continues after that event; restarts if the id is unknown.
    #[default]
    Continue,
    /// Restarts with a different text and new ids.
    Differ,
    /// Restarts with new ids.
    Renumber,
    /// Restarts with the same ids.
    Replay,
}
