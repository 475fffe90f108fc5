//! The response of a model, generated or scripted.

use fastrand::Rng;
use serde::Deserialize;
use serde_json::Value;

use crate::{answer::Tokens, prose, sample, tokens};

/// One response of a model.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    pub(crate) reasoning: Vec<String>,
    pub(crate) text: Vec<String>,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish_reason: String,
}

/// One complete tool call.
#[derive(Clone, Debug)]
pub(crate) struct ToolCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// The requirements for a generated response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// The text of the last user message.
    pub(crate) prompt: &'a str,
    pub(crate) reasons: bool,
    /// The tools to call.
    pub(crate) tools: &'a [Function],
    /// The schema of the JSON to generate.
    pub(crate) schema: Option<&'a Value>,
}

/// The function of a tool.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) parameters: Value,
}

impl Speech {
    /// Generates a response from the seed.
    pub(crate) fn generate(rng: &mut Rng, wish: Wish<'_>) -> Self {
        let mut speech = Self {
            reasoning: Vec::new(),
            text: Vec::new(),
            tool_calls: Vec::new(),
            finish_reason: "stop".to_owned(),
        };
        if wish.reasons {
            speech.reasoning = tokens::split(&prose::reasoning(rng, wish.prompt));
        }
        match (wish.tools, wish.schema) {
            (tools @ [_, ..], _) => {
                let calls = tools.iter();
                let calls = calls.map(|tool| ToolCall::generate(rng, tool, wish.prompt));
                speech.tool_calls = calls.collect();
                "tool_calls".clone_into(&mut speech.finish_reason);
            }
            ([], Some(schema)) => {
                let value = sample::value(rng, schema, prose::topic(wish.prompt));
                speech.text = tokens::split(&value.to_string());
            }
            ([], None) => speech.text = tokens::split(&prose::answer(rng, wish.prompt)),
        }
        speech
    }

    /// Builds the scripted response.
    pub(crate) fn scripted(rng: &mut Rng, script: &Tokens) -> Self {
        let default = if script.tool_calls.is_empty() {
            "stop"
        } else {
            "tool_calls"
        };
        let calls = script.tool_calls.iter();
        Self {
            reasoning: tokens::split(&script.reasoning),
            text: script.text.clone(),
            tool_calls: calls
                .map(|(name, arguments)| ToolCall::new(rng, name.clone(), arguments.clone()))
                .collect(),
            finish_reason: script
                .finish_reason
                .clone()
                .unwrap_or_else(|| default.to_owned()),
        }
    }

    /// Truncates the response to this many tokens, reasoning included.
    pub(crate) fn limit(&mut self, limit: usize) {
        if self.tokens() <= limit {
            return;
        }
        self.reasoning.truncate(limit);
        self.text.truncate(limit - self.reasoning.len());
        self.tool_calls.clear();
        "length".clone_into(&mut self.finish_reason);
    }

    /// Truncates the text before the first stop sequence.
    pub(crate) fn stop(&mut self, stops: &[String]) {
        let text = self.text.concat();
        let found = stops.iter().filter(|stop| !stop.is_empty());
        let Some(mut left) = found.filter_map(|stop| text.find(stop)).min() else {
            return;
        };
        for token in &mut self.text {
            token.truncate(left);
            left -= token.len();
        }
        self.text.retain(|token| !token.is_empty());
        "stop".clone_into(&mut self.finish_reason);
    }

    pub(crate) fn tokens(&self) -> usize {
        let calls: usize = self.tool_calls.iter().map(ToolCall::tokens).sum();
        self.reasoning.len() + self.text.len() + calls
    }
}

impl ToolCall {
    fn generate(rng: &mut Rng, tool: &Function, prompt: &str) -> Self {
        let arguments = sample::value(rng, &tool.parameters, prose::topic(prompt));
        Self::new(rng, tool.name.clone(), arguments.to_string())
    }

    fn new(rng: &mut Rng, name: String, arguments: String) -> Self {
        Self {
            id: format!("{:09x}", rng.u64(..1 << 36)),
            name,
            arguments,
        }
    }

    /// Returns the arguments as JSON, or as a string if they are not valid JSON.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.arguments).unwrap_or_else(|_| self.arguments.clone().into())
    }

    fn tokens(&self) -> usize {
        tokens::split(&self.name).len() + tokens::split(&self.arguments).len()
    }
}
