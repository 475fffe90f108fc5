//! One response of an agent and its progress.

use serde_json::Value;
use tokio::task::AbortHandle;

use crate::fault::Fault;

/// One response of an agent.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) number: u64,
    /// The id of its request.
    pub(super) id: String,
    pub(super) stage: Stage,
    /// The JSON of each chunk sent so far.
    pub(super) chunks: Vec<String>,
    pub(super) fault: Option<Fault>,
    /// The number of the requesting connection.
    pub(super) asker: u64,
    pub(super) task: Option<AbortHandle>,
}

/// The progress of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Waits,
    Runs,
    Ended,
}

impl Turn {
    pub(super) fn stop(&mut self) {
        self.stage = Stage::Ended;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }

    /// Returns the chunks to replay.
    pub(super) fn replayed(&self) -> Vec<String> {
        match self.fault {
            Some(Fault::Coalesced) => coalesced(&self.chunks),
            _ => self.chunks.clone(),
        }
    }
}

/// Joins adjacent chunks of the same text.
fn coalesced(chunks: &[String]) -> Vec<String> {
    let mut joined: Vec<Value> = Vec::new();
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).unwrap_or_default();
        let delta = chunk["delta"].as_str().unwrap_or_default();
        match joined.last_mut() {
            Some(last)
                if chunk["type"] == "text-delta"
                    && last["type"] == chunk["type"]
                    && last["id"] == chunk["id"] =>
            {
                let text = last["delta"].as_str().unwrap_or_default();
                last["delta"] = format!("{text}{delta}").into();
            }
            _ => joined.push(chunk),
        }
    }
    joined.iter().map(Value::to_string).collect()
}
