//! The trait for the differences between compatible providers.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use inferstream_client::{Call, Dropped};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, Error, Field, Model, ProviderInfo, Result,
    protocol::Decode,
};

use crate::{chat::Chat, decode::ChatDecode, schema::SchemaRules};

/// The differences of a provider from the common protocol.
///
/// Every method but [`info`](Self::info) has a default, which is what most services do. A provider
/// implements only the methods in which it differs.
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Returns the description of the provider.
    fn info(&self) -> &ProviderInfo;

    /// Returns what the provider supports for a model.
    fn capabilities(&self, model: &str) -> Capabilities {
        let _ = model;
        Capabilities::default()
    }

    /// Returns the model of requests that do not name one: that of [`info`](Self::info) by default.
    fn default_model(&self) -> Option<&str> {
        self.info().default_model()
    }

    /// Returns the path of chat requests for a model below the base URL: `/chat/completions` by
    /// default.
    fn path(&self, model: &str) -> String {
        let _ = model;
        "/chat/completions".to_owned()
    }

    /// Returns true if the request body has the member `model`: true by default.
    fn names_model(&self, model: &str) -> bool {
        let _ = model;
        true
    }

    /// Adapts a request to what a model supports; by default the request stays unchanged.
    ///
    /// Remove a setting that the model does not support with [`Dropped::take`]: the
    /// [`on_unsupported`](ChatRequest::on_unsupported) of the request then decides whether the
    /// request is refused or sent without it.
    ///
    /// # Errors
    ///
    /// `Unsupported` for content that the service cannot process, `Config` for an invalid request.
    fn adapt(&self, model: &str, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
        let _ = (model, request, dropped);
        Ok(())
    }

    /// Returns the part of JSON Schema that a model supports: `None` by default, which is all of
    /// it.
    fn schema_rules(&self, model: &str) -> Option<&SchemaRules> {
        let _ = model;
        None
    }

    /// Returns true if the schema of the response format is sent as
    /// `{"name":…,"strict":…,"schema":…}`, which is the default, or false if the schema is sent
    /// alone.
    fn names_schema(&self, model: &str) -> bool {
        let _ = model;
        true
    }

    /// Compresses the body of a request, and returns it with the value of the header
    /// `content-encoding`. With `None`, the default, the body is sent uncompressed.
    fn compress(&self, body: &Bytes) -> Option<(Bytes, HeaderValue)> {
        let _ = body;
        None
    }

    /// Returns true if a message that only calls tools is sent with an empty `content`, or false,
    /// the default, if it is sent without `content`.
    fn sends_empty_content(&self) -> bool {
        false
    }

    /// Returns the decoder of a response: by default the given one. Wrap it to read other frames
    /// too.
    fn decode(&self, chat: ChatDecode, request: &ChatRequest) -> Box<dyn Decode> {
        let _ = request;
        Box::new(chat)
    }

    /// Returns the URL of the model list: `/models` below the base URL by default. `has_key` is
    /// true if the call has a key.
    fn models_url(&self, base: &str, has_key: bool) -> String {
        let _ = has_key;
        format!("{base}/models")
    }

    /// Returns true if the service lists its models without a key: false by default.
    fn lists_without_key(&self) -> bool {
        false
    }

    /// Requests the model list, for a service that does not return it as one document at
    /// [`models_url`](Self::models_url). With `None`, the default, that document is requested.
    fn models<'a>(
        &'a self,
        chat: &'a Chat<Self>,
        call: &'a Call,
    ) -> Option<BoxFuture<'a, Result<Vec<Model>>>>
    where
        Self: Sized,
    {
        let _ = (chat, call);
        None
    }

    /// Adds details to the error of a response without a success status; by default the error stays
    /// unchanged.
    fn refine(&self, error: Error) -> Error {
        error
    }

    /// Returns the name of the field with the token limit: `max_tokens` by default.
    // The return type is not `&'static str`, because a dialect with settings returns its own field.
    #[allow(clippy::unnecessary_literal_bound)]
    fn max_tokens_field(&self) -> &str {
        "max_tokens"
    }

    /// Returns the field in which earlier messages of the assistant return their reasoning to the
    /// service. With `None`, the default, reasoning is not sent, because services may refuse
    /// requests with unknown fields.
    fn reasoning_field(&self) -> Option<&str> {
        None
    }

    /// Returns true if streams request token usage (`stream_options.include_usage`): true by
    /// default.
    fn asks_for_usage(&self) -> bool {
        true
    }

    /// Returns true if a stream ends at the chunk that has both the finish reason and the usage. By
    /// default, false, the stream is read up to the end marker.
    fn ends_with_usage(&self) -> bool {
        false
    }

    /// Returns true if the service supports a setting: true by default, for all of them.
    ///
    /// The [`on_unsupported`](ChatRequest::on_unsupported) of the request decides how unsupported
    /// settings are handled. Settings that [`extra`](ChatRequest::extra) replaces are not checked.
    fn knows_field(&self, field: Field) -> bool {
        let _ = field;
        true
    }
}
