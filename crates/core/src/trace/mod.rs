//! Calls and what becomes of them in; spans and events of `tracing` out, where its feature is on.

#[cfg(feature = "tracing")]
mod call;
#[cfg(feature = "tracing")]
mod content;
#[cfg(feature = "tracing")]
mod follow;
#[cfg(not(feature = "tracing"))]
mod off;

#[cfg(not(feature = "tracing"))]
pub use self::off::in_current_span;
#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::{Call, resumed, retried};

#[cfg(feature = "tracing")]
pub use self::call::in_current_span;
#[cfg(feature = "tracing")]
pub(crate) use self::call::{Call, resumed, retried};

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// As a whole.
    Chat,
    /// As it comes.
    Stream,
}
