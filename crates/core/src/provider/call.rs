//! A request and how a provider opens its answer in; the answer, as it comes or whole, out.

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

/// Opens an answer to be had as it comes: what a provider's own `stream` goes through, so that the
/// feature `tracing` sees each call.
///
/// The base URL is where the service is asked, or empty where it is not; its host and port are shown,
/// and nothing else of it.
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

/// Opens an answer and reads all of it: what a provider's own `chat` goes through, as [`stream`].
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
