//! The parsing of requests for a prediction, as strict as the service.

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::{
    dice::{OFFSET, hash},
    replicate::{
        model::{self, Model},
        refusal::{self, InvalidField},
        time,
    },
    reply::Reply,
    tokens,
};

/// The accepted fields; `version` is one too if the path names no model.
const FIELDS: [&str; 4] = ["input", "stream", "webhook", "webhook_events_filter"];

/// The models' names for the token limit.
const LIMITS: [&str; 4] = [
    "max_tokens",
    "max_new_tokens",
    "max_completion_tokens",
    "max_length",
];

/// The lowest token limit of models by `anthropic`.
const MIN_ANTHROPIC_TOKENS: i64 = 1024;

/// The maximum and default time of `Prefer: wait`, in seconds.
const MAX_WAIT: u64 = 60;

/// The target of a prediction.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// The deployment with this owner and name.
    Deployment(&'a str, &'a str),
    /// The official model with this owner and name.
    Model(&'a str, &'a str),
    /// The version in the request body.
    Version,
}

/// A request that the service accepts.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) version: String,
    pub(super) deployment: Option<String>,
    pub(super) input: Value,
    pub(super) prompt: String,
    pub(super) prompt_tokens: usize,
    pub(super) limit: usize,
    pub(super) streams: bool,
    /// The time after which the prediction is aborted.
    pub(super) deadline: Option<Duration>,
    /// How long the response waits for the end of the prediction.
    pub(super) wait: Option<Duration>,
}

/// The resolved target.
struct Runs {
    model: String,
    version: String,
    streams: bool,
}

type Result<T> = std::result::Result<T, Box<Reply>>;

impl Request {
    /// Parses a request, or returns the error response.
    pub(super) fn parse(target: &Target<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Self> {
        if let Target::Model(owner, name) = target {
            let known = model::find(owner, name).filter(|model| model.is_official());
            known.ok_or_else(|| Box::new(refusal::not_found()))?;
        }
        let mut body: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            let detail = format!("The request is not a JSON object: {error}");
            Box::new(refusal::malformed(&detail))
        })?;
        let by_version = matches!(target, Target::Version);
        for name in body.keys() {
            let is_known = FIELDS.contains(&name.as_str()) || (by_version && name == "version");
            if !is_known {
                let description = format!("Additional property {name} is not allowed");
                return Err(invalid("additional_property_not_allowed", "", &description));
            }
        }
        let runs = runs(target, body.get("version"))?;
        let input = body.remove("input");
        let input = input.ok_or_else(|| invalid("required", "", "input is required"))?;
        check(&runs.model, &input)?;
        let prompt = prompt(&input);
        Ok(Self {
            model: runs.model,
            version: runs.version,
            streams: runs.streams,
            deployment: match target {
                Target::Deployment(owner, name) => Some(format!("{owner}/{name}")),
                _ => None,
            },
            prompt_tokens: tokens::split(&prompt).len(),
            prompt,
            limit: LIMITS
                .iter()
                .find_map(|name| input.get(name)?.as_u64())
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
            deadline: deadline(headers)?,
            wait: wait(headers),
            input,
        })
    }
}

/// Resolves the target; every well-formed version is assumed to exist.
fn runs(target: &Target<'_>, version: Option<&Value>) -> Result<Runs> {
    match target {
        Target::Deployment(owner, name) => {
            let seed = hash(format!("{owner}/{name}").as_bytes(), OFFSET);
            Ok(Runs {
                model: "meta/meta-llama-3-8b-instruct".to_owned(),
                version: format!("dp-{seed:016x}{:016x}", seed.rotate_left(17)),
                streams: true,
            })
        }
        Target::Model(owner, name) => Ok(named(&format!("{owner}/{name}"), None)),
        Target::Version => {
            let version = version.ok_or_else(|| invalid("required", "", "version is required"))?;
            let version = version.as_str().unwrap_or_default();
            of_version(version).ok_or_else(|| Box::new(refusal::invalid_version()))
        }
    }
}

