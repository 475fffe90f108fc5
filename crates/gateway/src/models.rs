//! The endpoints that list models.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use crate::{gateway::Shared, refusal::Refusal};

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: String,
}

/// `GET /v1/models`.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let data = allowed(&shared, &headers)?;
    let object = "list";
    Ok(json(&List { object, data }))
}

/// `GET /v1/models/{id}`.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut models = allowed(&shared, &headers)?.into_iter();
    let Some(model) = models.find(|model| model.id == id) else {
        let message = "unknown model: `GET /v1/models` lists the known ones";
        return Err(Refusal::not_found("model_not_found", message));
    };
    Ok(json(&model))
}

/// Returns the models that the request's key may request.
fn allowed(shared: &Shared, headers: &HeaderMap) -> Result<Vec<Model>, Refusal> {
    let state = shared.state();
    let key = state.keys.find(headers)?;
    let models = state.routes.models().into_iter();
    let is_allowed = |id: &str| key.as_ref().is_none_or(|key| key.allows(id));
    let models = models.filter(|(id, ..)| is_allowed(id));
    let models = models.map(|(id, owned_by, created)| Model {
        id,
        object: "model",
        created,
        owned_by,
    });
    Ok(models.collect())
}

fn json(value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], text).into_response()
}
