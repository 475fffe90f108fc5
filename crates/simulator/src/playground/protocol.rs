//! The protocols of the playground's responses.

/// The protocol of the playground's responses, which changed over time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum PlaygroundProtocol {
    /// Events with `response`, as in Workers AI, until March 2025.
    Oldest,
    /// The data stream of version 4 of Vercel's AI SDK, until August 2025.
    #[default]
    V4,
    /// The UI message stream of version 5 of Vercel's AI SDK, until October 2025.
    V5,
}
