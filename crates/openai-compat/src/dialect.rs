//! Where compatible providers differ, each place with a default.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use inferstream_client::{Call, Dropped};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, Error, Field, Model, ProviderInfo, Result,
    protocol::Decode,
};

use crate::{chat::Chat, decode::ChatDecode, schema::SchemaRules};

/// A provider's way to speak the protocol.
///
/// Every method but [`info`](Self::info) has the default that most services share, so that a
/// provider with two differences is a screenful.
pub trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Returns what the provider is.
    fn info(&self) -> &ProviderInfo;

    /// Returns what it can do with a model.
    fn capabilities(&self, model: &str) -> Capabilities {
        let _ = model;
        Capabilities::default()
    }

    /// Returns the model of requests that name none: that of [`info`](Self::info) by default.
    fn default_model(&self) -> Option<&str> {
        self.info().default_model()
    }

    /// Returns the path, below the base URL, that a model is asked at: `/chat/completions`.
    fn path(&self, model: &str) -> String {
        let _ = model;
        "/chat/completions".to_owned()
    }

    /// Returns true, the default, if the body names the model.
    fn names_model(&self, model: &str) -> bool {
        let _ = model;
        true
    }

    /// Changes a request to what a model takes; by default it stays as it is.
    ///
    /// A setting that the model lacks is taken out by [`Dropped::take`], and the request's policy
    /// decides what becomes of that.
    ///
    /// # Errors
    ///
    /// `Unsupported` for what is said and cannot be taken, `Config` for what cannot be meant.
    fn adapt(&self, model: &str, request: &mut ChatRequest, dropped: &mut Dropped) -> Result<()> {
        let _ = (model, request, dropped);
        Ok(())
    }

    /// Returns what a model takes of JSON Schema; `None`, the default, is all of it.
    fn schema_rules(&self, model: &str) -> Option<&SchemaRules> {
        let _ = model;
        None
    }

    /// Returns true, the default, if a model takes the schema of an answer with its name and `strict`
    /// beside it, as `{"name":…,"schema":…}`; false if it takes the schema alone.
    fn names_schema(&self, model: &str) -> bool {
        let _ = model;
        true
    }

    /// Encodes the body of a request, and returns it with the name of the encoding, for the header
    /// `content-encoding`; by default, and where it returns `None`, it goes out as it is.
    fn compress(&self, body: &Bytes) -> Option<(Bytes, HeaderValue)> {
        let _ = body;
        None
    }

    /// Returns true if a message that only calls tools has an empty content; by default it has none.
    fn sends_empty_content(&self) -> bool {
        false
    }

    /// Returns the decoder of an answer: by default the one that is given.
    fn decode(&self, chat: ChatDecode, request: &ChatRequest) -> Box<dyn Decode> {
        let _ = request;
        Box::new(chat)
    }

    /// Returns the URL of the list of models, for a base URL and a call with or without a key.
    fn models_url(&self, base: &str, has_key: bool) -> String {
        let _ = has_key;
        format!("{base}/models")
    }

    /// Returns true if the service lists its models without a key; false by default.
    fn lists_without_key(&self) -> bool {
        false
    }

    /// Requests the list of models in another way than as one document at
    /// [`models_url`](Self::models_url); `None` by default.
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

    /// Says more of a refusal than its status does; by default it stays as it is.
    fn refine(&self, error: Error) -> Error {
        error
    }

    /// Returns the name of the field that limits the answer's tokens: `max_tokens`.
    // A dialect whose fields are data lends its own.
    #[allow(clippy::unnecessary_literal_bound)]
    fn max_tokens_field(&self) -> &str {
        "max_tokens"
    }

    /// Returns the name under which a message of the model carries its reasoning back, or `None`
    /// if it is left out, which is the default: a service that does not know the field may refuse
    /// the request.
    fn reasoning_field(&self) -> Option<&str> {
        None
    }

    /// Returns true, the default, if a stream is to be asked for its usage
    /// (`stream_options.include_usage`).
    fn asks_for_usage(&self) -> bool {
        true
    }

    /// Returns true if the usage rides on the chunk with the finish reason, so that the stream ends
    /// there. By default it goes on to the end marker.
    fn ends_with_usage(&self) -> bool {
        false
    }

    /// Returns true, the default, if the service knows a setting. The request's policy decides how one
    /// that it does not know is handled. A setting that `extra` replaces is not asked about.
    fn knows_field(&self, field: Field) -> bool {
        let _ = field;
        true
    }
}
