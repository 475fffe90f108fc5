//! The protocol of predictions: create one, then read it to its end.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use inferstream_client::{Call, Mode, Protocol, Redact, stream_or_document};
use inferstream_core::{
    Body, BoxFuture, Capabilities, ChatRequest, ChatStream, Error, ErrorKind, Model, Phase,
    ProviderInfo, Result, Unsupported,
    protocol::{Started, read_stream},
    sse::{Decoder, Limits},
};

use crate::{
    create::{self, nameless},
    decode::{PredictionDecode, Settings},
    encode::{self, Encoded},
    error::{Purpose, ResponseJudge, aborted, after_made, canceled, failed, is_refused},
    info::{DEFAULT_MODEL, INFO},
    inputs::{Images, of_model},
    model_ref::ModelRef,
    models,
    prediction::{PredictionHandle, prediction_path},
    request::{MAX_DOCUMENT, get},
    settings::PredictionSettings,
    wire::{Prediction, Status},
};

/// The protocol of predictions.
#[derive(Clone, Debug)]
pub(crate) struct Predictions {
    pub(crate) settings: Arc<PredictionSettings>,
}

impl Predictions {
    /// Encodes a request for its model, or for the default model.
    fn encode_body(&self, request: &mut ChatRequest) -> Result<(ModelRef, Encoded)> {
        let model = request.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let model = ModelRef::parse(INFO.resolve(model.trim()))?;
        let inputs = of_model(model.name(), &self.settings.inputs);
        let encoded = encode::body(&model, inputs, request)?;
        Ok((model, encoded))
    }
}

/// An encoded request, and the settings for reading its response.
#[derive(Clone, Debug)]
pub(crate) struct Create {
    model: ModelRef,
    body: Bytes,
    headers: HeaderMap,
    answer: AnswerSettings,
    unsupported: Vec<Unsupported>,
}

impl Protocol for Predictions {
    type Encoded = Create;

    fn info(&self) -> &ProviderInfo {
        &INFO
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let name = match ModelRef::parse(model) {
            Ok(model) => model.name().to_owned(),
            Err(_) => model.to_owned(),
        };
        let inputs = of_model(&name, &self.settings.inputs);
        let mut capabilities = Capabilities::default();
        capabilities.needs_auth = self.settings.needs_key;
        capabilities.supports_tools = false;
        capabilities.supports_images = inputs.images != Images::None;
        capabilities
    }

    fn encode(&self, mut request: ChatRequest, _: Mode) -> Result<(Create, Redact)> {
        let max_tokens = request.max_tokens;
        let (model, encoded) = self.encode_body(&mut request)?;
        // The prompt may also be in `extra`.
        let extra = request.extra.iter().map(|(_, value)| value.as_str());
        let redact = extra.fold(Redact::new(request.messages), Redact::json);
        let answer = AnswerSettings {
            max_tokens,
            raw: request.raw,
            warnings: encoded.dropped.warnings(),
        };
        let create = Create {
            model,
            body: Bytes::from(encoded.body),
            headers: request.headers,
            answer,
            unsupported: encoded.dropped.into_list(),
        };
        Ok((create, redact))
    }

    fn unsupported(create: Create) -> Vec<Unsupported> {
        create.unsupported
    }

    fn open(self: Arc<Self>, call: Call, create: Create) -> BoxFuture<'static, Result<ChatStream>> {
        Box::pin(async move {
            let Create {
                model,
                body,
                headers,
                answer,
                ..
            } = create;
            let created = create::create(&self.settings, &call, &model, &headers, body).await?;
            follow(&self.settings, call, created, answer).await
        })
    }

    fn resumes(&self) -> bool {
        true
    }

    fn resume(self: Arc<Self>, call: Call, id: String) -> BoxFuture<'static, Result<ChatStream>> {
        Box::pin(async move {
            let request = get(&call, &prediction_path(&id)?)?;
            let judge = ResponseJudge::new(Purpose::Other, &call);
            let mut started = call.send(request, &judge).await?;
            let document = started.document(MAX_DOCUMENT).await?;
            let answer = AnswerSettings::default();
            follow(&self.settings, call, (started, document), answer).await
        })
    }

    fn models(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Vec<Model>>> {
        Box::pin(async move { models::collection(&call, "language-models").await })
    }
}

/// Reads the prediction in a response, and opens its stream.
pub(crate) async fn follow(
    settings: &Arc<PredictionSettings>,
    call: Call,
    (mut started, document): (Started, Bytes),
    answer: AnswerSettings,
) -> Result<ChatStream> {
    started.meta.warnings = answer.warnings;
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

    let (handle, warnings) = PredictionHandle::new(settings, call, &prediction).map_err(named)?;
    started.meta.warnings.extend(warnings);
    let mut decode = PredictionDecode::new(
        handle,
        Settings {
            id: prediction.id.clone(),
            max_tokens: answer.max_tokens,
            raw: answer.raw,
        },
    );
    // From here on, dropping `decode` cancels the prediction unless it has ended.
    if prediction.status.is_terminal() {
        decode.set_over();
    }
    check_state(&prediction, &decode).map_err(named)?;
    started.body = match &prediction.urls.stream {
        Some(stream) if !prediction.status.is_terminal() => {
            let url = settings.trust.check("stream URL", stream).map_err(named)?;
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
    // The known headers are those of the prediction, not of its stream.
    let framer = stream_or_document(decoder, &HeaderMap::new());
    Ok(read_stream(started, framer, decode))
}

/// The settings of a request for reading its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct AnswerSettings {
    max_tokens: Option<u64>,
    raw: bool,
    warnings: Vec<String>,
}

/// Returns true for failures to open the stream that polling cannot fix: the key was refused, or
/// the total timeout has passed.
fn ends_answer(error: &Error) -> bool {
    is_refused(error) || error.kind() == ErrorKind::Timeout(Phase::Total)
}

/// Returns an error if the prediction has already failed or was canceled.
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
