//! Deduplication of the events of a response that is sent again from its start.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
};

use inferstream_core::{
    ChatEvent, Error, ErrorKind, Result, Text, ToolCall, Usage, protocol::Events,
};

/// What was delivered of a response, and how much of it has been received again.
///
/// Text is compared as text, because the service may join neighboring fragments when it sends them
/// again. A joined raw chunk differs from the original ones and is delivered again: a duplicate raw
/// chunk is better than a missing one.
#[derive(Debug, Default)]
pub(super) struct Replay {
    text: Known,
    reasoning: Known,
    calls: BTreeMap<u32, Call>,
    usages: List<Usage>,
    /// The hashes of the raw chunks.
    chunks: List<u64>,
    hasher: RandomState,
}

/// The text that was delivered.
#[derive(Debug, Default)]
struct Known {
    delivered: String,
    /// How many bytes of it have been received again.
    at: usize,
}

/// The parts of a tool call that were delivered.
#[derive(Debug, Default)]
struct Call {
    id_and_name: Option<(String, String)>,
    arguments: Known,
    whole: Option<ToolCall>,
}

/// The values that were delivered, in order, and how many of them have been received again.
#[derive(Debug)]
struct List<T> {
    delivered: Vec<T>,
    at: usize,
}

impl Replay {
    /// Starts the comparison for another connection.
    pub(super) fn begin(&mut self) {
        let arguments = self.calls.values_mut().map(|call| &mut call.arguments);
        for known in arguments.chain([&mut self.text, &mut self.reasoning]) {
            known.at = 0;
        }
        self.usages.at = 0;
        self.chunks.at = 0;
    }

    /// Passes on the events that were not delivered before.
    ///
    /// # Errors
    ///
    /// Returns `Truncated` if the response differs from what was delivered.
    pub(super) fn take(&mut self, mut all: Events, events: &mut Events) -> Result<()> {
        events.id = all.id.take().or(events.id.take());
        events.model = all.model.take().or(events.model.take());
        events.logs.push_str(&all.logs);
        events.warnings.append(&mut all.warnings);
        while let Some(event) = all.pop() {
            if let Some(event) = self.admit(event)? {
                events.push(event);
            }
        }
        Ok(())
    }

    /// Passes on the events at the end of a response that were not delivered before.
    ///
    /// # Errors
    ///
    /// Returns `Truncated`, and passes nothing on, if the response differs from what was delivered
    /// or is shorter.
    pub(super) fn take_end(&mut self, all: Events, events: &mut Events) -> Result<()> {
        let mut last = Events::default();
        self.take(all, &mut last)?;
        let arguments = self.calls.values().map(|call| &call.arguments);
        let mut texts = arguments.chain([&self.text, &self.reasoning]);
        if !texts.all(|known| known.at == known.delivered.len()) {
            return Err(diverged());
        }
        while let Some(event) = last.pop() {
            events.push(event);
        }
        Ok(())
    }

    fn admit(&mut self, event: ChatEvent) -> Result<Option<ChatEvent>> {
        Ok(match event {
            ChatEvent::Text { choice, text, .. } => {
                let new = self.text.admit(text)?;
                new.map(|text| ChatEvent::text(choice, text))
            }
            ChatEvent::Reasoning { choice, text, .. } => {
                let new = self.reasoning.admit(text)?;
                new.map(|text| ChatEvent::reasoning(choice, text))
            }
            ChatEvent::ToolCallStart {
                index,
                ref id,
                ref name,
                ..
            } => {
                let call = self.calls.entry(index).or_default();
                let new = (id.clone(), name.clone());
                same_or_new(&mut call.id_and_name, new)?.then_some(event)
            }
            ChatEvent::ToolCallDelta {
                choice,
                index,
                arguments,
                ..
            } => {
                let call = self.calls.entry(index).or_default();
                let new = call.arguments.admit(arguments)?;
                new.map(|arguments| ChatEvent::tool_call_delta(choice, index, arguments))
            }
            ChatEvent::ToolCall {
                index, ref call, ..
            } => {
                let known = self.calls.entry(index).or_default();
                // The complete call may be sent again without its fragments.
                known.arguments.at = known.arguments.delivered.len();
                same_or_new(&mut known.whole, call.clone())?.then_some(event)
            }
            ChatEvent::Usage { usage, .. } => self.usages.admit(usage).then_some(event),
            ChatEvent::Raw { ref chunk, .. } => {
                let hash = self.hasher.hash_one(chunk.as_str());
                self.chunks.admit(hash).then_some(event)
            }
            event => Some(event),
        })
    }
}

impl Known {
    /// Returns the new part of a fragment, if there is one.
    fn admit(&mut self, piece: Text) -> Result<Option<Text>> {
        // The fragments of a replay may be divided differently, so a fragment may end inside the known
        // text or continue beyond it.
        let known = self.delivered.get(self.at..).unwrap_or_default();
        if known.is_empty() {
            self.delivered.push_str(&piece);
            self.at = self.delivered.len();
            return Ok(Some(piece));
        }
        if known.starts_with(&*piece) {
            self.at += piece.len();
            return Ok(None);
        }
        let Some(new) = piece.strip_prefix(known) else {
            return Err(diverged());
        };
        let new = Text::from(new);
        self.delivered.push_str(&new);
        self.at = self.delivered.len();
        Ok(Some(new))
    }
}

impl<T: PartialEq> List<T> {
    /// Returns true if the value was not delivered before.
    fn admit(&mut self, one: T) -> bool {
        let rest = self.delivered.get(self.at..).unwrap_or_default();
        if let Some(place) = rest.iter().position(|known| *known == one) {
            self.at += place + 1;
            return false;
        }
        self.delivered.push(one);
        self.at = self.delivered.len();
        true
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            delivered: Vec::new(),
            at: 0,
        }
    }
}

/// Returns true if the value is new, and false if it repeats the known one.
fn same_or_new<T: PartialEq>(known: &mut Option<T>, new: T) -> Result<bool> {
    match known {
        Some(known) if *known == new => Ok(false),
        Some(_) => Err(diverged()),
        None => {
            *known = Some(new);
            Ok(true)
        }
    }
}

fn diverged() -> Error {
    let message = "the connection was lost before the end of the response, and the playground then \
                   sent a different response";
    Error::new(ErrorKind::Truncated, message).with_code("diverged")
}
