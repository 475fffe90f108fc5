//! A client's JSON in, what it asks of an agent out; and what an agent tells, as JSON.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::workers_ai::model_values;

/// What the messages of an answer have for their type.
const RESPONSE: &str = "cf_agent_use_chat_response";

/// A message that an agent heeds.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Request {
    #[serde(rename = "cf_agent_stream_resume_ack")]
    Acknowledge { id: String },
    /// A method to be called.
    #[serde(rename = "rpc")]
    Call { id: Value, method: String },
    #[serde(rename = "cf_agent_chat_request_cancel")]
    Cancel { id: String },
    /// The conversation so far, to be answered.
    #[serde(rename = "cf_agent_use_chat_request")]
    Chat { id: String, init: Init },
    #[serde(rename = "cf_agent_chat_clear")]
    Clear,
    #[serde(rename = "cf_agent_stream_resume_request")]
    Resume {
        #[serde(rename = "probeId")]
        probe: Option<Value>,
    },
    #[serde(rename = "cf_agent_state")]
    State {
        #[serde(default)]
        state: Value,
    },
}

/// A request of HTTP within a message.
#[derive(Debug, Deserialize)]
pub(super) struct Init {
    method: String,
    body: String,
}

impl Request {
    /// Reads a message, unless it is none that an agent knows.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Init {
    /// Returns the conversation, if there is one.
    pub(super) fn messages(&self) -> Option<Vec<Value>> {
        if self.method != "POST" {
            return None;
        }
        let mut body: Map<String, Value> = serde_json::from_str(&self.body).ok()?;
        match body.remove("messages")? {
            Value::Array(messages) if !messages.is_empty() => Some(messages),
            _ => None,
        }
    }
}

/// Tells who the agent is.
pub(super) fn identity(name: &str) -> String {
    json!({"type": "cf_agent_identity", "name": name, "agent": "playground"}).to_string()
}

pub(super) fn state(state: &Value) -> String {
    json!({"type": "cf_agent_state", "state": state}).to_string()
}

/// Refuses a state.
pub(super) fn state_error() -> String {
    json!({"type": "cf_agent_state_error", "error": "State update rejected"}).to_string()
}

/// Tells that there are no servers of tools.
pub(super) fn mcp_servers() -> String {
    let mcp = json!({"prompts": [], "resources": [], "servers": {}, "tools": []});
    json!({"type": "cf_agent_mcp_servers", "mcp": mcp}).to_string()
}

/// Tells the conversation.
pub(super) fn messages(messages: &[Value]) -> String {
    json!({"type": "cf_agent_chat_messages", "messages": messages}).to_string()
}

/// Tells that the conversation is forgotten.
pub(super) fn clear() -> String {
    json!({"type": "cf_agent_chat_clear"}).to_string()
}

pub(super) fn chunk(id: &str, body: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": body, "done": false}).to_string()
}

pub(super) fn end(id: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": "", "done": true}).to_string()
}

/// Ends an answer with words that are no JSON.
pub(super) fn error(id: &str, words: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": words, "done": true, "error": true}).to_string()
}

/// Tells a chunk again; the number is its place in the replay.
pub(super) fn replayed(id: &str, body: &str, seq: usize) -> String {
    json!({
        "type": RESPONSE,
        "id": id,
        "body": body,
        "done": false,
        "replay": true,
        "seq": seq,
    })
    .to_string()
}

/// Ends the replay of an answer that goes on.
pub(super) fn replay_complete(id: &str) -> String {
    json!({
        "type": RESPONSE,
        "id": id,
        "body": "",
        "done": false,
        "replay": true,
        "replayComplete": true,
    })
    .to_string()
}

/// Ends the replay of an answer that has ended.
pub(super) fn replay_end(id: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": "", "done": true, "replay": true}).to_string()
}

/// Tells that a stream is there to be resumed.
pub(super) fn resuming(id: &str, probe: Option<&Value>) -> String {
    probed(json!({"type": "cf_agent_stream_resuming", "id": id}), probe)
}

/// Tells that a stream is to begin.
pub(super) fn pending(probe: Option<&Value>) -> String {
    probed(json!({"type": "cf_agent_stream_pending"}), probe)
}

/// Tells that there is nothing to be resumed.
pub(super) fn resume_none(probe: Option<&Value>) -> String {
    probed(
        json!({"type": "cf_agent_stream_resume_none", "reason": "idle"}),
        probe,
    )
}

/// Calls a method.
pub(super) fn called(id: &Value, method: &str) -> String {
    match method {
        "getModels" => json!({
            "type": "rpc",
            "id": id,
            "success": true,
            "result": model_values(),
            "done": true,
        }),
        method => json!({
            "type": "rpc",
            "id": id,
            "success": false,
            "error": format!("Method {method} does not exist"),
        }),
    }
    .to_string()
}

/// Gives the number of a question back with the answer.
fn probed(mut message: Value, probe: Option<&Value>) -> String {
    if let Some(probe) = probe {
        message["probeId"] = probe.clone();
    }
    message.to_string()
}
