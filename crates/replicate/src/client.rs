//! The client: a request in, the stream of its prediction out.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use inferstream_client::{Call, Client, Mode, Protocol, Redact};
use inferstream_core::{
    Body, BoxFuture, Capabilities, ChatRequest, ChatStream, Error, ErrorKind, Json, Model, Phase,
    ProviderInfo, Result, Timeouts, Unsupported,
    protocol::{Started, read_stream},
    sse::{Decoder, Limits},
};

use crate::{
    ReplicateBuilder,
    api::{self, Api, For, MAX_DOCUMENT, get, nameless, url},
    decode::{PredictionDecode, Settings},
    encode::{self, Encoded},
    error::{Purpose, aborted, after_made, canceled, failed, is_refused},
    inputs::{Images, of_model},
    model_ref::ModelRef,
    models::{self, Version},
    prediction::{PredictionHandle, prediction_path},
    wire::{Prediction, Status},
};

const DEFAULT_MODEL: &str = "meta/meta-llama-3-70b-instruct";

/// What Replicate is, as of November 2026.
pub(crate) static INFO: LazyLock<ProviderInfo> = LazyLock::new(|| {
    let mut info = ProviderInfo::new("replicate", "Replicate", "https://replicate.com/");
    info.login_url = Some("https://replicate.com/account/api-tokens".into());
    info.key_variable = Some("REPLICATE_API_TOKEN".into());
    info.default_model = Some(DEFAULT_MODEL.into());
    info.models = &[DEFAULT_MODEL];
    info.model_aliases = &[("meta-llama/Meta-Llama-3-70B-Instruct", DEFAULT_MODEL)];
    info
});

/// A client of Replicate.
///
/// An answer is a *prediction* there: it is made by one request, read by another, and goes on, and
/// is billed, though nobody reads it. So a stream that is cut is taken up again, and one that is
/// dropped before its end cancels its prediction.
///
/// Cloning is cheap; clones share connections and the list of models.
#[derive(Clone, Debug)]
pub struct Replicate {
    client: Client<Api>,
}

inferstream_client::provider! {
    #[stream doc = ""]
    #[stream doc = "The model is `owner/name` for an official one, `owner/name:version` for any,"]
    #[stream doc = "`deployments/owner/name` for a deployment."]
    #[stream doc = ""]
    #[stream doc = ""]
    #[stream doc = "Everything that can be known before the first event; `Auth` at once if there is no key."]
    #[stream doc = "A prediction that may have been made though its answer was lost is `Disconnected` or"]
    #[stream doc = "`Timeout`, with [`Repeat::Ambiguous`](crate::Repeat::Ambiguous); one that was made is named"]
    #[stream doc = "by the error's [`partial`](Error::partial)."]
    #[stream doc = ""]
    #[stream doc = "Once a prediction was made, no error is [`Repeat::Safe`](crate::Repeat::Safe), here or in the"]
    #[stream doc = "stream: the same request again makes, and bills, another prediction. A failure that the service"]
    #[stream doc = "calls transient, such as the code `E003` or \"try again later\", is `Provider` with"]
    #[stream doc = "`Repeat::Ambiguous`: [`Error::is_retryable`] is true and the caller may send the request again;"]
    #[stream doc = "this crate does not. The code is [`Error::code`]; `E005` is `ContentFilter`."]
    #[stream doc = ""]
    impl Replicate: this => &this.client
}

impl Replicate {
    /// Creates a client with the key in `REPLICATE_API_TOKEN`, or else `REPLICATE_API_KEY`, for the
    /// service at `REPLICATE_BASE_URL` if that is set.
    ///
    /// # Errors
    ///
    /// `Auth` if there is no key; `Config` if the key or the URL cannot be used.
    #[cfg(feature = "transport")]
    pub fn from_env() -> Result<Self> {
        let replicate = ReplicateBuilder::from_env()?.build()?;
        replicate.client.check_key()?;
        Ok(replicate)
    }

    /// Begins to set up a client, from nothing: no environment variable is read.
    pub fn builder() -> ReplicateBuilder {
        ReplicateBuilder::default()
    }

