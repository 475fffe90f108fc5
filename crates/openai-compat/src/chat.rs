//! The chat protocol: sends encoded requests, and opens their responses as streams of events.

use std::{fmt, mem, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE},
};
use inferstream_client::{
    Call, Dropped, Judge, Mode, Protocol, Redact, Refusal, stream_or_document,
};
use inferstream_core::{
    BoxFuture, Capabilities, ChatRequest, ChatStream, Error, Model, ProviderInfo, Result,
    Unsupported,
    protocol::{Started, read_stream},
    sse::Decoder,
};

use crate::{
    decode::ChatDecode,
    dialect::Dialect,
    encode,
    error::error_of_status,
    guard::{check_content_type, check_end},
    models,
};

/// The chat protocol in a service's dialect: the [`Protocol`] of a
/// [`Client`](inferstream_client::Client).
#[derive(Clone, Debug)]
pub struct Chat<D> {
    dialect: D,
}

/// A request, encoded, and what is needed to read its response.
///
/// `Debug` shows nothing of the conversation.
#[derive(Clone)]
pub struct Encoded {
    mode: Mode,
    model: String,
    path: String,
    body: Bytes,
    encoding: Option<HeaderValue>,
    /// The adapted request, without its messages and tools, which are in the body.
    request: Box<ChatRequest>,
    warnings: Vec<String>,
    unsupported: Vec<Unsupported>,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("mode", &self.mode)
            .field("model", &self.model)
            .field("path", &self.path)
            .field("body_len", &self.body.len())
            .field("unsupported", &self.unsupported)
            .finish_non_exhaustive()
    }
}

impl Encoded {
    /// Moves the body into the request of a call.
    fn take_request(&mut self, call: &mut Call) -> Result<Request<Bytes>> {
        if self.mode == Mode::Whole {
            // A complete response has no headers until its text is complete, so the wait for the
            // headers includes the wait for the first token.
            let timeouts = &mut call.timeouts;
            timeouts.head = match (timeouts.head, timeouts.first_event) {
                (Some(head), Some(first_event)) => Some(head.max(first_event)),
                _ => None,
            };
        }
        let body = mem::take(&mut self.body);
        let mut request = call.request(Method::POST, &self.path, body)?;
        let headers = request.headers_mut();
        if !call.headers.contains_key(ACCEPT) && self.mode == Mode::Stream {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let encoding = self.encoding.take();
        headers.extend(encoding.map(|encoding| (CONTENT_ENCODING, encoding)));
        insert_all(headers, &self.request.headers);
        Ok(request)
    }
}

impl<D: Dialect> Chat<D> {
    /// Creates the protocol in a dialect.
    pub fn new(dialect: D) -> Self {
        Self { dialect }
    }

    /// Returns the dialect.
    pub fn dialect(&self) -> &D {
        &self.dialect
    }

    /// Requests a document of at most 4 MiB at a path below the base URL.
    ///
    /// # Errors
    ///
    /// As [`Call::document`]; `Config` if the path is not valid in a URL.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn document(&self, call: &Call, path: &str) -> Result<Bytes> {
        let request = call.request(Method::GET, path, Bytes::new())?;
        let judge = self.judge(call, "");
        call.document(request, models::MAX_LIST, &judge).await
    }

    /// Requests a model list of at most 4 MiB at an absolute URL.
    ///
    /// # Errors
    ///
    /// As [`Call::document`]; `Config` if the URL is invalid, `Protocol` if the response is not a
    /// list.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn models_at(&self, call: &Call, url: &str) -> Result<Vec<Model>> {
        let url = url.parse();
        let url = url.map_err(|_| {
            Error::config("invalid URL of the model list: expected an http or https URL")
        })?;
        let request = call.request_to(Method::GET, url, Bytes::new());
        let judge = self.judge(call, "");
        let body = call.document(request, models::MAX_LIST, &judge).await?;
        models::decode(&self.dialect.info().id, &String::from_utf8_lossy(&body))
    }

    fn judge<'a>(&'a self, call: &'a Call, model: &'a str) -> impl Judge + 'a {
        move |refusal: Refusal<'_>| {
            let error = error_of_status(self.dialect.info(), model, &refusal, &call.redact);
            self.dialect.refine(error)
        }
    }

    /// Creates the stream of a response.
    fn read(&self, mut started: Started, call: Call, encoded: Encoded) -> Result<ChatStream> {
        started.meta.warnings = encoded.warnings;
        let info = self.dialect.info();
        check_content_type(&info.id, &started)?;
        if let Some(successor) = info.successor(&encoded.model) {
            let model = &encoded.model;
            let warning = format!("the model `{model}` is retired; use `{successor}`");
            started.meta.warnings.push(warning);
        }
        let request = &encoded.request;
        let decode = ChatDecode::new(info.id.clone())
            .ends_with_usage(self.dialect.ends_with_usage())
            .choices(encode::choices(&self.dialect, request))
            .raw(request.raw)
            .redact(call.redact)
            .plain_text(is_of_type(&started, b"text/plain"));
        let decode = self.dialect.decode(decode, request);
        // The end marker is `data: [DONE]`; some services send `[DONE]` without the field name.
        let decoder = Decoder::default().marker("[DONE]").error_lines();
        let framer = stream_or_document(decoder, &started.meta.headers);
        Ok(read_stream(started, framer, decode))
    }
}

