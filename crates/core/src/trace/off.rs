//! What replaces `call` without the feature `tracing`: it records nothing.

use std::time::Duration;

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

    #[expect(clippy::unused_self, reason = "the signature is that of `call`")]
    pub(crate) fn follow(
        self,
        opening: impl Future<Output = Result<ChatStream>> + Send + 'static,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        Box::pin(opening)
    }
}

pub(crate) fn retried(_: &Error, _: Duration) {}

pub(crate) fn resumed(_: Option<&Error>, _: Duration) {}
