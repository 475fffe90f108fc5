//! A service that answers, whichever it is, and what such a provider is made with.

mod call;
mod date;
mod total;

use std::{fmt, sync::Arc};

pub use self::{
    call::{chat, stream},
    date::{read_cookie_date, read_time},
    total::Total,
};

pub use crate::{
    line::OneLine,
    semaphore::{Acquire, Permit, Semaphore},
    status::read_duration,
    trace::in_current_span,
    unsupported::LeftOut,
};

use crate::{
    error::Result,
    model::{Capabilities, Model, ProviderInfo},
    response::ChatResponse,
    settings::ChatRequest,
    stream::ChatStream,
    transport::BoxFuture,
    unsupported::Unsupported,
};

/// A service that answers requests, for `dyn`.
///
/// Its futures hold nothing of the provider's: `tokio::spawn(provider.stream(request))` compiles.
/// Each provider has the same methods of its own, which take anything that is
/// `Into<ChatRequest>`.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Returns what the provider is.
    fn info(&self) -> &ProviderInfo;

    /// Returns what the provider can do with a model.
    fn capabilities(&self, model: &str) -> Capabilities;

    /// Returns what the request would have to do without here, whatever its policy
    /// ([`ChatRequest::on_unsupported`]) then makes of that. Nothing is sent, no key is needed.
    ///
    /// By default it is nothing.
    ///
    /// # Errors
    ///
    /// What the request would be refused for before it is sent: `Unsupported`, `Config`,
    /// `ModelNotSupported` and `TooLarge`.
    fn check(&self, request: &ChatRequest) -> Result<Vec<Unsupported>> {
        request.validate()?;
        Ok(Vec::new())
    }

    /// Sends the request and waits for the answer's head.
    ///
    /// # Errors
    ///
    /// Everything that can be known before the first event, after the retries.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatStream>>;

    /// Sends the request for a whole answer and waits for all of it.
    ///
    /// # Errors
    ///
    /// As `stream` and as the stream's items.
    fn chat(&self, request: ChatRequest) -> BoxFuture<'static, Result<ChatResponse>>;

    /// Asks the service for its models.
    ///
    /// # Errors
    ///
    /// As any request.
    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>>;

    /// Returns the models known without asking: those last asked for, else the built-in ones.
    fn known_models(&self) -> Vec<Model>;
}

/// One that is chosen while the program runs.
// Not of any `Arc<P>`: the trait's methods would hide those of a `P`, which take more.
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

    fn models(&self) -> BoxFuture<'static, Result<Vec<Model>>> {
        (**self).models()
    }

    fn known_models(&self) -> Vec<Model> {
        (**self).known_models()
    }
}
