//! Requests for models, versions and schemas.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header::CONTENT_TYPE};
use inferstream_client::Call;
use inferstream_core::{Error, Json, Model, Result};
use serde_json::Value;

use crate::{
    error::{Purpose, ResponseJudge},
    model_ref::{ModelRef, is_word},
    request::{get, url},
    trust::Trust,
    wire::text_of,
};

/// A version of a model.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Version {
    /// The version's id, which follows the colon in `owner/name:version`.
    pub id: String,
    /// The creation time as the service reports it, such as `2024-05-01T12:00:00.000Z`.
    pub created_at: Option<String>,
    /// The OpenAPI schema of the model's input and output, if the service returns it.
    pub schema: Option<Json>,
}

/// The maximum size of a list, in bytes. The schema of a version has a few dozen KiB.
const MAX_LIST: usize = 4 << 20;

/// How many pages of a list are read. The search for a common word has hundreds.
const MAX_PAGES: usize = 10;

/// Requests the models of a collection.
pub(crate) async fn collection(call: &Call, slug: &str) -> Result<Vec<Model>> {
    if !is_word(slug) {
        return Err(Error::config(
            "invalid name of a collection: expected letters, digits, `-`, `_` and `.`",
        ));
    }
    let request = get(call, &format!("collections/{slug}"))?;
    let value = document(call, request).await?;
    let list = value["models"].as_array().ok_or_else(not_a_list)?;
    Ok(list.iter().filter_map(model).collect())
}

/// Searches the public models for a text.
pub(crate) async fn search(trust: &Trust, call: &Call, query: &str) -> Result<Vec<Model>> {
    let method = Method::from_bytes(b"QUERY").map_err(|_| not_a_list())?;
    let mut request = call.request_to(method, url(call, "models")?, Bytes::new());
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    *request.body_mut() = query.to_owned().into();
    let list = pages(trust, call, request).await?;
    Ok(list.iter().filter_map(model).collect())
}

/// Requests the versions of a model, newest first.
pub(crate) async fn versions(trust: &Trust, call: &Call, name: &str) -> Result<Vec<Version>> {
    let path = format!("models/{}/versions", of_model(name)?);
    let request = get(call, &path)?;
    let list = pages(trust, call, request).await?;
    Ok(list.iter().filter_map(version).collect())
}

/// Requests one version of a model, or its latest one.
pub(crate) async fn version_of(call: &Call, name: &str) -> Result<Version> {
    let model = ModelRef::parse(name)?;
    let path = match (&model, model.name()) {
        (ModelRef::Version { version, .. }, name) if !name.is_empty() => {
            format!("models/{name}/versions/{version}")
        }
        _ => format!("models/{}", of_model(name)?),
    };
    let request = get(call, &path)?;
    let value = document(call, request).await?;
    let latest = match model {
        ModelRef::Version { .. } => &value,
        _ => &value["latest_version"],
    };
    version(latest).ok_or_else(|| {
        Error::protocol("invalid response from replicate: expected a version of the model")
    })
}

/// Reads a list page by page.
async fn pages(trust: &Trust, call: &Call, mut request: Request<Bytes>) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let mut value = document(call, request.clone()).await?;
        match value.get_mut("results").map(Value::take) {
            Some(Value::Array(list)) => all.extend(list),
            _ => return Err(not_a_list()),
        }
        match value["next"].as_str() {
            None | Some("") => break,
            Some(next) => *request.uri_mut() = trust.check("next page URL", next)?,
        }
    }
    Ok(all)
}

async fn document(call: &Call, request: Request<Bytes>) -> Result<Value> {
    let judge = ResponseJudge::new(Purpose::Other, call);
    let body = call.document(request, MAX_LIST, &judge).await?;
    serde_json::from_slice(&body).map_err(|_| not_a_list())
}

/// Checks that a name is `owner/name`, without a version.
fn of_model(name: &str) -> Result<String> {
    match ModelRef::parse(name)? {
        ModelRef::Model(name) => Ok(name),
        _ => Err(Error::config("invalid model name: expected `owner/name`").with_setting("model")),
    }
}

/// Parses a model; search results contain it in a member `model`.
fn model(value: &Value) -> Option<Model> {
    let value = match &value["model"] {
        Value::Object(_) => &value["model"],
        _ => value,
    };
    let owner = text_of(&value["owner"])?;
    let name = text_of(&value["name"])?;
    let mut model = Model::new(format!("{owner}/{name}"));
    model.owned_by = Some(owner);
    Some(model)
}

fn version(value: &Value) -> Option<Version> {
    let schema = &value["openapi_schema"];
    Some(Version {
        id: text_of(&value["id"])?,
        created_at: text_of(&value["created_at"]),
        schema: schema
            .is_object()
            .then(|| Json::from_text(schema.to_string())),
    })
}

fn not_a_list() -> Error {
    Error::protocol("invalid response from replicate: expected the requested list or version")
}
