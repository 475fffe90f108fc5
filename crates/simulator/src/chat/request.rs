//! The parsing of chat requests, as strict as the service.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    chat::{refusal::refuse, schema},
    content::text,
    dice::sorted,
    models,
    reply::Reply,
    speech::{Function, Wish},
    tokens,
};

/// The fields that the service accepts.
const FIELDS: [&str; 31] = [
    "clear_thinking",
    "disable_reasoning",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_completion_tokens",
    "min_tokens",
    "model",
    "model_parameters",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "reasoning_format",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
];

/// The most choices and stop sequences of one request.
const MAX_CHOICES: usize = 16;
const MAX_STOPS: usize = 4;

/// A request that the service accepts.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub(crate) taste: Taste,
    pub(crate) model: String,
    /// The messages as JSON text, part of the seed.
    pub(crate) messages_json: String,
    /// The text of the last user message.
    pub(crate) prompt: String,
    pub(crate) prompt_tokens: usize,
    pub(crate) stream: bool,
    pub(crate) choices: usize,
    pub(crate) limit: usize,
    pub(crate) stops: Vec<String>,
    pub(crate) seed: i64,
    pub(crate) reasons: bool,
    /// The tools to call, in the order of the request.
    pub(crate) tools: Vec<Function>,
    /// The schema of the JSON to generate.
    pub(crate) schema: Option<Value>,
}

/// The fields that affect the response.
#[derive(Debug, Deserialize)]
struct Fields {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<Map<String, Value>>,
    max_completion_tokens: Option<i64>,
    max_tokens: Option<i64>,
    n: Option<usize>,
    seed: Option<i64>,
    stop: Option<Stop>,
    temperature: Option<f64>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Value>,
    reasoning_effort: Option<String>,
    reasoning_format: Option<String>,
    disable_reasoning: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: Role,
    #[serde(default)]
    content: Value,
    tool_calls: Option<Vec<ToolCall>>,
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Assistant,
    Developer,
    System,
    Tool,
    User,
}

#[derive(Debug, Deserialize)]
struct ToolCall {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Tool {
    function: Function,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// What a service accepts, and how it streams tool calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taste {
    /// Known models and documented fields only; all tool calls are sent in one delta.
    Strict,
    /// Any model and unknown fields; the arguments of a tool call are sent in fragments.
    Any,
}

impl ChatRequest {
    /// Parses a request, or returns the error response.
    pub(crate) fn parse(body: &[u8], taste: Taste) -> Result<Self, Box<Reply>> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| invalid(&format!("Invalid JSON: {error}"), None))?;
        let names = body.as_object().into_iter().flat_map(Map::keys);
        for name in names {
            if taste == Taste::Strict && !FIELDS.contains(&name.as_str()) {
                let message = format!("body.{name}: property '{name}' is unsupported");
                return Err(unprocessable(&message, Some(name)));
            }
        }
        if taste == Taste::Strict {
            schema::check(&body)?;
        }
        let messages_json = body.get("messages").map(sorted).unwrap_or_default();
        let fields: Fields = serde_json::from_value(body)
            .map_err(|error| unprocessable(&format!("body: {error}"), None))?;
        if taste == Taste::Strict && models::find(&fields.model).is_none() {
            return Err(Box::new(models::unknown(&fields.model)));
        }
        check(&fields, taste)?;
        check_messages(&fields.messages)?;
        Ok(Self::new(taste, messages_json, fields))
    }

    /// Returns the requirements for the response.
    pub(crate) fn wish(&self) -> Wish<'_> {
        Wish {
            prompt: &self.prompt,
            reasons: self.reasons,
            tools: &self.tools,
            schema: self.schema.as_ref(),
        }
    }

    fn new(taste: Taste, messages_json: String, fields: Fields) -> Self {
        let told_not_to_reason = fields.disable_reasoning == Some(true)
            || fields.reasoning_effort.as_deref() == Some("none")
            || fields.reasoning_format.as_deref() == Some("hidden");
        let prompt = fields
            .messages
            .iter()
            .rfind(|message| message.role == Role::User)
            .map(|message| text(&message.content))
            .unwrap_or_default();
        Self {
            taste,
            messages_json,
            prompt_tokens: fields.messages.iter().map(count).sum(),
            stream: fields.stream.unwrap_or_default(),
            choices: fields.n.unwrap_or(1),
            limit: fields
                .max_completion_tokens
                .or(fields.max_tokens)
                // A negative limit means the model's own limit.
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
            seed: fields.seed.unwrap_or_default(),
            reasons: models::reasons(&fields.model) && !told_not_to_reason,
            tools: called_tools(&fields, &prompt),
            schema: schema_of(fields.response_format),
            stops: match fields.stop {
                Some(Stop::One(stop)) => vec![stop],
                Some(Stop::Many(stops)) => stops,
                None => Vec::new(),
            },
            model: fields.model,
            prompt,
        }
    }
}

