//! The trait `Provider`, and building blocks for providers and combinators.

mod call;
mod date;

use std::{fmt, sync::Arc};

pub use self::{
    call::{chat, stream},
    date::{read_cookie_date, read_time},
};

pub use crate::{duration::read_duration, line::OneLine, trace::in_current_span};

use crate::{
    error::Result,
    model::{Capabilities, Model, ProviderInfo},
    response::ChatResponse,
    settings::ChatRequest,
    stream::ChatStream,
    transport::BoxFuture,
    unsupported::Unsupported,
};

/// An inference provider. The trait can be used as `dyn Provider`.
///
/// Its futures do not borrow from the provider: `tokio::spawn(provider.stream(request))` compiles.
/// Every provider also has these methods as inherent ones, which accept any `Into<ChatRequest>`.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Returns the description of the provider.
    fn info(&self) -> &ProviderInfo;

    /// Returns what the provider supports for a model.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// Returns the settings of a request that the provider does not support, regardless of
    /// [`ChatRequest::on_unsupported`]. Sends nothing, and needs no key. Returns none by default.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        request.validate()?;
        Ok(Vec::new())
    }

    /// Sends a request, and returns its response as a stream once the headers have arrived.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>>;

    /// Sends a request for a complete response, and waits for all of it.
    ///
    /// # Errors
    ///
    /// The errors of `stream`, and those of the stream's items.
    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>>;

    /// Reads the response of an earlier request from its beginning, by the
    /// [`id`](ChatResponse::id) that its stream had. Nothing is sent before the future is polled.
    ///
    /// Returns `None`, the default, if the provider's service does not keep responses.
    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        let _ = id;
        None
    }

    /// Requests the list of models.
    ///
    /// # Errors
    ///
    /// The same as for any request.
    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>>;

    /// Returns the models known without a request: those of the last list, or else the built-in ones.
    fn known_models(&self) -> Vec<Model>;
}

/// A provider that is chosen at run time.
// Not for any `Arc<P>`: the trait's methods would hide the inherent ones of `P`, which accept more.
impl Provider for Arc<dyn Provider> {
    fn info(&self) -> &ProviderInfo {
        (**self).info()
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        (**self).capabilities(model)
    }

    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        (**self).check(request)
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>> {
        (**self).stream(request)
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>> {
        (**self).chat(request)
    }

    fn resume(&self, id: &str) -> Option<BoxFuture<'static, Result<ChatStream>>> {
        (**self).resume(id)
    }

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        (**self).models()
    }

    fn known_models(&self) -> Vec<Model> {
        (**self).known_models()
    }
}
