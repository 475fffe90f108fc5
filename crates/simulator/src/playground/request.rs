//! JSON in, a request that the playground would take out.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    content::text,
    dice::sorted,
    speech::{Function, Wish},
    tokens,
    workers_ai::find_model,
};

/// A request that the playground would take.
#[derive(Debug)]
pub(super) struct Request {
    /// The model and the messages as JSON text, for the seed.
    pub(super) input_json: String,
    pub(super) prompt_tokens: usize,
    pub(super) limit: usize,
    /// What the user said last.
    prompt: String,
    /// The tool that is to be called.
    tool: Option<Function>,
}

/// The fields that make a difference here; `stream` is none of them.
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

/// Why a request is not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    Malformed,
    NoModel,
}

impl Request {
    /// Reads a request, unless something is wrong with it; the playground does not say what.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let body = serde_json::from_slice(body).ok()?;
        Self::from_value(body).ok()
    }

    /// Reads what an agent is asked, in its state.
    pub(super) fn of_agent(state: &Value, messages: &[Value]) -> Result<Self, Refusal> {
        // A state has a model; what else is in it is the client's.
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

    /// Returns what the answer is to be like; the playground does not send reasoning.
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
    /// Returns the text of the parts, or of the content where there are none.
    fn text(&self) -> String {
        match &self.parts {
            Value::Array(parts) if !parts.is_empty() => text(&self.parts),
            _ => text(&self.content),
        }
    }
}
