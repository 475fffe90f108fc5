//! The client of Replicate.

use std::time::Duration;

use inferstream_client::{Client, Protocol as _};
use inferstream_core::{BoxFuture, ChatStream, Error, Json, Model, Result, Timeouts};

use crate::{
    models::{self, Version},
    prediction::{PredictionHandle, prediction_path},
    protocol::Predictions,
    request::url,
};

/// A client for Replicate.
///
/// Replicate calls a response a *prediction*. One request creates it and another one reads it, and
/// it continues, and is billed, even if nobody reads it. The client therefore resumes a stream
/// after a lost connection, and cancels the prediction if a stream is dropped before its end.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Replicate {
    pub(crate) client: Client<Predictions>,
}

inferstream_client::provider! {
    #[stream doc = ""]
    #[stream doc = "The model is `owner/name` for an official model, `owner/name:version` for any model, or"]
    #[stream doc = "`deployments/owner/name` for a deployment."]
    #[stream doc = ""]
    #[stream doc = ""]
    #[stream doc = "Returns all errors that occur before the first event, and `Auth` if there is no key."]
    #[stream doc = "If the response to the creating request is lost, the prediction may exist: the error is `Disconnected` or"]
    #[stream doc = "`Timeout`, with [`Repeat::Ambiguous`](inferstream_core::Repeat::Ambiguous); if the prediction exists,"]
    #[stream doc = "the error's [`partial`](Error::partial) has its id."]
    #[stream doc = ""]
    #[stream doc = "Once a prediction was created, no error is [`Repeat::Safe`](inferstream_core::Repeat::Safe), here or in the"]
    #[stream doc = "stream, because the same request would create, and bill, another prediction. A failure that the service"]
    #[stream doc = "calls transient, such as the code `E003` or \"try again later\", is `Provider` with"]
    #[stream doc = "`Repeat::Ambiguous`: [`Error::is_retryable`] is true, and the caller may send the request again;"]
    #[stream doc = "this crate does not. The code is [`Error::code`]; `E005` is `ContentFilter`."]
    #[stream doc = ""]
    impl Replicate: this => &this.client
}

impl Replicate {
    pub(crate) fn new(client: Client<Predictions>) -> Self {
        Self { client }
    }

    /// Returns the default timeouts. They are those of [`Timeouts::default`], except that the first
    /// event may take 600 s, because an idle model takes minutes to start.
    ///
    /// gpt4free's class allowed 180 s for the complete response.
    pub fn default_timeouts() -> Timeouts {
        Timeouts::default().first_event(Duration::from_secs(600))
    }

    /// Reads the response of an existing prediction by its id, from its beginning.
    ///
    /// The service keeps the output until an hour after the prediction has ended. Dropping this
    /// stream before its end cancels the prediction, as for any other stream.
    ///
    /// # Errors
    ///
    /// The same as [`stream`](Self::stream), and `NotFound` if there is no such prediction.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not affect the prediction.
    pub fn resume(&self, id: impl Into<String>) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let id = id.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            this.client.protocol_arc().resume(call, id).await
        })
    }

    /// Cancels a prediction by its id. It succeeds if the prediction has ended or does not exist.
    ///
    /// # Errors
    ///
    /// The same as for any request.
    pub fn cancel(&self, id: impl Into<String>) -> BoxFuture<'static, Result<()>> {
        let this = self.clone();
        let id = id.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            let path = prediction_path(&id)?;
            let get = url(&call, &path)?;
            let cancel = url(&call, &format!("{path}/cancel"))?;
            let handle = PredictionHandle::of(&this.client.protocol().settings, call, get, cancel);
            handle.cancel().await
        })
    }

    /// Requests the models of a collection, by the name in the URL of its page.
    ///
    /// # Errors
    ///
    /// The same as for any request, and `NotFound` if there is no such collection.
    pub fn collection(&self, slug: impl Into<String>) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        let slug = slug.into();
        Box::pin(async move { models::collection(&this.client.call().await?, &slug).await })
    }

    /// Searches the public models for a text. Returns at most ten pages.
    ///
    /// # Errors
    ///
    /// The same as for any request.
    pub fn search(&self, query: impl Into<String>) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        let query = query.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            models::search(&this.client.protocol().settings.trust, &call, &query).await
        })
    }

    /// Requests the versions of a model `owner/name`, newest first. Returns at most ten pages.
    ///
    /// # Errors
    ///
    /// The same as for any request, and `NotFound` for official models, whose versions are not
    /// listed.
    pub fn versions(&self, model: impl Into<String>) -> BoxFuture<'static, Result<Vec<Version>>> {
        let this = self.clone();
        let model = model.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            models::versions(&this.client.protocol().settings.trust, &call, &model).await
        })
    }

    /// Requests the OpenAPI schema of a model's input and output, for `owner/name:version` or for
    /// the latest version of `owner/name`.
    ///
    /// # Errors
    ///
    /// The same as for any request, and `Protocol` if the service returns no schema.
    pub fn schema(&self, model: impl Into<String>) -> BoxFuture<'static, Result<Json>> {
        let this = self.clone();
        let model = model.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            let version = models::version_of(&call, &model).await?;
            let none = || Error::protocol("invalid model from replicate: expected a schema");
            version.schema.ok_or_else(none)
        })
    }
}
