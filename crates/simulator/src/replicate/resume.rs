//! What a stream does for a client that comes back.

/// What a stream does for a client that comes back with `Last-Event-ID`.
///
/// Without that header it has all events from the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resume {
    /// Goes on after that event; where there is none with that id, it begins again.
    #[default]
    Continue,
    /// Begins again, with another text and with new ids.
    Differ,
    /// Begins again, with new ids.
    Renumber,
    /// Begins again, with the same ids.
    Replay,
}
