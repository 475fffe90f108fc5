//! The state of an agent and its connections.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::{
    mpsc::{UnboundedReceiver, unbounded_channel},
    watch,
};

use crate::playground::agent::{
    connection::{Connection, Word},
    message,
    turn::Turn,
};

/// The default model of an agent.
const MODEL: &str = "@cf/moonshotai/kimi-k2.6";

/// The state of an agent: its conversation, turns and connections.
#[derive(Debug)]
pub(super) struct Room {
    state: Value,
    messages: Vec<Value>,
    /// The number of connection requests to refuse.
    pub(super) refusals: usize,
    pub(super) connections: Vec<Connection>,
    /// Oldest first; only the first unfinished one runs.
    pub(super) turns: VecDeque<Turn>,
    /// Notifies waiting turns that another may run.
    pub(super) changes: watch::Sender<()>,
    /// The last number given to a connection or turn.
    numbers: u64,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            state: json!({
                "model": MODEL,
                "temperature": 1,
                "stream": true,
                "system": "You are a helpful assistant that can do various tasks using MCP tools.",
                "useExternalProvider": false,
                "externalProvider": "openai",
                "authMethod": "provider-key",
            }),
            messages: Vec::new(),
            refusals: 0,
            connections: Vec::new(),
            turns: VecDeque::new(),
            changes: watch::Sender::new(()),
            numbers: 0,
        }
    }

    /// Adds a client; returns its number and the receiver of its outgoing messages.
    pub(super) fn connect(&mut self, name: &str) -> (u64, UnboundedReceiver<Word>) {
        let (words, told) = unbounded_channel();
        let mut connection = Connection {
            number: self.next_number(),
            words,
            unacknowledged: None,
            probe: None,
            chunks: 0,
        };
        connection.tell(message::identity(name));
        connection.tell(message::state(&self.state));
        connection.tell(message::mcp_servers());
        if let Some(turn) = self.running() {
            connection.tell(message::resuming(&turn.id, None));
            connection.unacknowledged = Some(turn.number);
        }
        let number = connection.number;
        self.connections.push(connection);
        (number, told)
    }

    pub(super) fn disconnect(&mut self, number: u64) {
        self.connections
            .retain(|connection| connection.number != number);
    }

    /// Stops all turns and closes all connections.
    pub(super) fn close(&mut self) {
        self.forget_turns();
        self.connections.clear();
    }

    /// Replaces the state, or rejects the new one.
    pub(super) fn set_state(&mut self, number: u64, state: Value) {
        // `get` returns `None` for a value that is not an object.
        if state.get("model").is_none_or(|model| !model.is_string()) {
            self.tell(number, message::state_error());
            return;
        }
        self.state = state;
        self.tell_others(number, &message::state(&self.state));
    }

    /// Sets the model given in a connection request.
    pub(super) fn set_model(&mut self, model: &str) {
        if self.state["model"] != model {
            self.state["model"] = model.into();
            let state = message::state(&self.state);
            for connection in &self.connections {
                connection.tell(state.clone());
            }
        }
    }

    /// Replaces the conversation.
    pub(super) fn set_messages(&mut self, number: u64, messages: Vec<Value>) {
        self.messages = messages;
        self.tell_others(number, &message::messages(&self.messages));
    }

    pub(super) fn push_message(&mut self, message: Value) {
        self.messages.push(message);
    }

    /// Clears the conversation and stops all turns.
    pub(super) fn clear(&mut self, number: u64) {
        self.messages.clear();
        self.forget_turns();
        self.tell_others(number, &message::clear());
    }

    /// Returns true if this connection request is refused, and counts it.
    pub(super) fn takes_refusal(&mut self) -> bool {
        let refuses = 0 < self.refusals;
        self.refusals = self.refusals.saturating_sub(1);
        refuses
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn has_conversation(&self) -> bool {
        !self.messages.is_empty()
    }

    pub(super) fn messages(&self) -> Vec<Value> {
        self.messages.clone()
    }

    pub(super) fn state(&self) -> &Value {
        &self.state
    }

    /// Sends a message to one client.
    pub(super) fn tell(&self, number: u64, text: String) {
        if let Some(connection) = self.connection(number) {
            connection.tell(text);
        }
    }

    fn tell_others(&self, number: u64, text: &str) {
        let others = self.connections.iter();
        for other in others.filter(|other| other.number != number) {
            other.tell(text.to_owned());
        }
    }

    fn connection(&self, number: u64) -> Option<&Connection> {
        let mut connections = self.connections.iter();
        connections.find(|connection| connection.number == number)
    }
}
