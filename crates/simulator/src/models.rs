//! The models of the chat service.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use crate::{chat::refusal::Refusal, reply::Reply};

/// The accepted model names; the last one exists only here.
const MODELS: [&str; 4] = ["gpt-oss-120b", "qwen-3.8-27b", "gemma-4-31b", "tiny"];

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Model>,
}

#[derive(Serialize)]
struct Model {
    id: &'static str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

pub(crate) fn list() -> Reply {
    json(&List {
        object: "list",
        data: MODELS.into_iter().map(model).collect(),
    })
}

/// Returns one model for a request with a key.
pub(crate) fn one(id: &str) -> Reply {
    match find(id) {
        Some(id) => json(&model(id)),
        None => unknown(id),
    }
}

/// Returns one model for a request without a key.
pub(crate) fn public(id: &str) -> Reply {
    if let Some(id) = find(id) {
        return json(&model(id));
    }
    let detail = format!("Model '{id}' not found or not publicly available");
    Reply::json(
        StatusCode::NOT_FOUND,
        json!({ "detail": detail }).to_string(),
    )
}

/// Returns the error for an unknown or retired model.
pub(crate) fn unknown(id: &str) -> Reply {
    Refusal {
        message: &format!("Model {id} does not exist or you do not have access to it."),
        kind: "not_found_error",
        param: Some("model"),
        code: Some("model_not_found"),
    }
    .reply(StatusCode::NOT_FOUND)
}

pub(crate) fn find(id: &str) -> Option<&'static str> {
    MODELS.into_iter().find(|known| *known == id)
}

/// Returns true if the model sends reasoning by default.
pub(crate) fn reasons(id: &str) -> bool {
    id == "gpt-oss-120b"
}

fn model(id: &'static str) -> Model {
    Model {
        id,
        object: "model",
        created: 0,
        owned_by: "Cerebras",
    }
}

fn json(value: &impl Serialize) -> Reply {
    Reply::value(StatusCode::OK, value)
}
