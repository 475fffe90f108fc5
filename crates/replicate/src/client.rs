//! The client of Replicate.

use std::time::Duration;

use inferstream_client::Client;
use inferstream_core::{BoxFuture, ChatStream, Error, Json, Model, Result, Timeouts};

use crate::{
    error::{Purpose, ResponseJudge},
    models::{self, Version},
    prediction::{PredictionHandle, prediction_path},
    protocol::{AnswerSettings, Predictions, follow},
    request::{MAX_DOCUMENT, get, url},
};

/// A client of Replicate.
///
/// An answer is a *prediction* there: it is made by one request, read by another, and goes on, and
/// is billed, though nobody reads it. So a stream that is cut is taken up again, and one that is
/// dropped before its end cancels its prediction.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Replicate {
    pub(crate) client: Client<Predictions>,
}

inferstream_client::provider! {
    #[stream doc = ""]
    #[stream doc = "The model is `owner/name` for an official one, `owner/name:version` for any,"]
    #[stream doc = "`deployments/owner/name` for a deployment."]
    #[stream doc = ""]
    #[stream doc = ""]
    #[stream doc = "Everything that can be known before the first event; `Auth` at once if there is no key."]
    #[stream doc = "A prediction that may have been made though its answer was lost is `Disconnected` or"]
    #[stream doc = "`Timeout`, with [`Repeat::Ambiguous`](inferstream_core::Repeat::Ambiguous); one that was made is named"]
    #[stream doc = "by the error's [`partial`](Error::partial)."]
    #[stream doc = ""]
    #[stream doc = "Once a prediction was made, no error is [`Repeat::Safe`](inferstream_core::Repeat::Safe), here or in the"]
    #[stream doc = "stream: the same request again makes, and bills, another prediction. A failure that the service"]
    #[stream doc = "calls transient, such as the code `E003` or \"try again later\", is `Provider` with"]
    #[stream doc = "`Repeat::Ambiguous`: [`Error::is_retryable`] is true and the caller may send the request again;"]
    #[stream doc = "this crate does not. The code is [`Error::code`]; `E005` is `ContentFilter`."]
    #[stream doc = ""]
    impl Replicate: this => &this.client
}

impl Replicate {
    pub(crate) fn new(client: Client<Predictions>) -> Self {
        Self { client }
    }

    /// Returns the limits of requests where nobody sets others: core's, but for the first event,
    /// which may take 600 s, since a model that nobody has asked for a while takes minutes to start.
    ///
    /// The gpt4free class that this client goes back to allowed 180 s for all of it.
    pub fn default_timeouts() -> Timeouts {
        Timeouts::default().first_event(Duration::from_secs(600))
    }

    /// Takes up the answer of a prediction that was made before, by its id: from its beginning, as
    /// far as the service still has it.
    ///
    /// The service keeps the output for an hour after the prediction's end.
    /// Dropping this stream before its end cancels the prediction as any other.
    ///
    /// # Errors
    ///
    /// As [`stream`](Self::stream); `NotFound` if there is no such prediction.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does nothing to the prediction.
    pub fn resume(&self, id: impl Into<String>) -> BoxFuture<'static, Result<ChatStream>> {
        let this = self.clone();
        let id = id.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            let request = get(&call, &prediction_path(&id)?)?;
            let judge = ResponseJudge::new(Purpose::Other, &call);
            let mut started = call.send(request, &judge).await?;
            let document = started.document(MAX_DOCUMENT).await?;
            let settings = &this.client.protocol().settings;
            let answer = AnswerSettings::default();
            follow(settings, call, (started, document), answer).await
        })
    }

    /// Cancels a prediction by its id; one that has ended, or is gone, needs no canceling.
    ///
    /// # Errors
    ///
    /// As any request.
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

    /// Asks for the models of a collection, by the name that stands in its address.
    ///
    /// # Errors
    ///
    /// As any request; `NotFound` if there is no such collection.
    pub fn collection(&self, slug: impl Into<String>) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        let slug = slug.into();
        Box::pin(async move { models::collection(&this.client.call().await?, &slug).await })
    }

    /// Asks for the public models that a text finds: at most ten pages of them.
    ///
    /// # Errors
    ///
    /// As any request.
    pub fn search(&self, query: impl Into<String>) -> BoxFuture<'static, Result<Vec<Model>>> {
        let this = self.clone();
        let query = query.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            models::search(&this.client.protocol().settings.trust, &call, &query).await
        })
    }

    /// Asks for the versions of a model `owner/name`, the newest first: at most ten pages of them.
    ///
    /// # Errors
    ///
    /// As any request; an official model has none to show, which is `NotFound`.
    pub fn versions(&self, model: impl Into<String>) -> BoxFuture<'static, Result<Vec<Version>>> {
        let this = self.clone();
        let model = model.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            models::versions(&this.client.protocol().settings.trust, &call, &model).await
        })
    }

    /// Asks for the OpenAPI schema of a model's input and output: of `owner/name:version`, or of the
    /// latest version of `owner/name`.
    ///
    /// # Errors
    ///
    /// As any request; `Protocol` if the service tells no schema of it.
    pub fn schema(&self, model: impl Into<String>) -> BoxFuture<'static, Result<Json>> {
        let this = self.clone();
        let model = model.into();
        Box::pin(async move {
            let call = this.client.call().await?;
            let version = models::version_of(&call, &model).await?;
            let none = || Error::protocol("replicate told no schema of the model");
            version.schema.ok_or_else(none)
        })
    }
}
