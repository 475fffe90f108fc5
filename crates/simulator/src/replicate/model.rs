//! Replicate's models and their descriptions.

use fastrand::Rng;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    dice::{OFFSET, hash},
    replicate::{refusal, response::ok},
    reply::Reply,
    uri,
};

/// The number of models on one page.
const PAGE: usize = 5;

/// The prefix of a page cursor; the index of the page's first model follows.
const CURSOR: &str = "cp_";

/// The creation time of all models.
const CREATED: &str = "2024-04-17T22:03:02.103Z";

/// One model.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) owner: &'static str,
    pub(super) name: &'static str,
    about: &'static str,
    /// The model's name for the token limit.
    limit: &'static str,
    kind: Kind,
}

/// How a model is addressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// By its version.
    Community,
    /// By its name.
    Official,
    /// By its name, without streams.
    OfficialWithoutStream,
}

#[rustfmt::skip]
const MODELS: [Model; 8] = [
    Model::new("meta", "meta-llama-3-70b-instruct", "A 70 billion parameter language model, fine tuned for chat", "max_tokens", Kind::Official),
    Model::new("meta", "meta-llama-3-8b-instruct", "An 8 billion parameter language model, fine tuned for chat", "max_tokens", Kind::Official),
    Model::new("meta", "llama-2-70b-chat", "A 70 billion parameter language model of the second generation", "max_new_tokens", Kind::Official),
    Model::new("openai", "gpt-5", "A language model that reasons", "max_completion_tokens", Kind::Official),
    Model::new("anthropic", "claude-4-sonnet", "A language model that reasons where it is asked to", "max_tokens", Kind::Official),
    Model::new("simulated", "no-stream", "A language model whose predictions have no stream", "max_tokens", Kind::OfficialWithoutStream),
    Model::new("replicate", "vicuna-13b", "A 13 billion parameter language model of the community's", "max_length", Kind::Community),
    Model::new("replicate", "flan-t5-xl", "A language model of the community's for short texts", "max_length", Kind::Community),
];

impl Model {
    const fn new(
        owner: &'static str,
        name: &'static str,
        about: &'static str,
        limit: &'static str,
        kind: Kind,
    ) -> Self {
        Self {
            owner,
            name,
            about,
            limit,
            kind,
        }
    }

    pub(super) fn is_official(&self) -> bool {
        self.kind != Kind::Community
    }

    pub(super) fn streams(&self) -> bool {
        self.kind != Kind::OfficialWithoutStream
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn matches(&self, text: &str) -> bool {
        let haystack = format!("{}/{} {}", self.owner, self.name, self.about).to_lowercase();
        let text = text.to_lowercase();
        text.split_whitespace().all(|word| haystack.contains(word))
    }

    fn value(&self) -> Value {
        let full_name = self.full_name();
        json!({
            "url": format!("https://replicate.com/{full_name}"),
            "owner": self.owner,
            "name": self.name,
            "description": self.about,
            "visibility": "public",
            "is_official": self.is_official(),
            "github_url": null,
            "paper_url": null,
            "license_url": null,
            "run_count": hash(full_name.as_bytes(), OFFSET) % 1_000_000,
            "cover_image_url": null,
            "default_example": null,
            "latest_version": self.version(),
        })
    }

    fn version(&self) -> Value {
        let mut properties = serde_json::Map::new();
        properties.insert(
            "prompt".to_owned(),
            json!({"type": "string", "title": "Prompt", "x-order": 0}),
        );
        properties.insert(
            self.limit.to_owned(),
            json!({"type": "integer", "title": self.limit, "default": 512, "x-order": 1}),
        );
        json!({
            "id": version_id(&self.full_name()),
            "created_at": CREATED,
            "cog_version": "0.9.0",
            "openapi_schema": {
                "openapi": "3.0.2",
                "info": {"title": "Cog", "version": "0.1.0"},
                "paths": {},
                "components": {"schemas": {
                    "Input": {
                        "type": "object",
                        "title": "Input",
                        "required": ["prompt"],
                        "properties": properties,
                    },
                    "Output": {
                        "type": "array",
                        "title": "Output",
                        "items": {"type": "string"},
                        "x-cog-array-type": "iterator",
                        "x-cog-array-display": "concatenate",
                    },
                }},
            },
        })
    }
}

pub(super) fn find(owner: &str, name: &str) -> Option<&'static Model> {
    let mut models = MODELS.iter();
    models.find(|model| model.owner == owner && model.name == name)
}

