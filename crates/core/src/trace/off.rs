//! The same without the feature: nothing.

use std::{future::Future, time::Duration};

use super::Mode;
use crate::{
    error::{Error, Result},
    model::ProviderInfo,
    settings::ChatRequest,
    stream::ChatStream,
    transport::BoxFuture,
};

pub(crate) struct Call;

impl Call {
    pub(crate) fn new(_: Mode, _: &ProviderInfo, _: &str, _: &ChatRequest) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the other one's is used")]
    pub(crate) fn follow(
        self,
        opening: impl Future<Output = Result<ChatStream>> + Send + 'static,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        Box::pin(opening)
    }
}

/// Boxes a future so that the calls which it makes are children of the span that is current now,
/// in whichever span it is polled.
///
/// Combinators that return a future of their own use it. Without the feature `tracing` it only boxes.
///
/// # Cancel safety
///
/// That of the future.
pub fn in_current_span<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
    Box::pin(future)
}

pub(crate) fn retried(_: &Error, _: Duration) {}

pub(crate) fn resumed(_: Option<&Error>, _: Duration) {}