impl<D: Dialect> Protocol for Chat<D> {
    type Encoded = Encoded;

    fn info(&self) -> &ProviderInfo {
        self.dialect.info()
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        self.dialect.capabilities(model)
    }

    fn default_model(&self) -> Option<&str> {
        self.dialect.default_model()
    }

    fn check_base(&self, base: &str) -> Result<()> {
        check_end(base, &self.dialect.path(""))
    }

    fn lists_without_key(&self) -> bool {
        self.dialect.lists_without_key()
    }

    fn encode(&self, mut request: ChatRequest, mode: Mode) -> Result<(Encoded, Redact)> {
        let (dialect, info) = (&self.dialect, self.info());
        let Some(model) = request.model.as_deref() else {
            let message = format!(
                "missing model: {} has no default, so the request must name one",
                info.id
            );
            return Err(Error::config(message).with_setting("model"));
        };
        let model = info.resolve(model).to_owned();
        if model.trim().is_empty() {
            return Err(
                Error::config("invalid model: expected a name that is not empty")
                    .with_setting("model"),
            );
        }
        let mut dropped = Dropped::new(info.id.clone(), request.on_unsupported);
        encode::yield_to_extra(dialect, &mut request);
        let reason = "unknown to the service";
        dropped.keep(&mut request, reason, |field| dialect.knows_field(field));
        dialect.adapt(&model, &mut request, &mut dropped)?;
        if let Some(rules) = dialect.schema_rules(&model) {
            rules.adapt(&mut request, &mut dropped)?;
        }
        dropped.settle()?;
        let body = encode::body(dialect, &model, &request, mode == Mode::Stream)?;
        let (body, encoding) = match dialect.compress(&body) {
            Some((body, encoding)) => (body, Some(encoding)),
            None => (body, None),
        };
        let redact = encode::secrets(&mut request);
        request.tools = Vec::new();
        let encoded = Encoded {
            mode,
            path: dialect.path(&model),
            model,
            body,
            encoding,
            request: Box::new(request),
            warnings: dropped.warnings(),
            unsupported: dropped.into_list(),
        };
        Ok((encoded, redact))
    }

    fn unsupported(encoded: Encoded) -> Vec<Unsupported> {
        encoded.unsupported
    }

    fn open(
        self: Arc<Self>,
        mut call: Call,
        mut encoded: Encoded,
    ) -> BoxFuture<'static, Result<ChatStream>> {
        // A block, because the future of an `async fn` has room for its arguments twice.
        Box::pin(async move {
            let request = encoded.take_request(&mut call)?;
            let judge = self.judge(&call, &encoded.model);
            let started = call.send(request, &judge).await?;
            drop(judge);
            self.read(started, call, encoded)
        })
    }

    fn models(self: Arc<Self>, call: Call) -> BoxFuture<'static, Result<Vec<Model>>> {
        Box::pin(async move {
            if let Some(models) = self.dialect.models(&self, &call) {
                return models.await;
            }
            let url = self.dialect.models_url(&call.base, call.key.is_some());
            let url = url.parse().map_err(|_| {
                Error::config("invalid URL of the model list: expected an http or https URL")
            })?;
            let request = call.request_to(Method::GET, url, Bytes::new());
            let judge = self.judge(&call, "");
            let body = call.document(request, models::MAX_LIST, &judge).await?;
            models::decode(&self.info().id, &String::from_utf8_lossy(&body))
        })
    }
}

/// Inserts the headers of a request, replacing those of the client.
fn insert_all(headers: &mut HeaderMap, own: &HeaderMap) {
    for (name, value) in own {
        headers.insert(name, value.clone());
    }
}

/// Returns true if the content type of a response begins with a name, in any case.
fn is_of_type(started: &Started, name: &[u8]) -> bool {
    let value = started.meta.headers.get(CONTENT_TYPE);
    value.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(name))
}