/// Resolves a version: 64 hexadecimal digits, `owner/name`, or both joined by a colon.
fn of_version(version: &str) -> Option<Runs> {
    if is_hash(version) {
        let known = model::with_version(version);
        let name = known.map_or_else(|| "simulated/community".to_owned(), Model::full_name);
        return Some(named(&name, Some(version)));
    }
    let (name, hash) = match version.split_once(':') {
        Some((name, hash)) => (name, Some(hash)),
        None => (version, None),
    };
    let (owner, short_name) = name.split_once('/')?;
    let is_word = |word: &str| {
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !word.is_empty() && word.chars().all(is_letter)
    };
    let is_well_formed = is_word(owner) && is_word(short_name) && hash.is_none_or(is_hash);
    is_well_formed.then(|| named(name, hash))
}

fn named(full_name: &str, hash: Option<&str>) -> Runs {
    let known = full_name.split_once('/');
    let known = known.and_then(|(owner, name)| model::find(owner, name));
    Runs {
        model: full_name.to_owned(),
        version: match (hash, known) {
            (Some(hash), _) => hash.to_owned(),
            (None, Some(model)) if model.is_official() => "hidden".to_owned(),
            (None, _) => model::version_id(full_name),
        },
        streams: known.is_none_or(Model::streams),
    }
}

fn is_hash(text: &str) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    text.len() == 64 && text.chars().all(is_digit)
}

/// Checks the input against the model's schema.
fn check(model: &str, input: &Value) -> Result<()> {
    if !input.is_object() {
        let description = "Invalid type. Expected: object";
        return Err(invalid("invalid_type", "input", description));
    }
    let has_messages = model.starts_with("openai/") && !is_empty(input.get("messages"));
    match input.get("prompt") {
        Some(Value::String(prompt)) if !prompt.is_empty() => {}
        Some(Value::String(_)) | None if has_messages => {}
        Some(Value::String(_)) | None => {
            return Err(invalid("required", "input", "prompt is required"));
        }
        Some(_) => {
            let description = "Invalid type. Expected: string";
            return Err(invalid("invalid_type", "input.prompt", description));
        }
    }
    let limit = input.get("max_tokens").and_then(Value::as_i64);
    if model.starts_with("anthropic/") && limit.is_some_and(|limit| limit < MIN_ANTHROPIC_TOKENS) {
        let description = format!("Must be greater than or equal to {MIN_ANTHROPIC_TOKENS}");
        return Err(invalid("number_gte", "input.max_tokens", &description));
    }
    Ok(())
}

fn is_empty(messages: Option<&Value>) -> bool {
    match messages {
        Some(Value::Array(messages)) => messages.is_empty(),
        Some(Value::String(messages)) => messages.is_empty(),
        _ => true,
    }
}

/// Returns the prompt, or the text of the last message.
fn prompt(input: &Value) -> String {
    let prompt = input.get("prompt").and_then(Value::as_str);
    if let Some(prompt) = prompt.filter(|prompt| !prompt.is_empty()) {
        return prompt.to_owned();
    }
    let messages = input.get("messages").and_then(Value::as_array);
    match messages.and_then(|messages| messages.last()?.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            texts.collect()
        }
        _ => String::new(),
    }
}

/// Parses `Cancel-After`.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>> {
    let Some(value) = headers.get("cancel-after") else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(time::duration) {
        Some(deadline) => Ok(Some(deadline)),
        None => Err(invalid(
            "invalid_duration",
            "Cancel-After",
            "is no duration",
        )),
    }
}

/// Parses `Prefer: wait`, with or without a time.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get("prefer")?.to_str().ok()?;
    let mut preferences = preferences.split([',', ';']).map(str::trim);
    preferences.find_map(|preference| {
        let seconds = match preference.strip_prefix("wait")?.trim_start() {
            "" => MAX_WAIT,
            rest => rest.strip_prefix('=')?.trim().parse().ok()?,
        };
        Some(Duration::from_secs(seconds.clamp(1, MAX_WAIT)))
    })
}

fn invalid(kind: &str, field: &str, description: &str) -> Box<Reply> {
    Box::new(refusal::invalid(InvalidField {
        kind,
        field,
        description,
    }))
}
