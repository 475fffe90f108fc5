//! The entry points of a call, where tracing begins its span.

use std::future::Future;

use crate::{
    error::Result,
    model::ProviderInfo,
    response::ChatResponse,
    settings::ChatRequest,
    stream::ChatStream,
    trace::{Call, Mode},
    transport::BoxFuture,
};

/// Opens a stream. Every provider's `stream` calls it, so that the feature `tracing` sees each call.
///
/// Of the base URL, which may be empty, the span has the host and the port only.
pub fn stream<F>(
    info: &ProviderInfo,
    base_url: &str,
    request: ChatRequest,
    open: impl FnOnce(ChatRequest) -> F,
) -> BoxFuture<'static, Result<ChatStream>>
where
    F: Future<Output = Result<ChatStream>> + Send + 'static,
{
    let call = Call::new(Mode::Stream, info, base_url, &request);
    call.follow(open(request))
}

/// Opens a response and reads all of it. Every provider's `chat` calls it; see [`stream`].
pub fn chat<F>(
    info: &ProviderInfo,
    base_url: &str,
    request: ChatRequest,
    open: impl FnOnce(ChatRequest) -> F,
) -> BoxFuture<'static, Result<ChatResponse>>
where
    F: Future<Output = Result<ChatStream>> + Send + 'static,
{
    let call = Call::new(Mode::Chat, info, base_url, &request);
    let opened = call.follow(open(request));
    Box::pin(async move { opened.await?.finish().await })
}
