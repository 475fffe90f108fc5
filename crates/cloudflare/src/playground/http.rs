//! The playground's protocols over HTTP, which its page used until October 2025.

use std::mem;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header::CONTENT_TYPE};
use inferstream_client::{Dropped, Redact};
use inferstream_core::{ChatRequest, ChatStream, Error, Model, Result, protocol::read_stream};
use serde_json::Value;

use super::{
    decode::PlaygroundDecode,
    encode,
    framer::PlaygroundFrames,
    requests::{Kept, MAX_LIST, Requests, model},
};

/// Encodes a request, and returns the settings that were dropped.
pub(super) fn body(request: &mut ChatRequest) -> Result<(Bytes, Dropped)> {
    let model = model(request).to_owned();
    encode::body(&model, request)
}

/// Requests the names of the models.
pub(super) async fn models(requests: &Requests) -> Result<Vec<Model>> {
    let url = format!("{}/api/models", requests.base());
    let request = of_json(Method::GET, &url, Bytes::new())?;
    let asked = ChatRequest::default();
    let (mut started, ..) = requests.send(request, &asked, &Redact::default()).await?;
    let body = started.document(MAX_LIST).await?;
    let broken = || {
        Error::protocol(
            "invalid list of models from the playground: expected JSON with a list in `models`",
        )
    };
    let value = serde_json::from_slice::<Value>(&body).map_err(|_| broken())?;
    let list = value["models"].as_array().ok_or_else(broken)?;
    let names = list.iter().filter_map(|model| model["name"].as_str());
    Ok(names.map(Model::new).collect())
}

/// Sends a request and returns its stream.
pub(super) async fn open(requests: &Requests, mut request: ChatRequest) -> Result<ChatStream> {
    let (json, dropped) = body(&mut request)?;
    let redact = Redact::new(mem::take(&mut request.messages));
    let url = format!("{}/api/inference", requests.base());
    let sent = requests.send(of_json(Method::POST, &url, json)?, &request, &redact);
    let (mut started, lease, redact) = sent.await?;
    started.meta.warnings.extend(dropped.warnings());
    let decode = PlaygroundDecode::new(redact, request.raw);
    let decode = Kept::new(decode, requests.clone(), lease);
    Ok(read_stream(started, PlaygroundFrames::default(), decode))
}

/// Creates a request with a JSON body.
fn of_json(method: Method, url: &str, body: Bytes) -> Result<Request<Bytes>> {
    let uri = url.parse::<Uri>();
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.map_err(|_| {
        Error::config(
            "invalid base URL: expected something like `https://playground.ai.cloudflare.com`",
        )
    })?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    Ok(request)
}
