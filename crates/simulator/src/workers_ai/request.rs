//! The parsing of requests to Workers AI, which ignores unknown fields.

use serde_json::{Map, Value};

use crate::{
    content::text,
    dice::sorted,
    speech::{Function, Wish},
    tokens,
    workers_ai::{
        model::{self, Model},
        refusal::{Asker, Problem},
    },
};

/// The default token limit.
const DEFAULT_LIMIT: usize = 256;

/// The length of the tool call ids of Mistral's models.
const MISTRAL_ID: usize = 9;

/// The error for a request to `ai/run` without prompt and messages.
const ONE_OF: &str = "oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', required properties at '/' are 'messages'";

/// The endpoint of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    /// `ai/v1/chat/completions`; the body names the model.
    Chat,
    /// `ai/run`; the path names the model.
    Run(String),
}

/// A request that the service accepts.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) model: &'static Model,
    /// The messages or the prompt as JSON text, part of the seed.
    pub(super) input_json: String,
    /// The text of the last user message.
    pub(super) prompt: String,
    pub(super) prompt_tokens: usize,
    pub(super) stream: bool,
    pub(super) limit: usize,
    pub(super) seed: u64,
    /// The tool to call.
    tool: Option<Function>,
    /// The schema of the JSON to generate.
    pub(super) schema: Option<Value>,
}

type Fields = Map<String, Value>;
type Result<T> = std::result::Result<T, Problem>;

impl Request {
    /// Parses a request, or returns the error response.
    pub(super) fn parse(endpoint: &Endpoint, asker: &Asker, body: &[u8]) -> Result<Self> {
        if body.is_empty() {
            return Err(Problem::incomplete());
        }
        let fields: Fields = serde_json::from_slice(body)
            .map_err(|_| Problem::bad_input("Type mismatch of '/', 'object' expected"))?;
        let name = match endpoint {
            Endpoint::Chat => string(&fields, "model").unwrap_or_default(),
            Endpoint::Run(name) => name,
        };
        let model = model::find(name).ok_or_else(|| Problem::no_such_model(asker, name))?;
        let input = match (fields.get("messages"), fields.get("prompt"), endpoint) {
            (Some(messages), _, _) => messages,
            (None, Some(prompt), Endpoint::Run(_)) => prompt,
            (None, None, Endpoint::Run(_)) => return Err(Problem::bad_input(ONE_OF)),
            (None, _, Endpoint::Chat) => {
                let what = "required properties at '/' are 'messages'";
                return Err(Problem::bad_input(what));
            }
        };
        let (prompt, prompt_tokens) = match input {
            Value::String(prompt) => (prompt.clone(), tokens::split(prompt).len()),
            Value::Array(messages) if !messages.is_empty() => {
                check_messages(model, messages)?;
                (asked(messages), messages.iter().map(count).sum())
            }
            _ => return Err(Problem::bad_input(ONE_OF)),
        };
        check_fields(model, &fields)?;
        let limit = limit(&fields)?;
        let needed = prompt_tokens.saturating_add(limit);
        if model.window < needed {
            return Err(Problem::no_room(needed, model.window));
        }
        Ok(Self {
            model,
            input_json: sorted(input),
            prompt_tokens,
            stream: fields.get("stream") == Some(&Value::Bool(true)),
            limit,
            seed: fields
                .get("seed")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            tool: called_tool(&fields, &prompt),
            schema: schema(&fields),
            prompt,
        })
    }

    /// Returns the requirements for the response.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            prompt: &self.prompt,
            reasons: self.model.reasons(),
            tools: self.tool.as_slice(),
            schema: self.schema.as_ref(),
        }
    }
}

fn check_messages(model: &Model, messages: &[Value]) -> Result<()> {
    let mut after_tool = false;
    for (index, message) in messages.iter().enumerate() {
        let Some(role) = message.get("role").and_then(Value::as_str) else {
            let what = format!("required properties at '/messages/{index}' are 'role,content'");
            return Err(Problem::bad_input(&what));
        };
        check_content(message, index)?;
        if model.author() == "mistralai" {
            check_mistral(message)?;
            if after_tool && role == "user" {
                let what = "Unexpected role 'user' after role 'tool'";
                return Err(Problem::bad_input(what));
            }
        }
        after_tool = role == "tool";
    }
    Ok(())
}

fn check_content(message: &Value, index: usize) -> Result<()> {
    match message.get("content") {
        Some(Value::Array(parts)) if parts.iter().any(is_far_image) => Err(Problem::bad_image()),
        Some(Value::Array(_) | Value::String(_)) => Ok(()),
        None if message.get("tool_calls").is_some() => Ok(()),
        None => {
            let what = format!("required properties at '/messages/{index}' are 'role,content'");
            Err(Problem::bad_input(&what))
        }
        Some(other) => {
            let what = format!(
                "oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', Type mismatch of '/messages/{index}/content', 'string' not in '{}'",
                type_name(other)
            );
            Err(Problem::bad_input(&what))
        }
    }
}

