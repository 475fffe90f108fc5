//! The models of Workers AI and their descriptions.

use fastrand::Rng;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    dice::{OFFSET, hash},
    reply::Reply,
    uri,
    workers_ai::refusal::{Asker, Problem},
};

/// The default and maximum number of models on one page.
const PAGE: usize = 50;

/// The task of all models.
const TASK: &str = "Text Generation";

/// One model.
#[derive(Debug)]
pub(crate) struct Model {
    /// The name with its owner: `@cf/meta/llama-2-7b-chat-int8`.
    pub(crate) name: &'static str,
    about: &'static str,
    /// The size of the context window in tokens.
    pub(super) window: usize,
    pub(super) kind: Kind,
}

/// The protocol of a model.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The `OpenAI` protocol with the additional members of one server.
    Hybrid(Thoughts),
    /// As `Hybrid`, but a request for a stream at `ai/run` gets one document.
    HybridWithoutStream(Thoughts),
    /// As `Hybrid`, with the members of another server.
    Matched,
    /// The native protocol, which is older.
    Native(Calls),
    /// The native protocol, with each token read as JSON.
    Typed,
}

/// How a model sends reasoning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Thoughts {
    /// Only if it is scripted, as `reasoning_content`.
    None,
    Reasoning,
    ReasoningContent,
}

/// How a model of the native protocol calls tools.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Calls {
    /// By name and arguments as a JSON value.
    Flat,
    /// As in the `OpenAI` protocol, in one chunk.
    Whole,
}

#[rustfmt::skip]
const MODELS: [Model; 9] = [
    Model::new("@cf/meta/llama-3.3-70b-instruct-fp8-fast", "A 70 billion parameter language model, quantized to be fast", 24_000, Kind::Hybrid(Thoughts::None)),
    Model::new("@cf/meta/llama-3.1-8b-instruct-fp8", "An 8 billion parameter language model of several tongues", 32_000, Kind::Native(Calls::Whole)),
    Model::new("@cf/meta/llama-2-7b-chat-int8", "A 7 billion parameter language model of the second generation", 8192, Kind::Native(Calls::Flat)),
    Model::new("@cf/google/gemma-4-26b-a4b-it", "A language model with a mixture of experts", 256_000, Kind::Matched),
    Model::new("@cf/openai/gpt-oss-120b", "A language model that reasons, with open weights", 128_000, Kind::HybridWithoutStream(Thoughts::ReasoningContent)),
    Model::new("@cf/qwen/qwq-32b", "A language model that reasons", 24_000, Kind::Typed),
    Model::new("@cf/zai-org/glm-4.7-flash", "A fast language model that reasons", 131_072, Kind::Hybrid(Thoughts::ReasoningContent)),
    Model::new("@cf/moonshotai/kimi-k2.6", "A large language model that reasons", 262_144, Kind::Hybrid(Thoughts::Reasoning)),
    Model::new("@cf/mistralai/mistral-small-3.1-24b-instruct", "A 24 billion parameter language model that sees", 128_000, Kind::Hybrid(Thoughts::None)),
];

/// The envelope of the API's results.
#[derive(Serialize)]
struct Envelope {
    success: bool,
    result: Value,
    errors: [(); 0],
    messages: [(); 0],
    #[serde(skip_serializing_if = "Option::is_none")]
    result_info: Option<Value>,
}

impl Model {
    const fn new(name: &'static str, about: &'static str, window: usize, kind: Kind) -> Self {
        Self {
            name,
            about,
            window,
            kind,
        }
    }

