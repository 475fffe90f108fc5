//! The protocols of the playground's answers.

/// The protocol of the playground's answers, as it had one after the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PlaygroundProtocol {
    /// Events with `response`, as Workers AI has them, until March 2025.
    Oldest,
    /// The data stream of version 4 of Vercel's AI SDK, until August 2025.
    #[default]
    V4,
    /// The UI message stream of its version 5, until October 2025.
    V5,
}
