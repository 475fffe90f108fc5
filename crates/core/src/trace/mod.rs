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
pub(crate) use self::off::{Call, below_current, resumed, retried};

#[cfg(feature = "tracing")]
pub(crate) use self::call::{Call, below_current, resumed, retried};

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// As a whole.
    Chat,
    /// As it comes.
    Stream,
}