    /// Returns the owner: `meta`.
    pub(super) fn author(&self) -> &'static str {
        self.name.split('/').nth(1).unwrap_or_default()
    }

    /// Returns the model name in responses.
    pub(super) fn echo(&self) -> String {
        match self.author() {
            "google" => format!("{}-external", self.name),
            _ => self.name.to_owned(),
        }
    }

    /// Returns true if the model sends reasoning by default.
    pub(super) fn reasons(&self) -> bool {
        let (Kind::Hybrid(thoughts) | Kind::HybridWithoutStream(thoughts)) = self.kind else {
            return false;
        };
        thoughts != Thoughts::None
    }

    fn matches(&self, text: &str) -> bool {
        let haystack = format!("{} {}", self.name, self.about).to_lowercase();
        haystack.contains(&text.to_lowercase())
    }

    fn value(&self) -> Value {
        let id = |text: &str| uuid(&mut Rng::with_seed(hash(text.as_bytes(), OFFSET)));
        json!({
            "id": id(self.name),
            "source": 1,
            "name": self.name,
            "description": self.about,
            "task": {
                "id": id(TASK),
                "name": TASK,
                "description": "Family of generative text models",
            },
            "created_at": "2025-01-01 00:00:00.000",
            "tags": [],
            "properties": [
                {"property_id": "context_window", "value": self.window.to_string()},
                {"property_id": "function_calling", "value": "true"},
            ],
        })
    }
}

/// Returns the names of all models.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|model| model.name)
}

/// Returns the API's descriptions of all models.
pub(crate) fn values() -> Vec<Value> {
    MODELS.iter().map(Model::value).collect()
}

pub(crate) fn find(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// Returns one page of the models that match a query.
pub(super) fn search(query: Option<&str>) -> Reply {
    let is = |name: &str, value: &str| {
        let wanted = uri::find(query, name).filter(|wanted| !wanted.is_empty());
        wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let text = uri::find(query, "search").unwrap_or_default();
    let number = |name, default| {
        let number = uri::find(query, name).and_then(|text| text.parse().ok());
        number.filter(|number| 0 < *number).unwrap_or(default)
    };
    let (page, per_page) = (number("page", 1), number("per_page", PAGE).min(PAGE));
    let found = MODELS
        .iter()
        .filter(|model| model.matches(&text) && is("task", TASK) && is("author", model.author()));
    let found: Vec<_> = found.map(Model::value).collect();
    let start = per_page.saturating_mul(page - 1);
    let listed: Vec<_> = found.iter().skip(start).take(per_page).cloned().collect();
    let info = json!({
        "count": listed.len(),
        "page": page,
        "per_page": per_page,
        "total_count": found.len(),
        "total_pages": found.len().div_ceil(per_page),
    });
    envelope(listed.into(), Some(info))
}

/// Returns the input and output schemas of the model in a query.
pub(super) fn schema(asker: &Asker, query: Option<&str>) -> Result<Reply, Problem> {
    let name = uri::find(query, "model").unwrap_or_default();
    let model = find(&name).ok_or_else(|| Problem::no_such_model(asker, &name))?;
    let input = json!({
        "type": "object",
        "oneOf": [
            {"title": "Prompt", "required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
            {"title": "Messages", "required": ["messages"], "properties": {"messages": {"type": "array"}}},
        ],
    });
    let output = match model.kind {
        Kind::Native(_) | Kind::Typed => json!({
            "type": "object",
            "properties": {"response": {"type": "string"}, "tool_calls": {"type": "array"}},
        }),
        _ => json!({"type": "object", "properties": {"choices": {"type": "array"}}}),
    };
    Ok(envelope(json!({"input": input, "output": output}), None))
}

/// Wraps a result in the API's envelope.
pub(super) fn wrap(result: Value) -> Vec<u8> {
    let envelope = Envelope {
        success: true,
        result,
        errors: [],
        messages: [],
        result_info: None,
    };
    serde_json::to_vec(&envelope).unwrap_or_default()
}

pub(super) fn uuid(rng: &mut Rng) -> String {
    let (first, second, third) = (rng.u32(..), rng.u16(..), rng.u16(..));
    let (fourth, last) = (rng.u16(..), rng.u64(..1 << 48));
    format!("{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{last:012x}")
}

fn envelope(result: Value, result_info: Option<Value>) -> Reply {
    let envelope = Envelope {
        success: true,
        result,
        errors: [],
        messages: [],
        result_info,
    };
    Reply::value(StatusCode::OK, &envelope)
}