fn check(fields: &Fields, taste: Taste) -> Result<(), Box<Reply>> {
    if fields.messages.is_empty() {
        return Err(invalid("messages: is empty", Some("messages")));
    }
    if !(1..=MAX_CHOICES).contains(&fields.n.unwrap_or(1)) {
        return Err(invalid("n: is not from 1 to 16", Some("n")));
    }
    if !(0.0..=2.0).contains(&fields.temperature.unwrap_or(1.0)) {
        return Err(invalid(
            "temperature: is not from 0 to 2",
            Some("temperature"),
        ));
    }
    if matches!(&fields.stop, Some(Stop::Many(stops)) if MAX_STOPS < stops.len()) {
        return Err(invalid("stop: has more than 4 sequences", Some("stop")));
    }
    if fields.stream_options.is_some() && fields.stream != Some(true) {
        let message = "stream_options: is only allowed when stream is true";
        return Err(invalid(message, Some("stream_options")));
    }
    let needs_tools = |choice: &Value| taste == Taste::Strict || is_demand(choice);
    if fields.tool_choice.as_ref().is_some_and(needs_tools) && fields.tools.is_none() {
        let message = "tool_choice: is only allowed with tools";
        return Err(invalid(message, Some("tool_choice")));
    }
    Ok(())
}

/// Checks that the results of each tool call follow it directly, and that there are no others.
fn check_messages(messages: &[Message]) -> Result<(), Box<Reply>> {
    let mut open: Vec<&str> = Vec::new();
    for message in messages {
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap_or_default();
            let Some(position) = open.iter().position(|call| *call == id) else {
                let what = "messages: a tool message answers no tool call before it";
                return Err(invalid(what, Some("messages")));
            };
            open.remove(position);
            continue;
        }
        if !open.is_empty() {
            break;
        }
        for call in message.tool_calls.iter().flatten() {
            if open.contains(&call.id.as_str()) {
                let what = "messages: two tool calls of one message have the same id";
                return Err(invalid(what, Some("messages")));
            }
            open.push(&call.id);
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let what = "messages: a tool call is not answered by the tool messages behind it";
    Err(invalid(what, Some("messages")))
}

/// Returns the tools to call: the named one, all if a call is required, or the first if the prompt
/// mentions tools.
fn called_tools(fields: &Fields, prompt: &str) -> Vec<Function> {
    let functions = || fields.tools.iter().flatten().map(|tool| &tool.function);
    let choice = fields.tool_choice.as_ref();
    if let Some(name) = choice
        .and_then(|choice| choice.pointer("/function/name"))
        .and_then(Value::as_str)
    {
        let named = functions().find(|function| function.name == name);
        return named.cloned().into_iter().collect();
    }
    // After a tool result, the model responds with text.
    let answered = matches!(fields.messages.last(), Some(last) if last.role == Role::Tool);
    let most = match choice.and_then(Value::as_str) {
        Some("none") => 0,
        Some("required") if fields.parallel_tool_calls == Some(false) => 1,
        Some("required") => usize::MAX,
        _ if answered => 0,
        _ => usize::from(prompt.to_lowercase().contains("tool")),
    };
    functions().take(most).cloned().collect()
}

/// Returns true if the choice requires a tool call.
fn is_demand(choice: &Value) -> bool {
    choice.is_object() || choice == "required"
}

fn schema_of(format: Option<Value>) -> Option<Value> {
    let mut format = format?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(json!({"properties": {"answer": {"type": "string"}}})),
        "json_schema" => Some(
            format
                .pointer_mut("/json_schema/schema")
                .map(Value::take)
                .unwrap_or_default(),
        ),
        _ => None,
    }
}

/// Counts a message's tokens: those of its text, and four for its role and delimiters.
fn count(message: &Message) -> usize {
    4 + tokens::split(&text(&message.content)).len()
}

fn invalid(message: &str, param: Option<&str>) -> Box<Reply> {
    Box::new(refuse(StatusCode::BAD_REQUEST, message, param))
}

fn unprocessable(message: &str, param: Option<&str>) -> Box<Reply> {
    Box::new(refuse(StatusCode::UNPROCESSABLE_ENTITY, message, param))
}