/// Returns true if the part is an image that would have to be fetched.
fn is_far_image(part: &Value) -> bool {
    let image = part.get("image_url");
    let url = image.and_then(|image| image.get("url").unwrap_or(image).as_str());
    url.is_some_and(|url| !url.starts_with("data:"))
}

fn check_mistral(message: &Value) -> Result<()> {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let ids = calls.into_iter().flatten().map(|call| call.get("id"));
    let mut ids = ids.chain([message.get("tool_call_id")]).flatten();
    let is_right = |id: &Value| {
        let id = id.as_str().unwrap_or_default();
        id.len() == MISTRAL_ID && id.chars().all(|c| c.is_ascii_alphanumeric())
    };
    match ids.find(|id| !is_right(id)) {
        Some(id) => Err(Problem::bad_input(&format!(
            "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9."
        ))),
        None => Ok(()),
    }
}

/// Checks fields that some models do not accept.
fn check_fields(model: &Model, fields: &Fields) -> Result<()> {
    let format = fields.get("response_format");
    let format = format.and_then(|format| format.get("type")?.as_str());
    let what = match model.author() {
        "mistralai" if fields.contains_key("chat_template_kwargs") => {
            "chat_template_kwargs is not supported by this model"
        }
        "mistralai" if format == Some("json_schema") => {
            "response_format json_schema is not supported by this model"
        }
        "zai-org" if string(fields, "tool_choice") == Some("required") => {
            "tool_choice required is not supported by this model"
        }
        _ => return Ok(()),
    };
    Err(Problem::bad_input(what))
}

fn limit(fields: &Fields) -> Result<usize> {
    let limit = ["max_tokens", "max_completion_tokens"]
        .into_iter()
        .find_map(|name| Some((name, fields.get(name)?)));
    let Some((name, limit)) = limit.filter(|(_, limit)| !limit.is_null()) else {
        return Ok(DEFAULT_LIMIT);
    };
    let number = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
    number.ok_or_else(|| {
        let what = format!(
            "Type mismatch of '/{name}', 'integer' not in '{}'",
            type_name(limit)
        );
        Problem::bad_input(&what)
    })
}

/// Returns the tool to call: the required one, or the first if the prompt mentions tools.
fn called_tool(fields: &Fields, prompt: &str) -> Option<Function> {
    let tools = ["tools", "functions"].into_iter();
    let tools = tools.filter_map(|name| fields.get(name)?.as_array());
    let mut tools = tools.flatten().filter_map(|tool| {
        // Flat, or in the form of the `OpenAI` protocol.
        let function = tool.get("function").unwrap_or(tool);
        serde_json::from_value::<Function>(function.clone()).ok()
    });
    let choice = fields.get("tool_choice");
    if let Some(name) = choice.and_then(|choice| choice.pointer("/function/name")) {
        return tools.find(|tool| *name == *tool.name);
    }
    let messages = fields.get("messages").and_then(Value::as_array);
    let last = messages.and_then(|messages| messages.last()?.get("role")?.as_str());
    let called = match choice.and_then(Value::as_str) {
        Some("none") => false,
        Some("required") => true,
        _ => last != Some("tool") && prompt.to_lowercase().contains("tool"),
    };
    tools.next().filter(|_| called)
}

/// Returns the requested JSON schema, bare or in the form of the `OpenAI` protocol.
fn schema(fields: &Fields) -> Option<Value> {
    let format = fields.get("response_format")?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(serde_json::json!({"properties": {"answer": {"type": "string"}}})),
        "json_schema" => {
            let schema = format.get("json_schema")?;
            Some(schema.get("schema").unwrap_or(schema).clone())
        }
        _ => None,
    }
}

/// Returns the text of the last user message.
fn asked(messages: &[Value]) -> String {
    let user = messages
        .iter()
        .rfind(|message| message.get("role").is_some_and(|role| role == "user"));
    user.and_then(|message| message.get("content"))
        .map(text)
        .unwrap_or_default()
}

/// Counts a message's tokens: those of its text, and four for its role and delimiters.
fn count(message: &Value) -> usize {
    let text = message.get("content").map(text).unwrap_or_default();
    4 + tokens::split(&text).len()
}

fn string<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "array",
        Value::Bool(_) => "boolean",
        Value::Null => "null",
        Value::Number(_) => "number",
        Value::Object(_) => "object",
        Value::String(_) => "string",
    }
}
