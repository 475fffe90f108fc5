//! Spans and events of `tracing`; without the feature of that name nothing is recorded.

#[cfg(feature = "tracing")]
mod call;
#[cfg(feature = "tracing")]
mod content;
#[cfg(feature = "tracing")]
mod follow;
#[cfg(not(feature = "tracing"))]
mod off;

#[cfg(feature = "tracing")]
pub(crate) use self::call::{Call, resumed, retried};
#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::{Call, resumed, retried};

use crate::transport::BoxFuture;

/// Whether the messages of a request and of its response are recorded.
///
/// It has no effect without the feature `tracing`.
///
/// ```
/// use inferstream_core::{ChatRequest, RecordContent};
///
/// let request = ChatRequest::from("Why is the sky blue?");
/// assert_eq!(request.record_content, RecordContent::Never);
/// let request = request.record_content(RecordContent::Always);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RecordContent {
    /// Records them as events with the target `inferstream::content` and the level `TRACE`, if the
    /// subscriber enables those.
    Always,
    /// Does not record them, whatever the subscriber enables.
    #[default]
    Never,
}

/// How a response is requested.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// As a complete response.
    Chat,
    /// As a stream.
    Stream,
}

/// Boxes a future so that the calls it makes are children of the span that is current now, wherever
/// the future is polled.
///
/// For combinators that return a future of their own. Without the feature `tracing` it only boxes.
///
/// # Cancel safety
///
/// That of the future.
pub fn in_current_span<F>(future: F) -> BoxFuture<'static, F::Output>
where
    F: Future + Send + 'static,
{
    #[cfg(feature = "tracing")]
    let future = tracing::Instrument::in_current_span(future);
    Box::pin(future)
}