    pub(crate) fn new(client: Client<Api>) -> Self {
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
            let judge = For::new(Purpose::Other, &call);
            let mut started = call.send(request, &judge).await?;
            let document = started.document(MAX_DOCUMENT).await?;
            let settings = AnswerSettings::default();
            let api = this.client.protocol_arc();
            follow(&api, call, (started, document), settings).await
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
            let handle = PredictionHandle::of(&this.client.protocol_arc(), call, get, cancel);
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
            models::search(this.client.protocol(), &call, &query).await
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
            models::versions(this.client.protocol(), &call, &model).await
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

impl Api {
    /// Encodes a request, for the model that it names or the default one.
    fn encode_body(&self, request: &ChatRequest) -> Result<(ModelRef, Encoded)> {
        let model = request.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let model = ModelRef::parse(INFO.resolve(model.trim()))?;
        let inputs = of_model(model.name(), &self.inputs);
        let encoded = encode::body(&model, inputs, request)?;
        if MAX_BODY < encoded.body.len() {
            let length = encoded.body.len();
            let message = format!("the request is of {length} bytes; the limit is {MAX_BODY}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok((model, encoded))
    }
}

/// A request, encoded, and what its response is read by.
#[derive(Clone, Debug)]
pub(crate) struct Create {
    model: ModelRef,
    body: String,
    headers: HeaderMap,
    settings: AnswerSettings,
    unsupported: Vec<Unsupported>,
}

impl Protocol for Api {
    type Encoded = Create;

    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let name = match ModelRef::parse(model) {
            Ok(model) => model.name().to_owned(),
            Err(_) => model.to_owned(),
        };
        let inputs = of_model(&name, &self.inputs);
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = self.needs_key;
        capabilities.supports_tools = false;
        capabilities.supports_images = inputs.images != Images::None;
        capabilities
    }

    fn encode(&self, request: ChatRequest, _: Mode) -> Result<Create> {
        let (model, encoded) = self.encode_body(&request)?;
        let settings = AnswerSettings {
            max_tokens: request.max_tokens,
            raw: request.raw,
            warnings: encoded.dropped.warnings(),
        };
        Ok(Create {
            model,
            body: encoded.body,
            headers: request.headers,
            settings,
            unsupported: encoded.dropped.into_list(),
        })
    }

    fn unsupported(create: Create) -> Vec<Unsupported> {
        create.unsupported
    }

    // The prompt may be in `extra` too.
    fn redact(&self, request: &ChatRequest, redact: Redact) -> Redact {
        let values = request.extra.iter().map(|(_, value)| value);
        let texts = values.flat_map(texts);
        texts.fold(redact, |redact, text| redact.text(&text))
    }

    fn open(self: Arc<Self>, call: Call, create: Create) -> BoxFuture<'static, Result<ChatStream>> {
        Box::pin(async move {
            let Create {
                model,
                body,
                headers,
                settings,
                ..
            } = create;
            let created = api::create(&self, &call, &model, &headers, body).await?;
            follow(&self, call, created, settings).await
        })
    }

    fn models(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Vec<Model>>> {
        Box::pin(async move { models::collection(&call, "language-models").await })
    }
}

/// Reads the prediction that an answer tells, and opens its stream.
async fn follow(
    api: &Arc<Api>,
    call: Call,
    (mut started, document): (Started, Bytes),
    settings: AnswerSettings,
) -> Result<ChatStream> {
    started.meta.warnings = settings.warnings;
    let Some(prediction) = Prediction::parse(&String::from_utf8_lossy(&document)) else {
        return Err(call.redact.error(nameless(&started, &document)));
    };
    started.partial.id = Some(prediction.id.clone());
    started.partial.model.clone_from(&prediction.model);
    started.meta.web_url.clone_from(&prediction.urls.web);
    let mut partial = started.partial.clone();
    partial.meta.clone_from(&started.meta);
    let redact = call.redact.clone();
    let named = |error| {
        let error = after_made(redact.error(error), partial.meta.attempts);
        error.with_partial(partial.clone())
    };

    let (handle, warnings) = PredictionHandle::new(api, call, &prediction).map_err(named)?;
    started.meta.warnings.extend(warnings);
    let mut decode = PredictionDecode::new(
        handle,
        Settings {
            id: prediction.id.clone(),
            max_tokens: settings.max_tokens,
            raw: settings.raw,
        },
    );
    // What is dropped from here on is canceled, unless it has ended.
    if prediction.status.is_terminal() {
        decode.set_over();
    }
    check_state(&prediction, &decode).map_err(named)?;
    started.body = match &prediction.urls.stream {
        Some(stream) if !prediction.status.is_terminal() => {
            let url = api.trust.check("stream", stream).map_err(named)?;
            match decode.open(url).await {
                Ok(body) => body,
                Err(error) if ends_answer(&error) => return Err(named(error)),
                Err(error) => {
                    let error = redact.error(error);
                    let warning = format!("{error}; the prediction is polled for its output");
                    started.meta.warnings.push(warning);
                    decode.set_unopened(error);
                    Body::from(document)
                }
            }
        }
        _ => Body::from(document),
    };
    decode.begin();
    let decoder = Decoder::new(Limits::default().document(MAX_DOCUMENT)).end_event("done");
    // The headers at hand are those of the prediction, not of its stream.
    let framer = decoder.or_document(&HeaderMap::new());
    Ok(read_stream(started, framer, decode))
}

/// What a request says of its answer.
#[derive(Clone, Debug, Default)]
struct AnswerSettings {
    max_tokens: Option<u64>,
    raw: bool,
    warnings: Vec<String>,
}

/// The most that a request's body may hold: what services accept is below it.
const MAX_BODY: usize = 16 << 20;

/// Returns the strings in a JSON value.
fn texts(json: &Json) -> Vec<String> {
    fn collect(value: serde_json::Value, texts: &mut Vec<String>) {
        use serde_json::Value;
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(list) => list.into_iter().for_each(|value| collect(value, texts)),
            Value::Object(object) => object
                .into_iter()
                .for_each(|(_, value)| collect(value, texts)),
            _ => {}
        }
    }
    let mut texts = Vec::new();
    if let Ok(value) = serde_json::from_str(json.as_str()) {
        collect(value, &mut texts);
    }
    texts
}

/// Returns true for a failure to open the stream that polling cannot make up for: the key was refused,
/// or the time is up.
fn ends_answer(error: &Error) -> bool {
    is_refused(error) || error.kind() == ErrorKind::Timeout(Phase::Total)
}

/// Refuses a prediction that has ended badly before it was read.
fn check_state(prediction: &Prediction, decode: &PredictionDecode) -> Result<()> {
    let redact = &decode.handle().call.redact;
    let words = prediction.error.as_deref();
    Err(match prediction.status {
        Status::Failed => failed(words, redact),
        Status::Canceled => canceled(words, redact),
        Status::Aborted => aborted(words, redact),
        Status::Going | Status::Succeeded => return Ok(()),
    })
}
