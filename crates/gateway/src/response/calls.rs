//! The tool calls of one choice, as far as they were sent.

use inferstream::ToolCall;
use inferstream_chat_json::random_id;

/// The calls that have begun.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Sent>);

#[derive(Debug)]
struct Sent {
    index: u32,
    /// The arguments as far as they were sent.
    arguments: String,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins a call and returns the id to send: the provider's, or one of ours if it sent none,
    /// because clients refer to calls by their ids.
    pub(super) fn begin(&mut self, index: u32, id: &str) -> String {
        self.0.push(Sent {
            index,
            arguments: String::new(),
        });
        match id {
            "" => format!("call_{}", random_id()),
            id => id.to_owned(),
        }
    }

    pub(super) fn add(&mut self, index: u32, arguments: &str) {
        if let Some(sent) = self.find(index) {
            sent.arguments.push_str(arguments);
        }
    }

    pub(super) fn has(&mut self, index: u32) -> bool {
        self.find(index).is_some()
    }

    /// Returns the arguments of a complete call that were not sent yet.
    pub(super) fn rest<'a>(&mut self, index: u32, call: &'a ToolCall) -> Option<&'a str> {
        let sent = self.find(index)?;
        let rest = call.arguments.strip_prefix(sent.arguments.as_str());
        // Complete: nothing is sent for it again.
        sent.arguments = String::new();
        rest.filter(|rest| !rest.is_empty())
    }

    fn find(&mut self, index: u32) -> Option<&mut Sent> {
        self.0.iter_mut().find(|sent| sent.index == index)
    }
}