pub(super) fn with_version(id: &str) -> Option<&'static Model> {
    let mut models = MODELS.iter();
    models.find(|model| version_id(&model.full_name()) == id)
}

/// Returns the version of the model with this name: 64 hexadecimal digits.
pub(super) fn version_id(full_name: &str) -> String {
    let mut rng = Rng::with_seed(hash(full_name.as_bytes(), OFFSET));
    let mut half = || rng.u128(..);
    format!("{:032x}{:032x}", half(), half())
}

/// Returns one page of the list of models.
pub(super) fn list(url: &str, query: Option<&str>) -> Reply {
    let start = match uri::find(query, "cursor") {
        Some(cursor) => cursor
            .strip_prefix(CURSOR)
            .and_then(|start| start.parse().ok()),
        None => Some(0),
    };
    let Some(start) = start.filter(|start| *start < MODELS.len()) else {
        return refusal::not_found();
    };
    let page = |start: usize| match start {
        0 => format!("{url}/models"),
        _ => format!("{url}/models?cursor={CURSOR}{start}"),
    };
    let end = MODELS.len().min(start + PAGE);
    let next = (end < MODELS.len()).then(|| page(end));
    let previous = (0 < start).then(|| page(start.saturating_sub(PAGE)));
    let results: Vec<_> = MODELS[start..end].iter().map(Model::value).collect();
    ok(&json!({"previous": previous, "next": next, "results": results}))
}

/// Returns the models that match the text of a `QUERY` request.
pub(super) fn asked(text: &[u8]) -> Reply {
    // One of the official clients sends the text as JSON.
    let results = matching(String::from_utf8_lossy(text).trim_matches('"'));
    ok(&json!({"previous": null, "next": null, "results": results}))
}

/// Returns the search results for a text, which are only models.
pub(super) fn search(query: Option<&str>) -> Reply {
    let Some(text) = uri::find(query, "query") else {
        return refusal::fault(StatusCode::BAD_REQUEST.as_u16(), None);
    };
    let models = matching(&text).into_iter();
    let models: Vec<_> = models
        .map(|model| json!({"model": model, "metadata": {}}))
        .collect();
    ok(&json!({"query": text, "models": models, "collections": [], "pages": []}))
}

fn matching(text: &str) -> Vec<Value> {
    let models = MODELS.iter().filter(|model| model.matches(text));
    models.map(Model::value).collect()
}

pub(super) fn one(owner: &str, name: &str) -> Reply {
    match find(owner, name) {
        Some(model) => ok(&model.value()),
        None => refusal::not_found(),
    }
}

pub(super) fn versions(owner: &str, name: &str) -> Reply {
    match find(owner, name) {
        Some(model) => ok(&json!({"previous": null, "next": null, "results": [model.version()]})),
        None => refusal::not_found(),
    }
}

pub(super) fn version(owner: &str, name: &str, id: &str) -> Reply {
    match find(owner, name) {
        Some(model) if version_id(&model.full_name()) == id => ok(&model.version()),
        _ => refusal::not_found(),
    }
}

pub(super) fn collections() -> Reply {
    ok(&json!({"previous": null, "next": null, "results": [language_models()]}))
}

pub(super) fn collection(slug: &str) -> Reply {
    let mut collection = language_models();
    if collection["slug"] != slug {
        return refusal::not_found();
    }
    collection["models"] = MODELS.iter().map(Model::value).collect();
    ok(&collection)
}

fn language_models() -> Value {
    json!({
        "name": "Language models",
        "slug": "language-models",
        "description": "Models that can understand and generate text",
    })
}
