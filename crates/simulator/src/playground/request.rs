//! The parsing of requests to the playground.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    content::text,
    dice::sorted,
    speech::{Function, Wish},
    tokens,
    workers_ai::find_model,
};

/// A request that the playground accepts.
#[derive(Debug)]
pub(super) struct Request {
    /// The model and the messages as JSON text, part of the seed.
    pub(super) input_json: String,
    pub(super) prompt_tokens: usize,
    pub(super) limit: usize,
    /// The text of the last user message.
    prompt: String,
    /// The tool to call.
    tool: Option<Function>,
}

/// The fields that affect the response; `stream` does not.
#[derive(Debug, Deserialize)]
struct Fields {
    model: String,
    messages: Vec<Message>,
    max_tokens: Option<usize>,
    system_message: Option<String>,
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    parts: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    #[serde(default)]
    input_schema: Value,
}

/// The reason to refuse a request.
#[derive(Debug)]
pub(super) enum Refusal {
    Malformed,
    NoModel,
}

impl Request {
    /// Parses a request; returns `None` if it is invalid, since the playground gives no reason.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let body = serde_json::from_slice(body).ok()?;
        Self::from_value(body).ok()
    }

    /// Builds the request for an agent from its state and messages.
    pub(super) fn of_agent(state: &Value, messages: &[Value]) -> Result<Self, Refusal> {
        // A state always has a model; its other members come from the client.
        let system = state["system"].as_str();
        Self::from_value(json!({
            "model": state["model"],
            "messages": messages,
            "system_message": system,
        }))
    }

    fn from_value(body: Value) -> Result<Self, Refusal> {
        let input_json = match (body.get("model"), body.get("messages")) {
            (Some(model), Some(messages)) => [sorted(model), sorted(messages)].concat(),
            _ => return Err(Refusal::Malformed),
        };
        let fields: Fields = serde_json::from_value(body).map_err(|_| Refusal::Malformed)?;
        let last = fields.messages.last().ok_or(Refusal::Malformed)?;
        find_model(&fields.model).ok_or(Refusal::NoModel)?;
        let user = fields
            .messages
            .iter()
            .rfind(|message| message.role == "user");
        let prompt = user.map(Message::text).unwrap_or_default();
        let system = fields.system_message.unwrap_or_default();
        let texts = fields.messages.iter().map(Message::text).chain([system]);
        let calls = last.role == "user" && prompt.to_lowercase().contains("tool");
        let tool = fields.tools.into_iter().next().filter(|_| calls);
        Ok(Self {
            input_json,
            prompt_tokens: texts.map(|text| 4 + tokens::split(&text).len()).sum(),
            limit: fields.max_tokens.unwrap_or(usize::MAX),
            prompt,
            tool: tool.map(|tool| Function {
                name: tool.name,
                parameters: tool.input_schema,
            }),
        })
    }

    /// Returns the requirements for the response; the playground does not send reasoning.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish {
            prompt: &self.prompt,
            reasons: false,
            tools: self.tool.as_slice(),
            schema: None,
        }
    }
}

impl Message {
    /// Returns the text of the parts, or of the content if there are no parts.
    fn text(&self) -> String {
        match &self.parts {
            Value::Array(parts) if !parts.is_empty() => text(&self.parts),
            _ => text(&self.content),
        }
    }
}
