//! The JSON messages between clients and agents.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::workers_ai::model_values;

/// The type of response messages.
const RESPONSE: &str = "cf_agent_use_chat_response";

/// A client message that an agent handles.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub(super) enum Request {
    #[serde(rename = "cf_agent_stream_resume_ack")]
    Acknowledge { id: String },
    /// A remote procedure call.
    #[serde(rename = "rpc")]
    Call { id: Value, method: String },
    #[serde(rename = "cf_agent_chat_request_cancel")]
    Cancel { id: String },
    /// The conversation so far; the agent responds to it.
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

/// An HTTP request within a message.
#[derive(Debug, Deserialize)]
pub(super) struct Init {
    method: String,
    body: String,
}

impl Request {
    /// Parses a message; returns `None` if the agent does not know it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Init {
    /// Returns the conversation, or `None` if the request has no messages.
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

/// Returns the message that identifies the agent.
pub(super) fn identity(name: &str) -> String {
    json!({"type": "cf_agent_identity", "name": name, "agent": "playground"}).to_string()
}

pub(super) fn state(state: &Value) -> String {
    json!({"type": "cf_agent_state", "state": state}).to_string()
}

/// Returns the error for a rejected state.
pub(super) fn state_error() -> String {
    json!({"type": "cf_agent_state_error", "error": "State update rejected"}).to_string()
}

/// Returns the list of MCP servers, which is empty.
pub(super) fn mcp_servers() -> String {
    let mcp = json!({"prompts": [], "resources": [], "servers": {}, "tools": []});
    json!({"type": "cf_agent_mcp_servers", "mcp": mcp}).to_string()
}

/// Returns the message with the conversation.
pub(super) fn messages(messages: &[Value]) -> String {
    json!({"type": "cf_agent_chat_messages", "messages": messages}).to_string()
}

/// Returns the message that the conversation was cleared.
pub(super) fn clear() -> String {
    json!({"type": "cf_agent_chat_clear"}).to_string()
}

pub(super) fn chunk(id: &str, body: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": body, "done": false}).to_string()
}

pub(super) fn end(id: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": "", "done": true}).to_string()
}

/// Returns the message that ends a response with an error, whose text is not JSON.
pub(super) fn error(id: &str, words: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": words, "done": true, "error": true}).to_string()
}

/// Returns a replayed chunk; `seq` is its index in the replay.
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

/// Returns the end of a replay of a response that continues.
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

/// Returns the end of a replay of a response that has ended.
pub(super) fn replay_end(id: &str) -> String {
    json!({"type": RESPONSE, "id": id, "body": "", "done": true, "replay": true}).to_string()
}

/// Returns the offer to resume a stream.
pub(super) fn resuming(id: &str, probe: Option<&Value>) -> String {
    probed(json!({"type": "cf_agent_stream_resuming", "id": id}), probe)
}

/// Returns the message that a stream will start.
pub(super) fn pending(probe: Option<&Value>) -> String {
    probed(json!({"type": "cf_agent_stream_pending"}), probe)
}

/// Returns the message that there is no stream to resume.
pub(super) fn resume_none(probe: Option<&Value>) -> String {
    probed(
        json!({"type": "cf_agent_stream_resume_none", "reason": "idle"}),
        probe,
    )
}

/// Returns the result of a remote procedure call.
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

/// Adds the probe id of the request to its response.
fn probed(mut message: Value, probe: Option<&Value>) -> String {
    if let Some(probe) = probe {
        message["probeId"] = probe.clone();
    }
    message.to_string()
}
